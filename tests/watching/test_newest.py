"""A camera's frames in a thread: the newest is given, others are dropped."""

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from addapt._errors import DataError
from addapt.watching.frames import Frame
from addapt.watching.newest import NewestOnly

PATIENCE_S = 30


def frame(number: int) -> Frame:
    return Frame(number, number, partial(str, ""))


class Film:
    """Frames 0 to 9; between some of them it waits for the other side."""

    def __init__(self, fails: bool = False) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.closed = threading.Event()
        self._fails = fails

    def frames(self) -> Iterator[Frame]:
        try:
            yield frame(0)
            assert self.go_on.wait(PATIENCE_S)
            for number in range(1, 9):
                yield frame(number)
            self.reached.set()
            if self._fails:
                raise DataError("unplugged")
        finally:
            self.closed.set()


def test_what_nobody_had_time_for_is_dropped() -> None:
    film = Film()
    newest = NewestOnly(film.frames())
    assert next(newest).number == 0
    film.go_on.set()
    assert film.reached.wait(PATIENCE_S)
    assert [found.number for found in newest] == [8]


def test_errors_come_after_the_last_frame() -> None:
    film = Film(fails=True)
    newest = NewestOnly(film.frames())
    next(newest)
    film.go_on.set()
    assert film.closed.wait(PATIENCE_S)
    assert next(newest).number == 8
    with pytest.raises(DataError, match="unplugged"):
        next(newest)


def test_nothing_is_read_before_it_is_asked_for_nor_after_closing() -> None:
    film = Film()
    newest = NewestOnly(film.frames())
    assert newest._thread.ident is None
    next(newest)
    newest.close()
    film.go_on.set()
    newest._thread.join(PATIENCE_S)
    assert not newest._thread.is_alive()
    assert not film.reached.is_set()
