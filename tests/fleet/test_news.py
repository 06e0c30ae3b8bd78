"""What is told through a pipe, and what happens where nobody reads it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from addapt.fleet.news import NewsReader, tell


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[NewsReader]:
    found = NewsReader(tmp_path / "news")
    yield found
    found.close()


def test_lines_come_whole_and_in_order(reader: NewsReader) -> None:
    assert list(reader.latest()) == []
    tell(reader.path, round=1)
    tell(reader.path, round=2, why="a\nline")
    assert list(reader.latest()) == [{"round": 1}, {"round": 2, "why": "a\nline"}]
    assert list(reader.latest()) == []


def test_a_line_larger_than_a_pipe_comes_whole(reader: NewsReader) -> None:
    lacking = ["x" * 100] * 10_000
    teller = threading.Thread(target=tell, args=(reader.path,), kwargs={"lacking": lacking})
    teller.start()
    found = next(reader.follow(lambda: None))
    teller.join()
    assert found == {"lacking": lacking}


def test_nobody_waits_for_a_reader_that_is_gone(tmp_path: Path) -> None:
    reader = NewsReader(tmp_path / "news")
    reader.close()
    tell(reader.path, round=1)


def test_a_file_is_added_to(tmp_path: Path) -> None:
    for number in (1, 2):
        tell(tmp_path / "file", round=number)
    assert (tmp_path / "file").read_text() == '{"round": 1}\n{"round": 2}\n'


def test_a_folder_that_is_gone_costs_the_line_only(tmp_path: Path) -> None:
    tell(tmp_path / "gone" / "news", round=1)
