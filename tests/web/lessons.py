"""A domain that the shell learns, and all that the page needs to learn the same one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from addapt.engines import open_engine
from addapt.engines.onnx.engine import OnnxEngine
from addapt.images import scan_folder
from addapt.learning import Learner
from addapt.methods import DA3
from addapt.page.folder import DESCRIPTION, describe
from tests.conftest import write_images

Pixels = npt.NDArray[np.float64]
PX = 32
LARGE_PX = 700  # of an image that takes more than a megabyte
CLASSES = ("blue", "green", "red")
NAME = "colours"
OTHER = "squares"
FOREIGN = "foreign.png"  # an image of none of the classes
FIRST_BLOCK = 14  # the last two have an adaptor: a small graph


class Quick(DA3):
    """The method with a recipe of few steps."""

    recipe = replace(DA3.recipe, epochs=2, min_steps=1, batch=7, weight_decay=0.01)


def open_quick() -> tuple[OnnxEngine, DA3]:
    """Open the engine, and a method beside the last two blocks: a small graph."""
    engine = open_engine("efficientnet_lite0", engine="onnx")
    assert isinstance(engine, OnnxEngine)
    engine.threads = 1
    return engine, Quick(first_block=FIRST_BLOCK)


def _squares(count: int) -> Pixels:
    """Return the brightness of a board of count x count squares."""
    board = np.indices((count, count)).sum(0) % 2 * 255.0
    return np.kron(board, np.ones((PX // count, PX // count)))


def write_lesson(folder: Path) -> None:
    """Learn a domain; write it, what it says of images, and the page's files into a folder.

    There are a copy within a class, and one class with many more images than the others.
    """
    engine, method = open_quick()
    images = folder / "images"
    write_images(images, CLASSES, 6, PX, 0)
    rng = np.random.default_rng(1)
    for number in range(16):
        noise = rng.integers(0, 256, (PX, PX, 3), dtype=np.uint8)
        Image.fromarray(noise).save(images / "red" / f"more {number}.png")
    (images / "blue" / "copy.png").write_bytes((images / "blue" / "0.png").read_bytes())

    write_images(folder / "later", ("pink",), 3, PX, 2)
    large = rng.integers(0, 256, (LARGE_PX, LARGE_PX, 3), dtype=np.uint8)
    Image.fromarray(large).save(folder / "later" / "large.png")

    for label, side in (("coarse", 4), ("fine", 16)):
        (folder / "squares" / label).mkdir(parents=True)
        for number in range(6):
            board = _squares(side) * rng.uniform(0.4, 1, (PX, PX))
            Image.fromarray(board.astype(np.uint8)).save(
                folder / "squares" / label / f"{number}.png"
            )
    Image.fromarray(_squares(2).astype(np.uint8)).save(folder / FOREIGN)

    learner = Learner(engine, folder / "store")
    learner.learn(NAME, images, method=method, image_px=PX)
    foreign = next(iter(learner.recognise(folder / FOREIGN, NAME)))
    learner.learn(OTHER, folder / "squares", method=method, image_px=PX)
    samples = scan_folder(images).samples
    pixels = [np.asarray(Image.open(sample.path)) for sample in samples]
    paths = [sample.path for sample in samples]
    model = learner.predict(paths, NAME, top=len(CLASSES))
    recognised = learner.recognise(paths, NAME)
    history = (folder / "store" / f"{NAME}.history.jsonl").read_text().splitlines()
    info, tensors = learner.store.read(NAME)
    probabilities = [[dict(found.top)[label] for label in CLASSES] for found in model]
    lesson: dict[str, Any] = {
        "px": PX,
        "classes": CLASSES,
        "labels": samples.labels.tolist(),
        "images": [image.ravel().tolist() for image in pixels],
        "history": [json.loads(line) for line in history],
        "info": json.loads(info.to_json()),
        "probabilities": probabilities,
        "distances": [each.distance for each in recognised],
        "foreign": foreign.distance,
        "among_all": {
            file: [found.nearest, found.label]
            for file in (
                "images/green/3.png",
                "squares/fine/0.png",
                "squares/coarse/1.png",
                FOREIGN,
            )
            for found in learner.recognise(folder / file)
        },
        "of_files": {
            f"{sample.path.parent.name}/{sample.path.name}": row
            for sample, row in zip(samples, probabilities, strict=True)
        },
        "tensors": {name: tensor.ravel().tolist() for name, tensor in tensors.items()},
    }
    (folder / "lesson.json").write_text(json.dumps(lesson))
    graphs = engine.write_graphs(folder, method, [PX])
    (folder / DESCRIPTION).write_text(json.dumps(describe(engine, method, graphs)))
