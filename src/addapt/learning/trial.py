"""What a step takes, found by making some: the real loop on random images, at two sizes.

The memory of a micro-batch grows by a constant for each image, so two sizes tell the others.
"""

import gc
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from addapt.engines.base import Engine, Model
from addapt.gates import GateConfig
from addapt.images import ImageSet, Sample, Samples
from addapt.images.decode_many import ORIGINS
from addapt.images.kept import KeptImages
from addapt.learning.controls import Controls
from addapt.learning.gating import Batches
from addapt.learning.job import Asked, Job
from addapt.learning.lesson import Lesson
from addapt.learning.loop import train
from addapt.learning.saving import StateSaver
from addapt.learning.state import TrainingState
from addapt.memory import lean_allocator, reset_process_peak, trim
from addapt.methods import Method

VAL_IMAGES = 2
STEPS = 2  # the optimiser's state is made in the first
PIXELS_AT_ONCE = 8 * 224 * 224


@dataclass(frozen=True)
class Question:
    """What is tried: steps of `batch` images, with a method that is spelt out for the backbone.

    Validation has `evaluation_batch` images in memory at once, the larger micro-batch that is
    tried about `pixels_at_once`.
    """

    method: Method
    classes: int
    image_px: int
    batch: int
    gates: GateConfig | None = None
    evaluation_batch: int = 1
    pixels_at_once: int = PIXELS_AT_ONCE

    @property
    def micro_batches(self) -> tuple[int, ...]:
        """The sizes to be tried: half of what is moderate, and all of it."""
        large = max(2, min(self.batch, self.pixels_at_once // self.image_px**2))
        if self.method.batch_statistics:
            return tuple(sorted({max(2, large // 2), large}))
        return tuple(sorted({min(self.batch, size) for size in (large // 2, large)}))


@dataclass(frozen=True)
class Trial:
    """What was found; None where it cannot be known.

    Args:
        started_bytes: held by the process before the engine was opened.
        held_bytes: held once the backbone has answered an image.
        above_bytes: the peak above that at each size of micro-batch that was tried.
        resting_bytes: held above that after the trials.
        image_s: seconds of a step for each image.
        domain_bytes: of the domain's tensors.
    """

    started_bytes: int | None
    held_bytes: int | None
    above_bytes: dict[int, int]
    resting_bytes: int
    image_s: float
    domain_bytes: int

    def peak_bytes(self, micro_batch: int) -> int:
        """Return the peak above what was held, by a line through the sizes that were tried."""
        sizes = sorted(self.above_bytes)
        first, last = sizes[0], sizes[-1]
        slope = 0.0
        if last > first:
            slope = (self.above_bytes[last] - self.above_bytes[first]) / (last - first)
        line = self.above_bytes[last] + slope * (micro_batch - last)
        return max(round(line), self.resting_bytes)


def held_after_answer(engine: Engine, image_px: int) -> int:
    """Return what is held once the backbone has answered an image; 0 where unknown.

    The first answer leaves something behind, such as an engine's code and its plans.
    """
    engine.features(np.zeros((1, image_px, image_px, 3), np.uint8))
    return _held_bytes(engine)


def _held_bytes(engine: Engine) -> int:
    engine.release()
    gc.collect()  # a model of before may still be there, in a circle
    trim()
    return engine.held_bytes() or 0


def make_trial(engine: Engine, question: Question, started_bytes: int | None = None) -> Trial:
    """Make steps in this very process, which is left with a little less free memory."""
    with lean_allocator():
        held_bytes = held_after_answer(engine, question.image_px)
        _rehearse_gates(engine, question)
        above: dict[int, int] = {}
        image_s = 0.0
        for size in question.micro_batches:
            above[size], image_s = _measure(engine, question, size, held_bytes)
        resting_bytes = max(0, _held_bytes(engine) - held_bytes)
        state = _new_model(engine, question).state()
        domain_bytes = sum(array.nbytes for array in state.values())
    reset_process_peak()  # what was tried is no part of what is done
    return Trial(started_bytes, held_bytes or None, above, resting_bytes, image_s, domain_bytes)


def _rehearse_gates(engine: Engine, question: Question) -> None:
    """Do with gates what is done besides steps: it leaves something behind while these are made.

    The steps themselves take the most where nothing is measured, as no block is left out then.
    """
    model = _new_model(engine, question)
    if model.gates is not None:
        batches = Batches(_random_images(VAL_IMAGES, question), question.evaluation_batch)
        model.gates.measure(batches)
        model.gates.settle(batches)
        model.gates.open_shares(batches)


def _new_model(engine: Engine, question: Question) -> Model:
    return engine.new_model(question.method, question.classes, seed=0, gates=question.gates)


def _measure(
    engine: Engine, question: Question, micro_batch: int, held_bytes: int
) -> tuple[int, float]:
    """Return the peak above `held_bytes`, and the seconds of each image of a step."""
    # Two parts, if there are so many images: the peak comes when an earlier part left gradients.
    batch = max(micro_batch, min(2 * micro_batch, question.batch))
    lesson = _lesson(question, STEPS * batch)
    asked = Asked(epochs=1, batch=batch, gates=question.gates)
    job = Job.of(asked, question.method, lesson, micro_batch)
    images_bytes = 3 * question.image_px**2 * (len(lesson.train) + len(lesson.val))
    before_bytes = _held_bytes(engine)
    started = time.perf_counter()
    peak_bytes = engine.measure_peak(lambda: _learn(engine, job, lesson, question)).peak_bytes or 0
    image_s = (time.perf_counter() - started) / (STEPS * job.batch)
    # What is kept of images is counted apart from what a step takes.
    return peak_bytes + before_bytes - held_bytes - images_bytes, image_s


def _learn(engine: Engine, job: Job, lesson: Lesson, question: Question) -> None:
    model = _new_model(engine, question)
    model.prepare(job.settings)
    with tempfile.TemporaryDirectory() as folder:
        saver = StateSaver(Path(folder), {})
        state = TrainingState()
        train(model, job, lesson, state, saver, Controls(), question.evaluation_batch)
        saver.save(state)


def _lesson(question: Question, train_images: int) -> Lesson:
    return Lesson(
        classes=tuple(map(str, range(question.classes))),
        train=_random_images(train_images, question),
        val=_random_images(max(VAL_IMAGES, question.evaluation_batch), question),
        image_px=question.image_px,
        full_px=question.image_px,
        fingerprint="",
        unreadable=(),
    )


def _random_images(images: int, question: Question) -> ImageSet:
    px, classes = question.image_px, question.classes
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (images, px, px, 3), dtype=np.uint8)
    samples = Samples.of(Sample(Path(str(i)), i % classes) for i in range(images))
    origins = np.zeros(images, ORIGINS)
    return ImageSet(samples, origins, "bilinear", KeptImages(pixels), np.arange(images))
