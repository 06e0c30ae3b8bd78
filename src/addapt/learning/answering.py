"""What a learned domain says of images, with its gates or without."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from addapt._errors import DataError
from addapt.domains import DomainInfo
from addapt.engines.base import Model
from addapt.gates import ungated_px
from addapt.images import ImageSet, Sample, load_images
from addapt.learning.controls import Controls
from addapt.learning.evaluation import logits_of, softmax
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
        images, unreadable = self._load(samples, Controls(), refuse_many_unreadable=False)
        for message in unreadable:
            if on_unreadable is None:
                raise DataError(" ".join(unreadable))
            on_unreadable(message)
        if not images.samples:
            return []
        classes = self.info.classes
        probabilities = softmax(logits_of(self.model, images))
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
        predictions = []
        for sample, row, places in zip(images.samples, probabilities, best, strict=True):
            ranked = tuple((classes[i], float(row[i])) for i in places)
            predictions.append(Prediction(sample.path, *ranked[0], ranked, self.gated))
        return predictions

    def evaluate(self, samples: Sequence[Sample], controls: Controls) -> Evaluation:
        """Compare what the model says with the labels."""
        images, unreadable = self._load(samples, controls)
        classes = self.info.classes
        predicted = logits_of(self.model, images).argmax(1)
        pairs = images.labels * len(classes) + predicted
        confusion = np.bincount(pairs, minlength=len(classes) ** 2).reshape(len(classes), -1)
        counts = zip(classes, confusion.sum(1).tolist(), confusion.diagonal().tolist(), strict=True)
        scores = [
            ClassScore(label, n, right, right / n if n else None) for label, n, right in counts
        ]
        return Evaluation(
            domain=self.domain,
            accuracy=sum(score.correct for score in scores) / len(images),
            images=len(images),
            per_class=tuple(scores),
            confusion=confusion,
            unreadable=unreadable,
            gated=self.gated,
        )

    def _load(
        self, samples: Sequence[Sample], controls: Controls, refuse_many_unreadable: bool = True
    ) -> tuple[ImageSet, tuple[str, ...]]:
        return load_images(
            samples,
            self.info.image_px if self.gated else ungated_px(self.info),
            self.info.interpolation,
            controls.cache_bytes,
            refuse_many_unreadable=refuse_many_unreadable,
            threads=self.threads,
            on_progress=controls.tell_reading,
        )
