"""Learn the demo's domains one after another and check that no earlier one has changed."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from addapt.demo.images import SOURCES, ImageSource, build_images
from addapt.demo.mixed import Sorted, sort_mixed, went_where
from addapt.engines.base import Engine, Logits
from addapt.images import ImageSet, load_images, scan_classes
from addapt.learning import ClassScore, Controls, Learner, LearnReport, OnProgress
from addapt.learning.evaluation import logits_of
from addapt.learning.loading import read_model

FIXED_IMAGES = 64


@dataclass
class DemoDomain:
    """One learned domain of the demo, of `images`.

    Of the test images `balanced_accuracy`, `weakest` and `per_class` are by DA3. `logits` are those
    of `fixed`, computed right after learning; `later_accuracy` is what re-evaluation gave after
    each later domain, `changed_logits` how many numbers differed then.
    """

    source: ImageSource
    images: Path
    report: LearnReport
    head_accuracy: float
    da3_accuracy: float
    balanced_accuracy: float
    weakest: ClassScore
    per_class: tuple[ClassScore, ...]
    history: list[dict[str, float]]
    versions: dict[str, str]
    fixed: ImageSet
    logits: Logits
    later_accuracy: list[float] = field(default_factory=list)
    changed_logits: int = 0


def run_demo(
    engine: Engine,
    folder: Path,
    store: Path,
    *,
    announce: Callable[[str], None] = lambda text: None,
    on_progress: OnProgress = lambda progress: None,
) -> list[DemoDomain]:
    """Teach all demo domains, through the same code as `addapt learn`.

    `folder` gets the images, and the head-only domains to compare with; `announce` is told in
    words what begins.
    """
    # All images first: a missing package should be known before minutes of learning.
    images = {source.name: build_images(source, folder / "images") for source in SOURCES}
    learner = Learner(engine, store)
    head_learner = Learner(engine, folder / "head-only")
    controls = Controls(on_progress=on_progress)
    done: list[DemoDomain] = []
    for source in SOURCES:
        where = images[source.name]
        announce(f"{source.name}: {source.what}")
        head_learner.learn(source.name, where, method="head", restart=True, controls=controls)
        report = learner.learn(source.name, where, restart=True, controls=controls)
        fixed = _fixed_images(engine, where, report)
        evaluation = learner.evaluate(source.name, where)
        history = learner.store.history_path(source.name).read_text()
        done.append(
            DemoDomain(
                source=source,
                images=where,
                report=report,
                head_accuracy=head_learner.evaluate(source.name, where).accuracy,
                da3_accuracy=evaluation.accuracy,
                balanced_accuracy=evaluation.balanced_accuracy,
                weakest=evaluation.weakest,
                per_class=evaluation.per_class,
                history=[json.loads(line) for line in history.splitlines()],
                versions=learner.store.info(source.name).versions,
                fixed=fixed,
                logits=_logits(learner, source.name, fixed),
            )
        )
        for earlier in done[:-1]:
            name = earlier.source.name
            earlier.later_accuracy.append(learner.evaluate(name, images[name]).accuracy)
            logits = _logits(learner, name, earlier.fixed)
            earlier.changed_logits += int((logits != earlier.logits).sum())
    return done


def summary(domains: list[DemoDomain], mixed: Sequence[Sorted], threads: int) -> dict[str, object]:
    """Return the result as JSON fields."""
    rows = [
        {
            "name": domain.source.name,
            "classes": len(domain.report.classes),
            "head_accuracy": domain.head_accuracy,
            "da3_accuracy": domain.da3_accuracy,
            "balanced_accuracy": domain.balanced_accuracy,
            "weakest": vars(domain.weakest),
            "file_bytes": domain.report.file_bytes,
            "learn_s": round(domain.report.learn_s, 1),
        }
        for domain in domains
    ]
    return {
        "domains": rows,
        "changed_logits": sum(domain.changed_logits for domain in domains),
        "mixed": [
            {
                "name": row.name,
                "images": row.images,
                "went_to": {name: n for name, n in row.went_to.items() if name is not None},
                "none_of_these": row.went_to.get(None, 0),
                "right": row.right,
            }
            for row in went_where(mixed)
        ],
        "threads": threads,
        "versions": domains[0].versions,
    }


def run_mixed(engine: Engine, domains: list[DemoDomain], folder: Path, store: Path) -> list[Sorted]:
    """Find out of images of all domains and foreign ones, mixed in `folder`, which each is of."""
    images = {domain.source.name: domain.images for domain in domains}
    return sort_mixed(Learner(engine, store), folder / "mixed", images)


def _fixed_images(engine: Engine, folder: Path, report: LearnReport) -> ImageSet:
    samples = scan_classes(folder, report.classes).samples
    places = np.linspace(0, len(samples) - 1, min(FIXED_IMAGES, len(samples))).astype(int).tolist()
    interpolation = engine.backbone.input.interpolation
    images, _ = load_images(
        [samples[i] for i in places], report.image_px, interpolation, value_range=report.value_range
    )
    return images


def _logits(learner: Learner, name: str, images: ImageSet) -> Logits:
    """Compute logits with the domain as it is on the disk now."""
    with learner.store.open(name) as file:
        return logits_of(read_model(file, learner.engine), images)
