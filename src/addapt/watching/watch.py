"""The watching itself: frames come, some are recognised, and each has an answer."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from addapt._errors import DataError, OptionError
from addapt.images import Given
from addapt.watching.frames import Frame
from addapt.watching.gate import FrameGate
from addapt.watching.pace import Clock
from addapt.watching.smoothing import Probabilities, Smoothing, judge


class Sight(NamedTuple):
    """What may be seen: a class of a domain, or `NONE` of them."""

    domain: str | None
    label: str | None


NONE = Sight(None, None)
# Given an image and its number; raises DataError if it cannot be read.
Recognise: TypeAlias = Callable[[Given, int], Probabilities]


@dataclass(frozen=True)
class Answer:
    """What is seen at one moment.

    Args:
        frame: the frame's number, from 0 on; frames that were dropped count.
        time_s: when it was taken, in seconds: of a video since its beginning, else since 1970.
        domain: that of the class; None without one.
        label: the class; None where no class is probable enough, and of what is refused.
        probability: that of the class or, without one, of the most probable; of what is refused
            the share of the frames that are.
        refused: whether it is none of what was learned.
        recognised: whether this frame was; else what was said of earlier ones still holds.
        changed: whether the label is another one than before.
        recognise_s: the time that recognising took; 0 if the frame was not.
        file: the frame's own file, in a folder of images.
    """

    frame: int
    time_s: float
    domain: str | None
    label: str | None
    probability: float
    refused: bool
    recognised: bool
    changed: bool
    recognise_s: float
    file: Path | None = None


@dataclass(frozen=True)
class Watching:
    """How to watch.

    Args:
        at_least_every_s: a still scene is recognised anew after so many seconds; 0: never.
        smooth_s: over so many seconds answers are averaged; 0: each frame speaks for itself.
        above: a class is told only if it is as probable as that.
        every_frame: take all frames of a video or images of a folder, as fast as can be; without
            it a video plays at its own speed, and what there is no time for is dropped.
    """

    at_least_every_s: float = 5.0
    smooth_s: float = 0.3
    above: float = 0.6
    every_frame: bool = False

    def __post_init__(self) -> None:
        for name, seconds in (
            ("at_least_every_s", self.at_least_every_s),
            ("smooth_s", self.smooth_s),
        ):
            if not 0 <= seconds < float("inf"):
                raise OptionError(f"`{name}` is {seconds}: give seconds, 0 or more.")
        if not 0 <= self.above <= 1:
            raise OptionError(f"`above` is {self.above}: give a probability, from 0 to 1.")


def watch_frames(
    frames: Iterable[Frame],
    sights: Sequence[Sight],
    recognise: Recognise,
    watching: Watching,
    clock: Clock,
    tell: Callable[[str], None],
) -> Iterator[Answer]:
    """Yield an answer for each frame; those that cannot be read are told and passed over.

    Frames of a scene go through the gate, and answers are averaged; a frame that stands alone, such
    as an image in a folder, is recognised for itself. How probable each of the `sights` is,
    `recognise` says.
    """
    gate = FrameGate(watching.at_least_every_s)
    smoothing = Smoothing(watching.smooth_s, watching.above)
    said: Probabilities = np.empty(0, np.float32)
    before: tuple[Sight | None, ...] = ()  # what was told last; None where nothing was sure
    for frame in frames:
        recognise_s = 0.0
        opened = frame.small is None or gate.opens(frame.small, frame.at_s)
        if opened:
            started_s = clock.now()
            try:
                said = recognise(frame.image(), frame.number)
            except DataError as error:
                tell(f"Left out: {error}")
                continue
            recognise_s = clock.now() - started_s
            if frame.small is not None:
                gate.recognised(frame.at_s)
        alone = frame.small is None
        found = judge(said, watching.above) if alone else smoothing.judge(said, frame.at_s)
        seen = None if found.label is None else sights[found.label]
        domain, label = seen or NONE
        yield Answer(
            frame.number,
            frame.at_s,
            domain,
            label,
            found.probability,
            refused=seen == NONE,
            recognised=opened,
            changed=(seen,) != before,
            recognise_s=recognise_s,
            file=frame.file,
        )
        before = (seen,)
