"""What the page's code must compute, computed by the code of the shell."""

import io
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from addapt.domains.plane import Plane, Spread
from addapt.engines.onnx.adamw import AdamW
from addapt.images import ORDER, VARIATION, Augmentation, Sample, generator_of, split_validation
from addapt.images.image_set import RESAMPLING
from addapt.images.samples import Samples
from addapt.learning.balance import class_lift
from addapt.learning.calibration import best_temperature, calibration_error
from addapt.learning.evaluation import cross_entropy, softmax
from addapt.learning.loop import lr_factor
from addapt.learning.recognising import candidates
from addapt.learning.scores import Scores, meaning, wilson_interval


def _chance(rng: np.random.Generator) -> dict[str, Any]:
    places = [(0, 0, 1), (0, 3, 2), (7, 1, 17), (123_456_789, 2, 1000)]
    return {
        "orders": [
            {
                "seed": seed,
                "epoch": epoch,
                "order": generator_of(seed, ORDER, epoch).permutation(images).tolist(),
            }
            for seed, epoch, images in places
        ],
        "draws": [
            {
                "seed": seed,
                "step": step,
                "draws": Augmentation()
                .draw(images, generator_of(seed, VARIATION, step))
                .ravel()
                .tolist(),
            }
            for seed, step, images in places[:3]
        ],
        "splits": [_split(seed, fraction, rng) for seed in (0, 9) for fraction in (0.1, 0.25, 0.5)],
    }


def _split(seed: int, fraction: float, rng: np.random.Generator) -> dict[str, Any]:
    labels = rng.integers(0, 3, 60)
    groups = np.array([int(place - rng.integers(0, 2) * (place > 0)) for place in range(60)])
    groups = np.where(labels[groups] == labels, groups, np.arange(60))
    samples = Samples.of(Sample(Path(f"{i}.png"), int(label)) for i, label in enumerate(labels))
    chosen = split_validation(samples, fraction, seed, groups)
    return {
        "labels": labels.tolist(),
        "groups": groups.tolist(),
        "seed": seed,
        "fraction": fraction,
        "chosen": chosen.tolist(),
    }


def _vary(rng: np.random.Generator) -> list[dict[str, Any]]:
    found = []
    for flip in (False, True):
        for px in (32, 37):
            how = Augmentation(flip=flip)
            image = rng.integers(0, 256, (1, px, px, 3), dtype=np.uint8)
            draws = how.draw(1, rng)
            found.append(
                {
                    "px": px,
                    "augmentation": asdict(how),
                    "image": image.ravel().tolist(),
                    "draws": draws.ravel().tolist(),
                    "varied": how.apply(image, draws).ravel().tolist(),
                }
            )
    return found


def _resize(rng: np.random.Generator) -> list[dict[str, Any]]:
    found = []
    for width, height, px in ((50, 31, 16), (16, 16, 16), (9, 20, 32), (300, 7, 24)):
        for interpolation, resampling in RESAMPLING.items():
            pixels = rng.integers(0, 2, (height, width, 3), dtype=np.uint8) * 255
            resized = Image.fromarray(pixels).resize((px, px), resampling)
            found.append(
                {
                    "width": width,
                    "height": height,
                    "px": px,
                    "interpolation": interpolation,
                    "pixels": pixels.ravel().tolist(),
                    "resized": np.asarray(resized).ravel().tolist(),
                }
            )
    return found


def _adamw(rng: np.random.Generator) -> dict[str, Any]:
    values = rng.standard_normal(200).astype(np.float32)
    first, gradients, shares = values.copy(), [], [1 / 3, 1.0, 0.9, 0.5, 0.01]
    optimiser = AdamW(200, 1e-2, 0.05)
    for share in shares:
        gradient = (rng.standard_normal(200) * 10.0 ** rng.integers(-6, 2, 200)).astype(np.float32)
        gradients.append(gradient.tolist())
        optimiser.step(values, gradient.copy(), share)
    return {
        "lr": 1e-2,
        "weight_decay": 0.05,
        "first": first.tolist(),
        "gradients": gradients,
        "shares": shares,
        "values": values.tolist(),
        "average": optimiser.average.tolist(),
        "square_average": optimiser.square_average.tolist(),
    }


