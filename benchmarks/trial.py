"""One run: learn one domain with one method by the product's own loop, then judge it once.

As `addapt learn` does, a tenth of the training images is held out to choose the epoch and to end
early. The images it is judged on are read when all that is over.
"""

import dataclasses
import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import domains
from result_rows import Row

from addapt._errors import TrainingError
from addapt.engines.base import Engine
from addapt.engines.torch.backbones import Backbone
from addapt.learning import Learner
from addapt.methods import METHODS, Method

BACKBONE = "efficientnet_lite0"


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


def build(name: str, settings: Settings) -> Method:
    """Build a method whose recipe has these settings."""
    method = METHODS[name]
    recipe = replace(method.recipe, **dataclasses.asdict(settings))
    changed: type[Method] = type(method.__name__, (method,), {"recipe": recipe})
    return changed()


def hyperparameters(name: str) -> dict[str, Any]:
    """Return the method's defaults: with others, a row would be one of another method."""
    return dataclasses.asdict(METHODS[name]())


def learn_and_judge(
    backbone: Backbone | Engine,
    name: str,
    settings: Settings,
    train: Path,
    judged: Path,
    *,
    seed: int = 0,
    image_px: int = domains.IMAGE_PX,
) -> Row:
    """Learn from the class folders in `train`, judge with those in `judged`.

    A run whose loss is no longer a number has the accuracy None, and says why.
    """
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as store:
        learner = Learner(backbone, store)
        row: Row = {
            "engine": learner.engine.name,
            "method": name,
            "settings": dataclasses.asdict(settings),
            "hyperparameters": hyperparameters(name),
            "backbone": learner.engine.backbone.name,
            "weights": learner.engine.backbone.weights,
            "seed": seed,
        }
        try:
            report = learner.learn(
                "domain", train, method=build(name, settings), image_px=image_px, seed=seed
            )
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
