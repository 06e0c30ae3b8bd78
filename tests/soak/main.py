"""Kill learning again and again, damage files, read beside it: is anything ever lost?

    scripts/soak --kills 200 --seed 0 --fuzz 2000

Writes `benchmarks/results/soak.json`. Takes about ten seconds a kill.
"""

import argparse
import dataclasses
import json
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from addapt.domains import Store
from tests.soak.cost import saving_cost
from tests.soak.fuzz import fuzz
from tests.soak.kills import AGAIN, EARLIER, KillTest, Tally
from tests.soak.lessons import EPOCHS, IMAGE_PX, CommandLine, make_images
from tests.soak.readers import Watched, domain_digest, read_readings, reader

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "benchmarks" / "results" / "soak.json"
SAVE_EVERY_S = 1.0  # as often as a short run can be met at it
COST_S = 90.0  # three of the default intervals


def main() -> None:
    """Run the soak; exit code 1 when a promise was broken."""
    parser = argparse.ArgumentParser(
        prog="scripts/soak", description=str(__doc__).splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--kills", type=int, default=200, help="how often to kill (default: 200)")
    parser.add_argument("--fuzz", type=int, default=2000, help="damaged files (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="decides when and what")
    parser.add_argument(
        "--cost", type=float, default=COST_S, help="seconds to measure what saving costs; 0: don't"
    )
    parser.add_argument("--out", type=Path, default=RESULT, help="the file of results")
    parser.add_argument("--work", type=Path, help="folder for stores and images; kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    with _work_folder(options.work) as work:
        result = soak(work, options)
    result["seconds"] = round(time.perf_counter() - started)
    words = ["scripts/soak", "--kills", options.kills, "--seed", options.seed]
    result |= _surroundings(shlex.join(map(str, [*words, "--fuzz", options.fuzz])))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    say(f"wrote {options.out}")
    sys.exit(bool(result["troubles"]))


def soak(work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Do everything; return the row of results."""
    images = make_images(work / "images")
    errors = work / "errors.txt"
    whole = CommandLine(images, work / "whole", errors, SAVE_EVERY_S)
    say("learning without interruption, twice")
    whole_s = min(whole.learn("first"), whole.learn("second"))
    files = [Store(whole.store).path(name).read_bytes() for name in ("first", "second")]
    if files[0] != files[1]:
        raise SystemExit("Two uninterrupted runs differ: nothing can be compared on this machine.")
    killed = CommandLine(images, work / "killed", errors, SAVE_EVERY_S)
    for seed, name in enumerate((AGAIN, EARLIER), start=1):
        killed.learn(name, seed=seed)
    store = Store(killed.store)
    new = domain_digest(Store(whole.store), "first")
    known = {EARLIER: [domain_digest(store, EARLIER)], AGAIN: [domain_digest(store, AGAIN), new]}
    say(f"an uninterrupted run takes {whole_s:.1f} s; killing {options.kills} times")
    test = KillTest(store, killed.start, files[0], whole_s, options.seed)
    # What a reader of a store waits for that nobody writes to, is no writer's doing.
    quiet = Store(shutil.copytree(killed.store, work / "quiet"))
    stores = {"killed": Watched(store, known), "quiet": Watched(quiet, known)}
    with reader(stores, work / "readings.json"):
        for tally in test.run(options.kills):
            report(tally, options.kills)
    readings = read_readings(work / "readings.json")
    if not killed.is_whole():
        test.tally.note("unreadable", "`addapt check` finds something wrong at the end")
    say(f"damaging {options.fuzz} copies")
    damage = fuzz(work / "damaged", files[0], images, options.fuzz, options.seed)
    say("measuring what saving costs")
    cost = saving_cost(images, work / "cost", options.cost) if options.cost else None
    tally = test.tally
    return {
        "kills": tally.kills,
        "lost": tally.lost,
        "unreadable": tally.unreadable + sum(r.unreadable + r.strange for r in readings.values()),
        "byte_identical": tally.runs > 0 and tally.different == 0,
        "damaged_files": damage.files,
        "crashes": tally.crashes + tally.leftovers + damage.crashes,
        "hangs": tally.hangs + damage.hangs,
        "reader_max_ms": readings["killed"].blocked_max_ms,
        "readers": {label: dataclasses.asdict(each) for label, each in readings.items()},
        "saving": cost,
        "learning": dataclasses.asdict(tally) | {"whole_s": round(whole_s, 2)},
        "damage": dataclasses.asdict(damage),
        "settings": {"image_px": IMAGE_PX, "epochs": EPOCHS, "save_every_s": SAVE_EVERY_S},
        "troubles": [*tally.troubles, *damage.troubles],
    }


def report(tally: Tally, kills: int) -> None:
    """Print a line of progress."""
    say(
        f"{tally.kills}/{kills} kills, {tally.while_writing} while writing, {tally.runs} runs "
        f"over, {tally.lost} lost, {tally.unreadable} unreadable, {tally.different} different, "
        f"{tally.crashes} crashes, {tally.hangs} hangs"
    )


def say(line: str) -> None:
    """Print a line at once, with the time."""
    print(time.strftime("%H:%M:%S"), line, flush=True)


@contextmanager
def _work_folder(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        folder.mkdir(parents=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="soak") as temporary:
        yield Path(temporary)


def _surroundings(command: str) -> dict[str, Any]:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import result_rows

    return result_rows.surroundings(command)
