"""A camera that is unplugged is waited for."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from addapt._errors import DataError
from addapt.watching.camera import camera_frames
from tests.watching.scenes import FakeClock


class FakeShot:
    def pixels(self) -> Any: ...

    def small(self) -> Any: ...


class Plug:
    """A camera whose openings go as `story` tells: so many frames; an error follows if negative."""

    def __init__(self, *story: int) -> None:
        self._story = iter(story)

    def shots(self) -> Iterator[Any]:
        frames = next(self._story)
        for _ in range(abs(frames)):
            yield FakeShot()
        if frames <= 0:
            raise DataError("no such device")


def test_unplugged_it_is_waited_for_and_told_once() -> None:
    clock, told = FakeClock(), list[str]()
    plug = Plug(-3, 0, 0, 0, 2, 5)
    frames = list(islice(camera_frames(plug.shots, "x", clock, told.append), 10))
    assert [frame.number for frame in frames] == list(range(10))
    assert [round(frame.at_s - 1000) for frame in frames] == [0] * 3 + [4] * 2 + [5] * 5
    assert [" ".join(line.split()[3:5]) for line in told] == ["is away:", "is back."] * 2


@pytest.mark.parametrize("story", [(0,), (0, 3)])
def test_one_that_was_never_there_is_an_error(story: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="no such device"):
        next(camera_frames(Plug(*story).shots, "x", FakeClock(), print))


def test_one_that_gives_nothing_is_an_error() -> None:
    with pytest.raises(DataError, match="The camera x gives no image"):
        next(camera_frames(lambda: iter(()), "x", FakeClock(), print))
