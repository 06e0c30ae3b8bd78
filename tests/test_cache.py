"""Answers kept for the next process: given back as they were, or asked anew."""

import json
from pathlib import Path

import pytest

from addapt import _cache
from addapt._cache import ANSWER_LIMIT_BYTES, cache_folder, forget, recall, remember

QUESTION = {"px": 32, "names": ("a", "b")}
ANSWER = {"speed_up": 1.5}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ADDAPT_CACHE", str(tmp_path / "deep" / "cache"))
    return tmp_path / "deep" / "cache"


def test_only_the_same_question_has_the_answer(folder: Path) -> None:
    assert recall("gates", QUESTION) is None
    remember("gates", QUESTION, ANSWER)
    assert recall("gates", dict(reversed(QUESTION.items()))) == ANSWER
    assert recall("trial", QUESTION) is None
    assert recall("gates", {**QUESTION, "px": 33}) is None
    remember("gates", QUESTION, {"speed_up": 2.0})
    assert recall("gates", QUESTION) == {"speed_up": 2.0}
    assert len(list(folder.iterdir())) == 1


def test_an_answer_taken_back() -> None:
    forget("gates", QUESTION)  # there is none
    for question in (QUESTION, {**QUESTION, "px": 33}):
        remember("gates", question, ANSWER)
    forget("gates", QUESTION)
    assert recall("gates", QUESTION) is None
    assert recall("gates", {**QUESTION, "px": 33}) == ANSWER


def kept(question: object, answer: object) -> bytes:
    return json.dumps({"question": question, "answer": answer}).encode()


FOREIGN = {
    "empty": b"",
    "no text": b"\xff\xfe",
    "list": b"[]",
    "no answer": b"{}",
    "deep": b"[" * 50_000,
    "another question": kept({"px": 33}, ANSWER),
    "no table": kept(QUESTION, [1]),
    "huge": kept(QUESTION, {"long": "x" * ANSWER_LIMIT_BYTES}),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_foreign_content_is_no_answer(folder: Path, what: str) -> None:
    remember("gates", QUESTION, ANSWER)
    (path,) = folder.iterdir()
    path.write_bytes(FOREIGN[what])
    assert recall("gates", QUESTION) is None
    remember("gates", QUESTION, ANSWER)
    assert recall("gates", QUESTION) == ANSWER


def test_no_place_to_write_or_no_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.parent.write_text("in the way")
    remember("gates", QUESTION, ANSWER)
    assert recall("gates", QUESTION) is None

    def refuse(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("ADDAPT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "expanduser", refuse)
    remember("gates", QUESTION, ANSWER)
    assert recall("gates", QUESTION) is None


def test_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(_cache.FOLDER_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "addapt"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "addapt"
