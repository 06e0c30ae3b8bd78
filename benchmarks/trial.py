"""One run: learn one domain with one method by the product's own loop, then judge it once.

As `addapt learn` does, a tenth of the training images is held out to choose the epoch and to end
early. The images it is judged on are read when all that is over.
"""

import dataclasses
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from result_rows import Row, same

from addapt._errors import TrainingError
from addapt.engines.base import Engine
from addapt.engines.torch.backbones import Backbone
from addapt.learning import Learner
from addapt.methods import METHODS, Method

BACKBONE = "efficientnet_lite0"
# What rows do not say that are older than a hyper-parameter: it could not be otherwise.
ALWAYS = {"da3": {"spatial": True, "channel": True}}


@dataclass(frozen=True)
class Settings:
    """What is tuned of a method's recipe; the rest stays as it is."""

    lr: float
    backbone_lr: float
    epochs: int
    min_steps: int


def recipe_settings(name: str) -> Settings:
    recipe = METHODS[name].recipe
    return Settings(recipe.lr, recipe.backbone_lr, recipe.epochs, recipe.min_steps)


def build(name: str, settings: Settings, changes: Mapping[str, Any] | None = None) -> Method:
    """Build a method whose recipe has these settings, with these hyper-parameters changed."""
    method = METHODS[name]
    recipe = replace(method.recipe, **dataclasses.asdict(settings))
    changed: type[Method] = type(method.__name__, (method,), {"recipe": recipe})
    return changed(**(changes or {}))


def hyperparameters(name: str, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the method's defaults, changed: with others, a row would be one of another method."""
    return dataclasses.asdict(METHODS[name](**(changes or {})))


def is_of(row: Row, name: str, changes: Mapping[str, Any] | None = None) -> bool:
    """Say whether a row is of a method's defaults of now, with these changed."""
    said = ALWAYS.get(name, {}) | row.get("hyperparameters", {})
    return same(said, hyperparameters(name, changes))


def learn_and_judge(
    backbone: Backbone | Engine,
    name: str,
    settings: Settings,
    train: Path,
    judged: Path,
    *,
    seed: int = 0,
    image_px: int | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Row:
    """Learn from the class folders in `train`, judge with those in `judged`.

    A run whose loss is no longer a number has the accuracy None, and says why.

    Args:
        backbone: what learns, on either engine.
        name: of the method.
        settings: of its recipe.
        train: class folders to learn from.
        judged: class folders to judge with.
        seed: of everything that is drawn.
        image_px: size of the images; None as `addapt learn` chooses it.
        changes: the method's hyper-parameters that are not the default.
    """
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as store:
        learner = Learner(backbone, store)
        row: Row = {
            "engine": learner.engine.name,
            "method": name,
            "settings": dataclasses.asdict(settings),
            "hyperparameters": hyperparameters(name, changes),
            "backbone": learner.engine.backbone.name,
            "weights": learner.engine.backbone.weights,
            "seed": seed,
        }
        try:
            method = build(name, settings, changes)
            report = learner.learn("domain", train, method=method, image_px=image_px, seed=seed)
        except TrainingError as error:
            return row | {
                "accuracy": None,
                "error": str(error),
                "wall_s": round(time.perf_counter() - started, 1),
            }
        _, model = learner.load("domain")
        history = learner.store.history_path("domain").read_text().splitlines()
        evaluation = learner.evaluate("domain", judged)
    return row | {
        "accuracy": evaluation.accuracy,
        "judged_images": evaluation.images,
        "images": report.train_images + report.val_images,
        "val_images": report.val_images,
        "val_accuracy": report.val_accuracy,
        "epochs": report.epochs,
        "best_epoch": report.best_epoch,
        "parameters": sum(
            array.size for name, array in model.state().items() if name in model.trained
        ),
        "file_bytes": report.file_bytes,
        "image_px": report.image_px,
        "micro_batch": report.micro_batch,
        "train_s": last_train_s(history),
        "wall_s": round(time.perf_counter() - started, 1),
    }


def last_train_s(history: list[str]) -> float:
    """Return the seconds of all training steps, without reading and validating."""
    return round(float(json.loads(history[-1])["train_s"]), 1)
