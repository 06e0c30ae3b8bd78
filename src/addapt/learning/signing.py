"""How a domain's signature is made: from images it has learned from, and measured on others."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from addapt._errors import DataError
from addapt.domains import LOOK_PX, Plane, Signature
from addapt.domains.plane import Spread
from addapt.engines.base import Answers, Engine, Features, Images, Recogniser, State
from addapt.images import ImageSet, decode_given
from addapt.learning.calibration import best_temperature, calibration_error, with_temperature
from addapt.learning.evaluation import softmax
from addapt.learning.two_looks import TwoLooks, last_logits

LOOK_IMAGES = 600  # from which the plane of the shared look is laid
ANSWER_IMAGES = 256  # and that of the answer, which cost more
HELD_OUT_IMAGES = 1_000
BATCH = 8


def shared_look(engine: Engine, images: Images) -> Features:
    """Return the frozen features (n, f) of images of any side, made small."""
    if images.shape[1] != LOOK_PX:
        images = np.stack(_shrunk(images, engine.backbone.input.interpolation))
    return engine.features(images)


def answers_of(
    model: Recogniser,
    images: ImageSet,
    batch: int = BATCH,
    before_batch: Callable[[], None] = lambda: None,
) -> Answers:
    """Return what a model, which is not being trained, says of all images of a set.

    `before_batch` may raise an exception to end this early.
    """
    parts = [model.answers(some) for some in _batches(images, batch, before_batch)]
    return Answers(*(np.concatenate(part) for part in zip(*parts, strict=True)))


class Calibrated(NamedTuple):
    """The state of a calibrated model, its temperature, and what it says of images held out."""

    tensors: State
    temperature: float
    said: Answers


def calibrate(
    model: Recogniser,
    tensors: State,
    held_out: ImageSet,
    batch: int,
    before_batch: Callable[[], None],
) -> Calibrated:
    """Calibrate the probabilities of a model with the state `tensors`; the rest is as of `sign`."""
    said = answers_of(model, held_out, batch, before_batch)
    temperature = best_temperature(said.logits, held_out.labels)
    said = said._replace(logits=said.logits / np.float32(temperature))
    return Calibrated(with_temperature(tensors, temperature), temperature, said)


def answers_of_looks(
    engine: Engine,
    model: Recogniser,
    images: ImageSet,
    batch: int = BATCH,
    before_batch: Callable[[], None] = lambda: None,
) -> tuple[Answers, ...]:
    """Return what each look says of all images of a set, that in full first; most have but one.

    Arguments are as of `sign`.
    """
    if not isinstance(model, TwoLooks):
        return (answers_of(model, images, batch, before_batch),)
    full = answers_of(model.full, images, batch, before_batch)
    engine.release()  # one network is in memory at once
    small = images.resized(model.looks.first_px)
    first = answers_of(model.first, small, batch, before_batch)
    engine.release()
    return full, first


def sign(
    engine: Engine,
    model: Recogniser,
    train: ImageSet,
    held_out: ImageSet,
    batch: int = BATCH,
    before_batch: Callable[[], None] = lambda: None,
    said: tuple[Answers, ...] | None = None,
) -> tuple[Signature, float]:
    """Make the signature of a domain that has been learned; return it and the calibration error.

    Of two looks both are asked about all images, so that the features of either lie close to one
    plane: whichever answers later, the domain's own images are accepted.

    Args:
        engine: of the model.
        model: which recognises, and is not being trained.
        train: images that it was learned from.
        held_out: images that it was not learned from.
        batch: images in memory at once.
        before_batch: as of `answers_of`.
        said: what each look says of the images held out, where that is known already.
    """
    said = said or answers_of_looks(engine, model, held_out, batch, before_batch)
    engine.release()  # one network is in memory at once
    looked = [
        shared_look(engine, some)
        for some in _batches(_some(train, LOOK_IMAGES), batch, before_batch)
    ]
    engine.release()
    look = Plane.fit(np.concatenate(looked))
    learned_from = _some(train, ANSWER_IMAGES)
    learned = answers_of_looks(engine, model, learned_from, batch, before_batch)
    answer = Plane.fit(_features(learned))
    # Each image counts once, however often it was looked at.
    spread = replace(Spread.of(answer.distances(_features(said))), images=len(held_out))
    signature = Signature(look_px=LOOK_PX, look=look, answer=answer, spread=spread)
    logits = said[0].logits
    if isinstance(model, TwoLooks):
        logits = last_logits(said[1].logits, logits, model.looks)
    return signature, calibration_error(softmax(logits), held_out.labels)


def some_held_out(images: ImageSet) -> ImageSet:
    """Return images to measure a signature on: all, unless there are very many."""
    return _some(images, HELD_OUT_IMAGES)


def _features(answers: tuple[Answers, ...]) -> Features:
    return np.concatenate([each.features for each in answers])


def _some(images: ImageSet, most: int) -> ImageSet:
    """Return at most so many images, evenly taken, so that all classes have their share."""
    if len(images) <= most:
        return images
    return images.select(np.linspace(0, len(images) - 1, most).astype(np.int64))


def _batches(images: ImageSet, batch: int, before_batch: Callable[[], None]) -> Iterator[Images]:
    for start in range(0, len(images), batch):
        before_batch()
        yield images.batch(range(start, min(start + batch, len(images))))


def _shrunk(images: Images, interpolation: str) -> list[npt.NDArray[np.uint8]]:
    made = decode_given(list(images), LOOK_PX, interpolation)
    return [image for image in made if not isinstance(image, DataError)]
