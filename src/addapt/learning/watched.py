"""What is seen of a source that is watched, of one domain or of any."""

from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
import numpy.typing as npt

from addapt.images import Given
from addapt.learning.recognising import Recognising
from addapt.watching import (
    NONE,
    Answer,
    Clock,
    Sight,
    Source,
    Watching,
    open_source,
    watch_frames,
)


def watch_source(
    recognising: Recognising,
    source: Source,
    watching: Watching,
    on_notice: Callable[[str], None],
) -> Iterator[Answer]:
    """Open a source, and yield what is seen; arguments as of `Learner.watch`.

    The classes of all domains lie side by side, and behind them that it is none, which is certain
    of an image that is refused: so answers are averaged whatever they are.
    """
    clock = Clock()
    frames = open_source(source, clock, on_notice, every_frame=watching.every_frame)
    sights = [
        Sight(domain.name, label) for domain in recognising.domains for label in domain.info.classes
    ]
    sights.append(NONE)
    place = {sight: number for number, sight in enumerate(sights)}

    def recognise(image: Given, number: int) -> npt.NDArray[np.float32]:
        (found,) = recognising.recognise([image], number)
        said = np.zeros(len(sights), np.float32)
        if found.domain is None:
            said[place[NONE]] = 1
        else:
            for label, probability in found.top:
                said[place[Sight(found.domain, label)]] = probability
        return said

    def answers() -> Iterator[Answer]:
        with closing(frames):
            yield from watch_frames(frames, sights, recognise, watching, clock, on_notice)

    return answers()