def _scores(rng: np.random.Generator) -> list[dict[str, Any]]:
    found = []
    for classes, images in ((2, 5), (4, 60), (3, 31)):
        labels = np.minimum(rng.integers(0, classes + 2, images), classes - 1)
        logits = rng.standard_normal((images, classes)).astype(np.float32)
        logits[np.arange(images), labels] += 1
        train = rng.integers(0, classes, 8 * images)
        scores = Scores.of(labels, logits.argmax(1), classes)
        names = [f"class {label}" for label in range(classes)]
        found.append(
            {
                "labels": labels.tolist(),
                "train": train.tolist(),
                "classes": names,
                "logits": logits.tolist(),
                "accuracy": scores.accuracy,
                "balanced_accuracy": scores.balanced_accuracy,
                "balanced_images": scores.balanced_images,
                "grain": scores.grain,
                "weakest": scores.weakest,
                "chance": scores.chance(scores.balanced_accuracy),
                "interval": wilson_interval(scores.accuracy, images),
                "meaning": meaning(train, labels, names),
                "softmax": softmax(logits).tolist(),
                "cross_entropy": cross_entropy(logits, labels),
                "temperature": best_temperature(logits, labels),
                "calibration_error": calibration_error(softmax(logits), labels),
                "lift": class_lift(labels, classes, 0.1).tolist(),
                "plain_lift": class_lift(labels, classes, 0.0).tolist(),
            }
        )
    return found


def _planes(rng: np.random.Generator) -> list[dict[str, Any]]:
    found = []
    for images, width, held_out in ((3, 8, 1), (40, 64, 3), (41, 64, 12), (150, 1280, 30)):
        ways = rng.standard_normal((5, width))
        some = (rng.standard_normal((images + held_out, 5)) @ ways).astype(np.float32)
        some += rng.standard_normal(some.shape).astype(np.float32) / 3
        some[0] = 0
        plane = Plane.fit(some[:images])
        distances = plane.distances(some[images:])
        spread = Spread.of(distances)
        found.append(
            {
                "features": some[:images].tolist(),
                "others": some[images:].tolist(),
                "axes": len(plane.axes),
                "distances": distances.tolist(),
                "spread": asdict(spread),
                "relative": spread.relative(distances).tolist(),
            }
        )
    return found


def _candidates() -> list[dict[str, list[Any]]]:
    places = [[0.0], [0.5], [1.0, 0.2], [0.3, 0.31, 0.315, 0.304, 0.29], [0.21, 0.2, 0.21]]
    return [{"looks": looks, "asked": candidates(np.array(looks)).tolist()} for looks in places]


def _schedule() -> list[dict[str, Any]]:
    return [
        {"steps": steps, "factors": [lr_factor(step, steps) for step in range(steps)]}
        for steps in (1, 4, 5, 15, 25, 250)
    ]


def _texts() -> list[dict[str, str]]:
    texts = ["plain", 'quo"te\\', "Käse\u007f\n\t\b", "日本 🙂", "\u2028 </script>", "\x00\x1f"]
    return [{"text": text, "json": json.dumps(text)} for text in texts]


MADE: dict[str, Callable[[np.random.Generator], Any]] = {
    "chance": _chance,
    "vary": _vary,
    "resize": _resize,
    "adamw": _adamw,
    "scores": _scores,
    "planes": _planes,
    "candidates": lambda _: _candidates(),
    "schedule": lambda _: _schedule(),
    "texts": lambda _: _texts(),
}


def write_expected(folder: Path) -> None:
    """Write one file of JSON for each subject into a folder."""
    for number, (name, make) in enumerate(MADE.items()):
        values = make(np.random.default_rng(number))
        (folder / f"{name}.json").write_text(json.dumps(values))


def png_bytes(pixels: np.ndarray[Any, Any]) -> bytes:
    """Return an image as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
