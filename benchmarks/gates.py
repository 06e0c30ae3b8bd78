"""Smaller images and two looks without PyTorch: accuracy and milliseconds of many of them.

    python benchmarks/gates.py learn [--domain digits] [--px 96] [--seed 0] [--share 1/2]
    python benchmarks/gates.py time        # with nothing else on the machine
    python benchmarks/gates.py table

`learn` learns each domain once for each size of images, as the looks of a domain are learned, and
keeps in demo/gates-sizes, which is not committed, the domains and what they say of the images held
out and of the test images; what is in `results/gates_sizes.jsonl` and there is not made again.
`table` makes all points of that and writes `results/gates_points.json`, which it reads where
something is missing. `time` measures a look at each size, what making images smaller takes, and two
looks of learned domains: `results/gates_ms.json`. `--quick` makes one pass over the images, few
rounds, and writes into demo/gates-quick.
"""

import argparse
import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import domains
import gates_ms
import gates_points
import gates_table
import torch
from gates_points import PX, Judged
from gates_sizes import METHOD, Place, Size, Subject, counted, learn, prepare
from result_rows import ROOT, Row, make_rows, parse_share, spell_command, surroundings
from trial import BACKBONE

from addapt._errors import AddaptError, OptionError
from addapt.engines import open_engine
from addapt.engines.base import Engine
from addapt.learning.job import Asked

SIZES = (PX, 96, 160, 128, 64, 192)  # the most useful first
SEEDS = 3
ROUNDS, QUICK_ROUNDS = 21, 2
_QUICK_FOLDER = ROOT / "demo" / "gates-quick"
QUICK = Place(_QUICK_FOLDER, _QUICK_FOLDER, epochs=1)


def learn_all(sizes: Sequence[Size], place: Place, threads: int) -> None:
    """Learn those that are not in the file yet, or whose logits are not here."""
    engine, known = open_at(threads), set(counted(place))

    @functools.lru_cache(maxsize=1)
    def subject(domain: str, seed: int) -> Subject:
        asked: Asked = {"method": METHOD, "seed": seed, "epochs": place.epochs}
        return prepare(engine, domains.domain_folders(domain), asked)

    def make(size: Size) -> Row:
        row = learn(engine, subject(size.domain, size.seed), size, place)
        words = ["--domain", size.domain, "--px", str(size.px), "--seed", str(size.seed)]
        return row | surroundings(
            spell_command("gates", "learn", *words, device="cpu"), threads=threads
        )

    todo = [
        (METHOD, f"{size.name:24}", functools.partial(make, size))
        for size in sizes
        if size not in known or not place.logits(size).exists()
    ]
    make_rows(place.sizes, todo, len(sizes))


def open_at(threads: int) -> Engine:
    engine = open_engine(BACKBONE, engine="onnx")
    engine.threads = threads
    return engine


def combine(place: Place) -> list[Row]:
    """Return all points of what was learned; read them where some of the logits are not here.

    Raises:
        OptionError: they cannot be read either.
    """
    learned = counted(place)
    missing = [size.name for size in learned if not place.logits(size).exists()]
    if missing or not learned:
        if not place.points.exists():
            what = f"the logits of {missing[0]} are not here" if missing else "nothing was learned"
            raise OptionError(f"There are no points, and {what}: run `gates.py learn`.")
        return gates_table.read_points(place.points)
    rows = []
    for domain, seed in dict.fromkeys((size.domain, size.seed) for size in learned):
        own = [size for size in learned if (size.domain, size.seed) == (domain, seed)]
        judged = {size.px: Judged.load(place.logits(size)) for size in own}
        rows += [{"domain": domain, "seed": seed} | row for row in gates_points.points(judged)]
    if not rows:
        raise OptionError(
            f"Nothing was learned at {PX} px, which all points are compared with: run "
            f"`gates.py learn --px {PX}`."
        )
    write(place.points, {"rows": rows}, "table")
    return rows


def time_all(place: Place, threads: int, rounds: int) -> None:
    """Measure what looks take."""
    engine = open_at(threads)
    how = engine.backbone.input.interpolation
    result = {
        "rows": gates_ms.time_sizes(SIZES, threads, rounds),
        "shrinking": gates_ms.time_shrinking(SIZES, how, rounds),
        "two_looks": gates_ms.time_two_looks(engine, place, min(rounds, gates_ms.IMAGE_ROUNDS)),
        "rounds": rounds,
    }
    write(place.times, result, "time")


def write(path: Path, result: dict[str, Any], what: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    command = spell_command("gates", what, device="cpu")
    path.write_text(json.dumps(result | surroundings(command)) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("learn", "time", "table"))
    parser.add_argument("--domain", choices=domains.DOMAINS, action="append")
    parser.add_argument("--px", type=int, choices=SIZES, action="append")
    parser.add_argument("--seed", type=int, choices=range(SEEDS), action="append", help="else 0")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--share",
        type=parse_share,
        default="1/1",
        metavar="K/N",
        help="every Nth model, from the Kth on: for N processes at once",
    )
    parser.add_argument("--quick", action="store_true", help="to see whether it works")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    place = QUICK if options.quick else Place()
    try:
        if options.what == "learn":
            names = domains.available_domains(options.domain or list(domains.DOMAINS))
            sizes = [
                Size(domain, px, seed)
                for seed in options.seed or [0]
                for px in options.px or SIZES
                for domain in names
            ]
            number, shares = options.share
            learn_all(sizes[number::shares], place, options.threads)
        elif options.what == "time":
            time_all(place, options.threads, QUICK_ROUNDS if options.quick else ROUNDS)
        else:
            rows, times = combine(place), gates_table.read_times(place.times)
            print("\n".join(gates_table.tables(rows, times)))
    except AddaptError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
