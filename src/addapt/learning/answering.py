"""What a learned domain says of images, with its gates or without."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from addapt._errors import DataError
from addapt.domains import DomainInfo
from addapt.engines.base import Model
from addapt.gates import ungated_px
from addapt.images import OnePass, Sample
from addapt.learning.controls import Controls
from addapt.learning.evaluation import EVALUATION_BATCH, softmax
from addapt.learning.image_scores import ImageScores
from addapt.learning.reports import ClassScore, Evaluation, Prediction


@dataclass(frozen=True)
class Answering:
    """A domain ready to be asked: `gated` says whether its gates decide."""

    domain: str
    info: DomainInfo
    model: Model
    gated: bool
    threads: int

    def recognise(
        self,
        samples: Sequence[Sample],
        top: int,
        on_unreadable: Callable[[str], None] | None,
    ) -> list[Prediction]:
        """Name the most probable classes of each image; arguments as of `Learner.predict`."""
        classes = self.info.classes
        reading = self._read(samples, on_unreadable or _refuse)
        predictions = []
        for numbers, images in reading:
            probabilities = softmax(self.model.logits(images))
            best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
            for number, row, places in zip(numbers, probabilities, best, strict=True):
                ranked = tuple((classes[i], float(row[i])) for i in places)
                image = reading.samples[number].path
                predictions.append(Prediction(image, *ranked[0], ranked, self.gated))
        return predictions

    def evaluate(self, samples: Sequence[Sample], controls: Controls) -> Evaluation:
        """Compare what the model says with the labels."""
        classes, unreadable = self.info.classes, list[str]()
        reading = self._read(samples, unreadable.append, controls.tell_reading)
        scores = _scores_of(self.model, reading, classes)
        reading.refuse_many_unreadable(unreadable)
        confusion = scores.confusion()
        counts = zip(classes, confusion.sum(1).tolist(), confusion.diagonal().tolist(), strict=True)
        return Evaluation(
            domain=self.domain,
            accuracy=float(confusion.trace() / confusion.sum()),
            images=int(confusion.sum()),
            per_class=tuple(
                ClassScore(label, n, right, right / n if n else None) for label, n, right in counts
            ),
            per_image=scores,
            confusion=confusion,
            unreadable=tuple(unreadable),
            gated=self.gated,
            value_range=self.info.value_range,
        )

    def _read(
        self,
        samples: Sequence[Sample],
        on_unreadable: Callable[[str], None],
        on_progress: Callable[[int, int], None] | None = None,
    ) -> OnePass:
        return OnePass(
            samples,
            self.info.image_px if self.gated else ungated_px(self.info),
            self.info.interpolation,
            EVALUATION_BATCH,
            on_unreadable,
            threads=self.threads,
            on_progress=on_progress,
            value_range=self.info.value_range,
        )


def _scores_of(model: Model, reading: OnePass, classes: Sequence[str]) -> ImageScores:
    predicted = np.full(len(reading.samples), -1, np.int32)
    probability = np.zeros(len(reading.samples), np.float32)
    for numbers, images in reading:
        logits = model.logits(images)
        best = predicted[numbers] = logits.argmax(1)
        probability[numbers] = softmax(logits)[np.arange(len(best)), best]
    readable = np.flatnonzero(predicted >= 0)
    return ImageScores(
        reading.samples.select(readable), classes, predicted[readable], probability[readable]
    )


def _refuse(message: str) -> NoReturn:
    raise DataError(message)
