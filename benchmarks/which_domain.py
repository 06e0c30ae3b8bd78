"""Which domain an image is of, or none: all benchmark domains in one store, and foreign images.

    python benchmarks/which_domain.py learn [--share 1/2]    the domains, whole and in parts
    python benchmarks/which_domain.py look [--share 1/2]     what they say of all images
    python benchmarks/which_domain.py time                   named, not named, and one of 200
    python benchmarks/which_domain.py measure                writes results/which_domain.json
    python benchmarks/which_domain.py table                  that file as tables
    python benchmarks/which_domain.py rules                  what other shortlists would choose

All take `--threads`. What was learned and what was said is kept in `demo/which-domain`, which is
not committed: each command goes on where it was stopped, and `measure` takes seconds.

Test images of all domains are mixed. How often is the right domain chosen, and how many are
recognised, compared with an oracle that names the domain? For what is foreign each domain is left
out of the store in turn: near are those that are small grey images as others are, far the rest, and
noise, empty frames and textures that are drawn. The larger store has parts of the domains, two
classes each, which are much alike; there the part has to be the right one. Faces and any two of
the domains of ten classes make a store of three, and of thirty in parts: a tenfold one. Times are
of the same images with the domain named, without, and without in a store of 200, in turns.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import domains
import numpy as np
from result_rows import Row, append_row, commit, parse_share, read_rows, surroundings
from which_domain_figures import (
    FILE,
    MANY,
    PARTS,
    WHOLE,
    Heard,
    Said,
    read_said,
    rules,
    table,
    write_said,
)

from addapt.demo.foreign import FOREIGN, Pixels, drawn
from addapt.domains import Signature, Store
from addapt.engines import open_engine
from addapt.engines.base import Engine
from addapt.learning import Learner
from addapt.methods import Head

WORK = domains.IMAGES.parent / "which-domain"
PART_CLASSES = 2  # of domains with twice as many classes and more; smaller ones stay whole
PART_IMAGES = 1_000  # that learning a part sees, and five passes at least: by itself it saw 4,000
ASKED = 8  # of the domains in parts: those nearest to an image say what it is
DRAWN = 100
TIMED_IMAGES = 100
ROUNDS = 5


@dataclass(frozen=True)
class Work:
    """Where things are kept, and how much is done: `most` images of a kind, and given `epochs`."""

    folder: Path
    most: int | None = None
    epochs: int | None = None

    def store(self, name: str) -> Path:
        """Return the folder of a store."""
        return self.folder / name

    def said(self, store: str, shown: str) -> Path:
        """Return the file of what a store said of images of a kind."""
        return self.folder / "said" / store / f"{shown}.npz"

    def images(self, shown: str) -> list[Path] | list[Pixels]:
        """Return the test images of a domain, or foreign ones of a kind."""
        if shown in FOREIGN:
            return drawn(shown, min(DRAWN, self.most or DRAWN))
        paths = sorted(domains.domain_folders(shown).test.glob("*/*"))
        if self.most is None or len(paths) <= self.most:
            return paths
        return [paths[i] for i in np.linspace(0, len(paths) - 1, self.most).astype(int)]


@dataclass(frozen=True)
class Lesson:
    """What is learned: a domain of one of the stores, and the classes of a benchmark domain."""

    store: str
    domain: str
    source: str
    classes: tuple[str, ...]


def lessons_of(source: str, train: Path) -> Iterator[Lesson]:
    """Yield a benchmark domain as a whole, and its parts; the whole if it has few classes."""
    labels = sorted(path.name for path in train.iterdir() if path.is_dir())
    yield Lesson(WHOLE, source, source, tuple(labels))
    if len(labels) < 2 * PART_CLASSES:
        yield Lesson(PARTS, source, source, tuple(labels))
        return
    count = len(labels) // PART_CLASSES
    for number in range(count):
        yield Lesson(PARTS, f"{source}-{number}", source, tuple(labels[number::count]))


def all_lessons(names: Sequence[str]) -> list[Lesson]:
    """Return what is learned of these benchmark domains."""
    return [
        lesson for name in names for lesson in lessons_of(name, domains.domain_folders(name).train)
    ]


def learn(lesson: Lesson, engine: Engine, work: Work, **asked: Any) -> None:
    """Learn a domain as asked, unless it is there; note how long that and its signature take."""
    learner = Learner(engine, work.store(lesson.store))
    if learner.store.exists(lesson.domain):
        return
    train = domains.domain_folders(lesson.source).train
    with tempfile.TemporaryDirectory(prefix="which_domain_") as name:
        folder = Path(name) / "images"
        for label in lesson.classes:
            shutil.copytree(train / label, folder / label)
        if lesson.store == PARTS:
            images = sum(1 for _ in folder.glob("*/*"))
            asked["epochs"] = max(5, -(-PART_IMAGES // images))
        if work.epochs is not None:
            asked["epochs"] = work.epochs
        report = learner.learn(lesson.domain, folder, **asked)
        row = {"store": lesson.store, "domain": lesson.domain, "learn_s": report.learn_s}
        if lesson.store == WHOLE:
            again = Learner(engine, name)
            shutil.copy(learner.store.path(lesson.domain), name)
            started = time.perf_counter()
            again.index(lesson.domain, folder)
            row["index_s"] = time.perf_counter() - started
    row |= {"val_accuracy": report.val_accuracy, "image_px": report.image_px, "commit": commit()}
    append_row(work.folder / "learned.jsonl", row)
    print(
        f"{lesson.store} {lesson.domain:20} {report.val_accuracy:.3f} {report.learn_s:.0f} s",
        flush=True,
    )


def opened(store: str, engine: Engine, work: Work) -> Learner:
    """Return a learner with one of the stores, which must hold something."""
    learner = Learner(engine, work.store(store))
    if not learner.store.names():
        raise SystemExit(f"The store {learner.store.folder} is empty: run `learn` first.")
    return learner


def stamp_of(store: Store) -> str:
    return " ".join(f"{name}:{store.info(name).signature['sha256'][:8]}" for name in store.names())


def look(engine: Engine, store: str, shown: str, work: Work) -> None:
    """Have the product recognise images, and each of the nearest domains asked by its name."""
    learner, path = opened(store, engine, work), work.said(store, shown)
    images, names, stamp = work.images(shown), learner.store.names(), stamp_of(learner.store)
    if read_said(path, stamp) is not None:
        return
    most_asked = len(names) if store == WHOLE else ASKED
    found = learner.recognise(images, accept=None)
    looks = np.array([[one.looks[name] for name in names] for one in found])
    nearest = np.array([names.index(one.nearest) for one in found])
    label = np.array(["" if shown in FOREIGN else Path(i).parent.name for i in images])  # type: ignore[arg-type]
    distance = np.full(looks.shape, np.nan)
    right = np.zeros(looks.shape, bool)
    asked = np.argsort(looks, axis=1, kind="stable")[:, :most_asked]
    for number, name in enumerate(names):
        some = np.flatnonzero((asked == number).any(1))
        answers = learner.recognise([images[i] for i in some], name) if len(some) else []
        for i, one in zip(some, answers, strict=True):
            distance[i, number], right[i, number] = one.distance, one.top[0][0] == label[i]
    write_said(path, Said(np.array(names), looks, distance, right, label, nearest, stamp))
    print(f"{store} {shown}", flush=True)


def make_many(engine: Engine, store: Store, folder: Path, count: int) -> Learner:
    """Make a store of so many: of signatures copied, in directions that no image has."""
    many, rng, names = Learner(engine, folder), np.random.default_rng(0), store.names()
    for name in names:
        shutil.copy(store.path(name), many.store.path(name))
    head = engine.new_model(Head(), 2, seed=0, gates=None)
    for number in range(len(names), count):
        info, tensors = store.read(names[number % len(names)])
        own = Signature.of(
            info.signature, {n: t for n, t in tensors.items() if n.startswith("signature.")}
        )
        mixed = rng.permutation(len(own.look.centre))
        plane = replace(own.look, centre=own.look.centre[mixed], axes=own.look.axes[:, mixed])
        signature = replace(own, look=plane)
        info = replace(
            info,
            method="head",
            hyperparameters={},
            classes=("a", "b"),
            signature=signature.fields(),
        )
        many.store.save(f"copy-{number}", info, {**head.state(), **signature.tensors()})
    return many


def measure_time(names: Sequence[str], engine: Engine, work: Work, many: int = MANY) -> list[Row]:
    """Return the medians of seconds for the same images, with the domain named and without."""
    learner, rows = opened(WHOLE, engine, work), []
    with tempfile.TemporaryDirectory(prefix="which_domain_") as folder:
        of_many = make_many(engine, learner.store, Path(folder), many)
        started = time.perf_counter()
        of_many.recognise(work.images(names[0])[:1])
        first_s = time.perf_counter() - started
        for name in names:
            images = work.images(name)[:TIMED_IMAGES]
            ways: dict[str, Callable[[], object]] = {
                "named": lambda images=images, name=name: learner.predict(images, name),  # type: ignore[misc]
                "not_named": lambda images=images: learner.recognise(images),  # type: ignore[misc]
                "of_many": lambda images=images: of_many.recognise(images),  # type: ignore[misc]
            }
            seconds: dict[str, list[float]] = {way: [] for way in ways}
            for round_ in range(ROUNDS + 1):
                for way, recognise in ways.items():
                    started = time.perf_counter()
                    recognise()
                    if round_:  # the first makes sessions
                        seconds[way].append(time.perf_counter() - started)
            medians = {f"{way}_s": statistics.median(times) for way, times in seconds.items()}
            row = {"domain": name, "images": len(images), **medians, "of_many_first_s": first_s}
            print(row, flush=True)
            rows.append(row)
    return rows


def hear(names: Sequence[str], work: Work) -> Heard:
    """Read all that `look` has kept, and check it."""
    said = {}
    for store, shown in shows(names):
        found = read_said(work.said(store, shown), stamp_of(Store(work.store(store))))
        if found is None:
            raise SystemExit(f"{shown} was not shown to the store {store}: run `look` first.")
        said[store, shown] = found
    part_of = {
        (lesson.source, label): lesson.domain
        for lesson in all_lessons(names)
        if lesson.store == PARTS
        for label in lesson.classes
    }
    heard = Heard(tuple(names), said, part_of)
    heard.require_same()
    return heard


def measure(names: Sequence[str], work: Work) -> Row:
    """Reckon all from what was said; the times are those measured last."""
    heard, timed = hear(names, work), work.folder / "time.json"
    learned = read_rows(work.folder / "learned.jsonl")
    return {
        WHOLE: heard.choices(WHOLE, names),
        PARTS: heard.choices(PARTS, names),
        "tenfold": heard.tenfold(),
        "foreign": heard.foreign(),
        "time": json.loads(timed.read_text(encoding="utf-8")) if timed.exists() else {},
        "learned": learned,
        "domains": len(names),
        "part_domains": len(set(heard.part_of.values())),
    }


def shows(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return which images are shown to which store."""
    return [(WHOLE, shown) for shown in (*names, *FOREIGN)] + [(PARTS, name) for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("learn", "look", "time", "measure", "table", "rules"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--share", type=parse_share, default="1/1", metavar="K/N")
    parser.add_argument("--domain", choices=domains.DOMAINS, action="append", help="by default all")
    parser.add_argument("--work", type=Path, default=WORK, help="keeps what was learned and said")
    parser.add_argument("--results", type=Path, default=FILE)
    parser.add_argument("--most", type=int, help="images of a kind, to try it out")
    parser.add_argument("--epochs", type=int, help="passes of all domains, to try it out")
    options = parser.parse_args()
    if options.what == "table":
        print(table(json.loads(options.results.read_text(encoding="utf-8"))))
        return
    names = domains.available_domains(options.domain or list(domains.DOMAINS))
    work, (place, shares) = Work(options.work, options.most, options.epochs), options.share
    if options.what == "rules":
        print(rules(hear(names, work)))
        return
    command = f"python benchmarks/which_domain.py {options.what} --threads {options.threads}"
    if options.what == "measure":
        result = {**measure(names, work), **surroundings(command, threads=options.threads)}
        options.results.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(table(result))
        return
    engine = open_engine(engine="onnx")
    engine.threads = options.threads
    if options.what == "learn":
        for lesson in all_lessons(names)[place::shares]:
            learn(lesson, engine, work)
    elif options.what == "look":
        for store, shown in shows(names)[place::shares]:
            look(engine, store, shown, work)
    else:
        rows = measure_time(names, engine, work)
        timed = {"rows": rows, **surroundings(command, threads=options.threads)}
        (work.folder / "time.json").write_text(json.dumps(timed, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
