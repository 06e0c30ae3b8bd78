"""Which domain an image belongs to, and what it shows; or that it belongs to none.

One look at the image, made small, through the frozen network tells which domain's images it is
nearest to. That domain is asked, or the few that are about as near. How far the features of the
answer lie from those of the domain's own images tells whether the answer is worth anything.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from addapt._errors import DamagedError, DataError, DomainError, OptionError
from addapt.domains import LOOK_PX, USUAL_ACCEPTED
from addapt.engines.base import Engine
from addapt.gates import ungated_px
from addapt.images import Given, ValueRange, decode_given, in_groups
from addapt.learning.answering import (
    Answering,
    Loaded,
    first_alone,
    ranked_classes,
    refuse,
)
from addapt.learning.evaluation import EVALUATION_BATCH, softmax
from addapt.learning.known_domains import KnownDomain, KnownDomains
from addapt.learning.loading import KEPT_MODELS
from addapt.learning.reports import Recognition
from addapt.learning.signing import shared_look

NEARLY = 1.05  # times as far as the nearest domain: asked as well
MOST_ASKED = 3
LEAST_ACCEPTED = 0.5

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Wanted:
    """What is to be told of each image.

    Args:
        top: how many classes; None: all of them.
        accept: the share of a domain's own images to accept; None refuses none.
        gates: as of `Learner.predict_each`.
        on_unreadable: told about images that cannot be read; by default that is an error.
    """

    top: int | None = 3
    accept: float | None = USUAL_ACCEPTED
    gates: bool | None = None
    on_unreadable: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.top is not None and self.top < 1:
            raise OptionError(f"The top {self.top} classes were asked for: ask for at least 1.")
        if self.accept is not None and not LEAST_ACCEPTED <= self.accept < 1:
            raise OptionError(
                f"`accept` is {self.accept}: give the share of a domain's own images to accept, "
                f"from {LEAST_ACCEPTED} to below 1, such as {USUAL_ACCEPTED}."
            )


@dataclass(frozen=True)
class _Answer:
    """What one domain says of one image."""

    domain: KnownDomain
    probabilities: npt.NDArray[np.float32]
    distance: float | None
    gated: bool


@dataclass
class _Looked:
    """One image: what it is called, its pixels, how far it is from each domain, and answers."""

    given: Given
    name: Path | int
    pixels: Pixels
    looks: npt.NDArray[np.float64]
    answers: list[_Answer] = field(default_factory=list)


class Recognising:
    """Recognises images of several domains.

    Args:
        engine: of the shared look.
        known: the domains.
        load: returns a domain's engine, description and model.
        wanted: what is to be told.
    """

    def __init__(
        self,
        engine: Engine,
        known: KnownDomains,
        load: Callable[[str], Loaded],
        wanted: Wanted,
    ) -> None:
        self._engine, self._known, self._load, self._wanted = engine, known, load, wanted
        self._asked: dict[str, Answering] = {}
        # Where all domains want images of one size they are decoded once.
        sizes = {ungated_px(domain.info) for domain in known.domains}
        self._px = sizes.pop() if len(sizes) == 1 else LOOK_PX
        self._range = known.domains[0].info.value_range

    @property
    def domains(self) -> tuple[KnownDomain, ...]:
        """Those among which it chooses."""
        return self._known.domains

    def recognise(self, images: Given | Iterable[Given], first: int = 0) -> Iterator[Recognition]:
        """Yield what each image is, as soon as it is known; see `Learner.recognise_each`.

        Images that are no files are called by their numbers, from `first` on.
        """
        number = first
        for group in first_alone(in_groups(images, EVALUATION_BATCH)):
            looked = self._decoded(group, number)
            number += len(group)
            if looked and len(self._known.domains) > 1:
                self._look(looked)
            self._ask(looked)
            yield from (self._told(image) for image in looked)

    def _decoded(self, group: Sequence[Given], first: int) -> list[_Looked]:
        """Decode images, and tell those that cannot be read."""
        tell, looked = self._wanted.on_unreadable or refuse, []
        found = self._decode(group, self._px, self._range, first)
        for number, (given, pixels) in enumerate(zip(group, found, strict=True), first):
            if isinstance(pixels, DataError):
                tell(str(pixels))
            else:
                name = given if isinstance(given, Path) else number
                looked.append(_Looked(given, name, pixels, np.zeros(len(self._known.domains))))
        return looked

    def _look(self, looked: list[_Looked]) -> None:
        """Note how far images are from all domains."""
        self._compare(looked, [image.pixels for image in looked], self._range)
        ranges = {domain.info.value_range for domain in self._known.domains}
        for value_range in ranges - {self._range}:
            again = self._decode([image.given for image in looked], self._px, value_range)
            # Deep greys alone look otherwise.
            differ = [
                (image, pixels)
                for image, pixels in zip(looked, again, strict=True)
                if not isinstance(pixels, DataError) and not np.array_equal(image.pixels, pixels)
            ]
            if differ:
                images, theirs = zip(*differ, strict=True)
                self._compare(images, theirs, value_range)

    def _compare(
        self, images: Sequence[_Looked], pixels: Sequence[Pixels], value_range: ValueRange
    ) -> None:
        """Note how far images, decoded with a range of deep greys, are from the domains of it."""
        assert self._known.planes is not None
        distances = self._known.planes.distances(shared_look(self._engine, np.stack(pixels)))
        of_range = [value_range == domain.info.value_range for domain in self._known.domains]
        if value_range == self._range:  # most images look the same in all
            of_range = [True] * len(of_range)
        for image, row in zip(images, distances, strict=True):
            image.looks[of_range] = row[of_range]

    def _ask(self, looked: Sequence[_Looked]) -> None:
        """Ask each domain about all images that may be of it."""
        images_of: dict[int, list[_Looked]] = {}
        for image in looked:
            for number in candidates(image.looks).tolist():
                images_of.setdefault(number, []).append(image)
        for number, images in images_of.items():
            domain = self._known.domains[number]
            asked = self._answering(domain, images)
            if asked.info != domain.info:
                raise DomainError(
                    f"The domain {domain.name!r} was changed while images were recognised: begin "
                    "again."
                )
            answers = asked.model_answers(self._pixels_for(domain, asked.px, images))
            distances: Sequence[float | None] = [None] * len(images)
            if domain.signature is not None:
                distances = domain.signature.relative(answers.features).tolist()
            for image, probabilities, distance in zip(
                images, softmax(answers.logits), distances, strict=True
            ):
                image.answers.append(_Answer(domain, probabilities, distance, asked.gated))
            if len(self._known.domains) == 1:
                self._px = asked.px  # gates may want another one

    def _pixels_for(self, domain: KnownDomain, px: int, images: Sequence[_Looked]) -> Pixels:
        """Return images as the domain wants them: decoded again where it differs."""
        value_range = domain.info.value_range
        if (px, value_range) == (self._px, self._range):
            return np.stack([image.pixels for image in images])
        again = []
        for pixels in self._decode([image.given for image in images], px, value_range):
            if isinstance(pixels, DataError):  # it could be read a moment ago
                raise pixels
            again.append(pixels)
        return np.stack(again)

    def _decode(
        self, images: Sequence[Given], px: int, value_range: ValueRange, first: int = 0
    ) -> list[Pixels | DataError]:
        return decode_given(
            images,
            px,
            self._engine.backbone.input.interpolation,
            threads=self._engine.threads,
            value_range=value_range,
            first=first,
        )

    def _answering(self, domain: KnownDomain, images: Sequence[_Looked]) -> Answering:
        """Return a domain ready to be asked; as many are kept as models are."""
        asked = self._asked.pop(domain.name, None)
        if asked is None:
            few = [image.given for image in images]
            asked = Answering.of(domain.name, self._loaded(domain), few, self._wanted.gates)
        self._asked[domain.name] = asked
        if len(self._asked) > KEPT_MODELS:
            del self._asked[next(iter(self._asked))]
        return asked

    def _loaded(self, domain: KnownDomain) -> Loaded:
        """Return a domain's model; of one among several say what to do if its file is damaged.

        The others do not stand in for it: what is its own would be told as theirs, or as foreign.
        """
        try:
            return self._load(domain.name)
        except DamagedError as error:
            if len(self._known.domains) == 1:
                raise
            raise DamagedError(
                f"{error} Without it the other domains are chosen among: `addapt check` with "
                "`repair` moves it aside."
            ) from error

    def _told(self, image: _Looked) -> Recognition:
        best = min(image.answers, key=lambda answer: answer.distance or 0.0)
        domain, accept, limit = best.domain, self._wanted.accept, None
        if domain.signature is not None and accept is not None:
            limit = domain.signature.spread.bar(accept)
        refused = limit is not None and best.distance is not None and best.distance > limit
        ranked = ranked_classes(best.probabilities, domain.info.classes, self._wanted.top)
        several = len(self._known.domains) > 1
        names = [known.name for known in self._known.domains]
        return Recognition(
            image=image.name,
            domain=None if refused else domain.name,
            label=None if refused else ranked[0][0],
            probability=None if refused else ranked[0][1],
            nearest=domain.name,
            top=ranked,
            distance=best.distance,
            limit=limit,
            looks=dict(zip(names, image.looks.tolist(), strict=True)) if several else {},
            distances={answer.domain.name: answer.distance for answer in image.answers},
            gated=best.gated,
        )


def candidates(
    looks: npt.NDArray[np.float64], nearly: float = NEARLY, most: int = MOST_ASKED
) -> npt.NDArray[np.int64]:
    """Return which domains to ask, the nearest first, of how far (domains,) an image is from each.

    They are `most` at most, and `nearly` times as far as the nearest.
    """
    order = np.argsort(looks, kind="stable")[:most]
    near: npt.NDArray[np.int64] = order[looks[order] <= nearly * looks[order[0]]]
    return near
