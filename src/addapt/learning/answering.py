"""What a learned domain says of images, with its gates or without."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from addapt._errors import DataError
from addapt.domains import DomainInfo, Signature
from addapt.engines.base import Answers, Engine, Images, Recogniser
from addapt.gates import ungated_px
from addapt.images import (
    Given,
    OnePass,
    Sample,
    SeenImages,
    decode_given,
    in_groups,
    scan_classes,
)
from addapt.images.image_set import OnImage
from addapt.images.kept import Pixels
from addapt.learning.controls import Controls
from addapt.learning.copies import count_repeats
from addapt.learning.evaluation import EVALUATION_BATCH, softmax
from addapt.learning.gating import decide
from addapt.learning.image_scores import ImageScores
from addapt.learning.known_domains import KnownDomain
from addapt.learning.reports import ClassScore, Evaluation, Prediction

Loaded = tuple[Engine, DomainInfo, Recogniser]


@dataclass(frozen=True)
class Answering:
    """A domain ready to be asked: `gated` says whether its gates decide."""

    domain: str
    info: DomainInfo
    model: Recogniser
    gated: bool
    threads: int

    @classmethod
    def of(
        cls,
        domain: str,
        loaded: Loaded,
        images: Sequence[Given],
        gates: bool | None,
    ) -> "Answering":
        """Decide whether gates are used, where that is left open by trying some of the images."""
        engine, info, model = loaded
        gated = decide(engine, domain, info, model, images, gates)
        return cls(domain, info, model, gated, engine.threads)

    def recognise(
        self,
        groups: Iterable[Sequence[Given]],
        top: int,
        on_unreadable: Callable[[str], None] | None,
    ) -> Iterator[Prediction]:
        """Yield the most probable classes of each image; arguments as of `Learner.predict_each`.

        A group is decoded, then computed: each of the two can keep all processors busy.
        """
        tell, first = on_unreadable or refuse, 0
        for images in groups:
            decoded = self._decode(images, first)
            pixels, names = [], list[Path | int]()
            for number, (image, found) in enumerate(zip(images, decoded, strict=True), first):
                if isinstance(found, DataError):
                    tell(str(found))
                else:
                    pixels.append(found)
                    names.append(image if isinstance(image, Path) else number)
            first += len(images)
            if pixels:
                self.model.use_gates(self.gated)  # others may have used it since the last group
                probabilities = softmax(self.model.logits(np.stack(pixels)))
                for name, row in zip(names, probabilities, strict=True):
                    ranked = ranked_classes(row, self.info.classes, top)
                    yield Prediction(name, *ranked[0], ranked, self.gated)

    def _decode(self, images: Sequence[Given], first: int) -> list[Pixels | DataError]:
        return decode_given(
            images,
            self.px,
            self.info.interpolation,
            threads=self.threads,
            value_range=self.info.value_range,
            first=first,
        )

    def model_answers(self, images: Images) -> Answers:
        """Return what the model says of images of `px`, with gates as was decided."""
        self.model.use_gates(self.gated)  # others may have used it since
        return self.model.answers(images)

    def evaluate(
        self, samples: Sequence[Sample], controls: Controls, signature: Signature | None
    ) -> Evaluation:
        """Compare what the model says with the labels, and count what the signature accepts."""
        classes, unreadable = self.info.classes, list[str]()
        seen = SeenImages(len(samples))
        reading = self._read(samples, unreadable.append, controls.tell_reading, seen.note)
        scores, accepted = _scores_of(self.model, reading, classes, signature)
        reading.refuse_many_unreadable(unreadable)
        copies, warnings = count_repeats(reading.samples, seen)
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
            copies=copies,
            warnings=warnings,
            accepted=accepted,
        )

    @property
    def px(self) -> int:
        """The side of the images to give to the model."""
        return self.info.image_px if self.gated else ungated_px(self.info)

    def _read(
        self,
        samples: Sequence[Sample],
        on_unreadable: Callable[[str], None],
        on_progress: Callable[[int, int], None] | None = None,
        on_image: OnImage | None = None,
    ) -> OnePass:
        return OnePass(
            samples,
            self.px,
            self.info.interpolation,
            EVALUATION_BATCH,
            on_unreadable,
            threads=self.threads,
            on_progress=on_progress,
            value_range=self.info.value_range,
            on_image=on_image,
        )


def _scores_of(
    model: Recogniser, reading: OnePass, classes: Sequence[str], signature: Signature | None
) -> tuple[ImageScores, float | None]:
    """Return what the model says of images, and which share of them is accepted."""
    predicted = np.full(len(reading.samples), -1, np.int32)
    probability = np.zeros(len(reading.samples), np.float32)
    accepted = 0
    for numbers, images in reading:
        logits, features = model.answers(images)
        if signature is not None:
            accepted += int((signature.relative(features) <= 1).sum())
        best = predicted[numbers] = logits.argmax(1)
        probability[numbers] = softmax(logits)[np.arange(len(best)), best]
    readable = np.flatnonzero(predicted >= 0)
    scores = ImageScores(
        reading.samples.select(readable), classes, predicted[readable], probability[readable]
    )
    return scores, None if signature is None else accepted / max(1, len(readable))


def recognise_each(
    domain: str,
    loaded: Loaded,
    images: Given | Iterable[Given],
    gates: bool | None,
    top: int,
    on_unreadable: Callable[[str], None] | None,
) -> Iterator[Prediction]:
    """Yield what each image is; arguments as of `Learner.predict_each`.

    The very first is told alone, and so sooner.
    """
    groups = in_groups(images, EVALUATION_BATCH)
    first = next(groups, [])
    asked = Answering.of(domain, loaded, first, gates)
    yield from asked.recognise(first_alone(chain([first], groups)), top, on_unreadable)


def first_alone(groups: Iterable[Sequence[Given]]) -> Iterator[Sequence[Given]]:
    """Yield groups of images, the very first image in one of its own, for a quick answer."""
    is_first = True
    for group in groups:
        if is_first:
            yield group[:1]
            group, is_first = group[1:], False
        if group:
            yield group


def ranked_classes(
    probabilities: npt.NDArray[np.float32], classes: Sequence[str], top: int | None
) -> tuple[tuple[str, float], ...]:
    """Return the `top` most probable classes of one image (classes,), or all, best first."""
    best = np.argsort(-probabilities, kind="stable")[:top]
    return tuple((classes[i], float(probabilities[i])) for i in best)


def evaluate_folder(
    domain: KnownDomain, loaded: Loaded, folder: Path, gates: bool | None, controls: Controls
) -> Evaluation:
    """Compare what a domain says of a folder's images with their classes."""
    found = scan_classes(folder, loaded[1].classes)
    few = list(found.samples[:EVALUATION_BATCH].paths())
    asked = Answering.of(domain.name, loaded, few, gates)
    evaluation = asked.evaluate(found.samples, controls, domain.signature)
    return replace(
        evaluation,
        passed_over=dict(found.passed_over.counts),
        warnings=found.warnings + evaluation.warnings,
    )


def refuse(message: str) -> NoReturn:
    """Raise a DataError that says so."""
    raise DataError(message)
