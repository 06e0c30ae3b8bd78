"""Domains learned at one size of images, as a look is, and what they say of images.

What is learned for `gates.py`: images of 224 px are made smaller, and the model of each size is
learned from them as those of a domain with two looks are. The domains and their logits are kept.
"""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

import domains
from gates_points import PX, Judged
from result_rows import RESULTS, ROOT, Row, latest, read_rows, same
from trial import hyperparameters, is_of, last_train_s, recipe_settings

from addapt.domains import Store, writing
from addapt.engines.base import Engine, Model
from addapt.images import ImageSet, load_images, scan_classes
from addapt.learning import Controls
from addapt.learning.evaluation import EVALUATION_BATCH, logits_of
from addapt.learning.job import VAL_FRACTION, Asked, Job, batch_of, method_for
from addapt.learning.lesson import Lesson, find_images, prepare_lesson
from addapt.learning.loading import read_models
from addapt.learning.run import Run

METHOD = "da3"
CACHE_BYTES = 1_000_000_000  # decoded images
IDENTITY = ("domain", "px", "seed")


@dataclass(frozen=True)
class Size:
    """One model to learn."""

    domain: str
    px: int
    seed: int

    @property
    def name(self) -> str:
        """Of the learned domain in the store."""
        return f"{self.domain}-{self.px}-{self.seed}"


@dataclass(frozen=True)
class Place:
    """Where the results lie, and in `work` what they are made of; `epochs` None as usual."""

    results: Path = RESULTS
    work: Path = ROOT / "demo" / "gates-sizes"
    epochs: int | None = None

    @property
    def sizes(self) -> Path:
        """One row for each learned model."""
        return self.results / "gates_sizes.jsonl"

    @property
    def points(self) -> Path:
        """What is made of them; see `gates_points`."""
        return self.results / "gates_points.json"

    @property
    def times(self) -> Path:
        """Milliseconds."""
        return self.results / "gates_ms.json"

    @property
    def store(self) -> Store:
        """The learned domains."""
        return Store(self.work / "domains")

    def logits(self, size: Size) -> Path:
        """Return where a model's logits are kept."""
        return self.work / "logits" / f"{size.name}.npz"


@dataclass(frozen=True)
class Subject:
    """The images of a domain in full, and how they are learned."""

    lesson: Lesson
    job: Job
    test: ImageSet


def prepare(engine: Engine, folders: domains.DomainFolders, asked: Asked, px: int = PX) -> Subject:
    """Decode the images of a domain, and hold some out, as `Learner.learn` does."""
    method = method_for(asked, engine)
    held_out = asked.get("val_fraction", VAL_FRACTION)
    found = find_images(folders.train, engine, image_px=px, val_fraction=held_out, gates=None)
    lesson = prepare_lesson(found, engine, asked["seed"], Controls(cache_bytes=CACHE_BYTES))
    job = Job.of(asked, method, lesson, engine.at_once(px, batch_of(asked, method)))
    samples = scan_classes(folders.test, lesson.classes).samples
    how = engine.backbone.input.interpolation
    test, _ = load_images(samples, px, how, CACHE_BYTES, value_range=lesson.value_range)
    return Subject(lesson, job, test)


def learn(engine: Engine, subject: Subject, size: Size, place: Place) -> Row:
    """Learn the images of a domain in one size, and keep what the model says of others."""
    started, store = time.perf_counter(), place.store
    job, lesson = subject.job.resized(size.px), subject.lesson.resized(size.px)
    at_once = engine.at_once(subject.job.image_px, EVALUATION_BATCH)
    with writing(store.folder, size.name):
        Run(size.name, store, engine, job, lesson, at_once).learn(Controls(), restart=True)
    (model,) = models(engine, place, size)
    test = subject.test.resized(size.px)
    judged = Judged(
        held_out=logits_of(model, lesson.val, at_once),
        held_out_labels=lesson.val.labels,
        test=logits_of(model, test, 1),  # as they are timed; together they differ in last bits
        test_labels=test.labels,
        multiply_adds=model.multiply_adds(test.batch([0])),
    )
    judged.save(place.logits(size))
    history = store.history_path(size.name).read_text().splitlines()
    return dataclasses.asdict(size) | {
        "method": METHOD,
        "hyperparameters": hyperparameters(METHOD),
        "settings": dataclasses.asdict(recipe_settings(METHOD)),
        "backbone": engine.backbone.name,
        "engine": engine.name,
        "epochs": len(history),
        "accuracy": float((judged.test.argmax(1) == test.labels).mean()),
        "judged_images": len(test),
        "images": len(lesson.train) + len(lesson.val),
        "val_images": len(lesson.val),
        "val_accuracy": store.info(size.name).val_accuracy,
        "multiply_adds": judged.multiply_adds,
        "train_s": last_train_s(history),
        "wall_s": round(time.perf_counter() - started, 1),
    }


def models(engine: Engine, place: Place, *sizes: Size) -> tuple[Model, ...]:
    """Return the models of learned domains."""
    found: list[Model] = []
    for size in sizes:
        with place.store.open(size.name) as file:
            found += read_models(file, engine)
    return tuple(found)


def counted(place: Place) -> list[Size]:
    """Return what was learned with the defaults of now."""
    settings = dataclasses.asdict(recipe_settings(METHOD))
    return [
        Size(*identity)
        for identity, row in latest(read_rows(place.sizes), *IDENTITY).items()
        if is_of(row, METHOD) and same(row["settings"], settings)
    ]
