"""A folder that fills up: what is new is taken once it is whole."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from addapt._errors import DataError
from addapt.watching.folder import folder_frames
from tests.watching.scenes import FakeClock


class Looking(FakeClock):
    """While the watching sleeps, what is planned happens: one thing a sleep."""

    def __init__(self, *plan: Callable[[], object] | None) -> None:
        super().__init__()
        self._plan = iter(plan)

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0.1
        try:
            event = next(self._plan)
        except StopIteration:
            raise KeyboardInterrupt from None
        if event is not None:
            event()
        super().sleep(seconds)


def watched(folder: Path, *plan: Callable[[], object] | None, every: bool = False) -> list[str]:
    """Return the names of what was taken, with their numbers."""
    taken = list[str]()
    with pytest.raises(KeyboardInterrupt):
        for frame in folder_frames(folder, Looking(*plan), every=every):
            assert frame.file == frame.image()
            assert frame.file is not None
            taken.append(f"{frame.number} {frame.file.name}")
    return taken


TICK_S = 0.01  # longer than what the system takes for the same time

Put = Callable[..., Callable[[], None]]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Return what plans to write files one after another."""

    def plan(*names: str, text: str = "x") -> Callable[[], None]:
        def write() -> None:
            for name in names:
                time.sleep(TICK_S)
                (tmp_path / name).parent.mkdir(exist_ok=True)
                (tmp_path / name).write_text(text)

        return write

    return plan


def test_the_newest_there_then_what_comes(tmp_path: Path, put: Put) -> None:
    put("b.jpg", "a.jpg")()
    plan = put("c.jpg"), None, put("sub/d.jpg", "notes.txt"), None, None
    assert watched(tmp_path, *plan) == ["0 a.jpg", "1 c.jpg", "2 d.jpg"]


def test_of_several_the_newest_or_every_one(tmp_path: Path, put: Put) -> None:
    put("b.jpg", "a.jpg")()
    plan = put("d.jpg", "c.jpg"), None
    assert watched(tmp_path, *plan) == ["0 a.jpg", "2 c.jpg"]
    put("f.jpg", "e.jpg")()
    every = watched(tmp_path, put("h.jpg", "g.jpg"), None, every=True)
    assert every == [f"{i} {name}.jpg" for i, name in enumerate("badcfehg")]


def test_what_is_still_being_written_is_waited_for(tmp_path: Path, put: Put) -> None:
    put("a.jpg")()
    growing = [put("b.jpg", text="x" * length) for length in range(1, 4)]
    assert watched(tmp_path, *growing) == ["0 a.jpg"]
    assert watched(tmp_path, *growing, None)[1:] == ["1 b.jpg"]


def test_a_file_that_is_written_anew_comes_again(tmp_path: Path, put: Put) -> None:
    put("last.jpg")()
    again = watched(tmp_path, put("last.jpg"), None, put("last.jpg"), None, None)
    assert again == ["0 last.jpg", "1 last.jpg", "2 last.jpg"]


def test_a_file_that_is_taken_away_is_no_matter(tmp_path: Path, put: Put) -> None:
    put("a.jpg")()
    plan = put("b.jpg"), (tmp_path / "b.jpg").unlink, (tmp_path / "a.jpg").unlink, None
    assert watched(tmp_path, *plan) == ["0 a.jpg"]


def test_copies_that_keep_their_old_time_are_new(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("x")

    def copy() -> None:
        (tmp_path / "b.jpg").write_text("x")
        os.utime(tmp_path / "b.jpg", (1, 1))

    assert watched(tmp_path, copy, None) == ["0 a.jpg", "1 b.jpg"]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for every in (False, True):
        with pytest.raises(DataError, match=r"hold no images\. Start when"):
            next(folder_frames(tmp_path, FakeClock(), every=every))
