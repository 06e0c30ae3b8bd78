"""Answers that took a moment to find, kept for the next process; everything works without.

They lie in the user's cache folder, a small JSON file for each question, and tell nothing but what
asking again would: deleting the folder loses no more than time.
"""

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from addapt._disk import make_folder, write_atomically

FOLDER_VARIABLE = "ADDAPT_CACHE"
ANSWER_LIMIT_BYTES = 100_000


def cache_folder() -> Path:
    """Return the folder that `ADDAPT_CACHE` names, or `addapt` in the user's cache folder."""
    if asked := os.environ.get(FOLDER_VARIABLE):
        return Path(asked)
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "addapt"


def this_machine() -> dict[str, Any]:
    """Return what tells this machine from others that may share the cache folder."""
    return {"node": platform.node(), "machine": platform.machine(), "cpus": os.cpu_count()}


def recall(kind: str, question: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the answer to a question that was asked before; None where there is none.

    A question, of some `kind`, is JSON values: all that the answer depends on.
    """
    text = _text(question)
    with suppress(OSError, ValueError, LookupError, TypeError, RuntimeError):
        path = _path(kind, text)
        if path.stat().st_size <= ANSWER_LIMIT_BYTES:
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["question"] == json.loads(text) and isinstance(kept["answer"], dict):
                return dict(kept["answer"])
    return None


def remember(kind: str, question: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    """Keep an answer, if there is a place for it."""
    text = _text(question)
    with suppress(OSError, RuntimeError):  # no home, a full or read-only disk
        path = _path(kind, text)
        make_folder(path.parent)
        content = {"question": json.loads(text), "answer": dict(answer)}
        write_atomically(path, json.dumps(content, indent=1).encode())


def forget(kind: str, question: Mapping[str, Any]) -> None:
    """Take back an answer that turned out to be wrong."""
    with suppress(OSError, RuntimeError):
        _path(kind, _text(question)).unlink()


def _text(question: Mapping[str, Any]) -> str:
    return json.dumps(dict(question), sort_keys=True)


def _path(kind: str, text: str) -> Path:
    return cache_folder() / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
