"""Graphs and frozen weights as files: made in a process of their own, and kept.

What makes them takes memory that learning should have. They lie in the cache folder, where
nothing is trusted: a file that is not, byte for byte, what was made is made anew. Where nothing
can be kept they are made in a temporary folder, for this process only.
"""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from addapt import _errors, backbones
from addapt._cache import cache_folder, forget, recall, remember
from addapt._disk import disk_reason, file_sha256, make_folder
from addapt._errors import TrainingError
from addapt._text import printable

KEPT_DAYS = 30  # of files that another version of the code made


@dataclass(frozen=True)
class FrozenOrder:
    """Which frozen weights: what `addapt.backbones.load_weights` takes."""

    backbone: str
    weights: str | None
    seed: int


@dataclass(frozen=True)
class GraphOrder:
    """Which graph of a backbone: its kind, as `maker.WRITERS` has them, a method, images' size."""

    kind: str
    backbone: str
    weights_sha256: str
    method: str
    hyperparameters: dict[str, Any]
    image_px: int

    @property
    def weights_file(self) -> str:
        """Name of the file of frozen weights that the graph refers to."""
        return f"{_short_hash(self.weights_sha256)}.weights"

    @property
    def file(self) -> str:
        """Name of its own file."""
        return f"{_short_hash(self.__dict__)}.onnx"


def identify(order: FrozenOrder) -> tuple[str, str]:
    """Return the hash by which domains know these weights, and where they come from, in words.

    Raises:
        WeightsError, MissingPackageError: the weights cannot be read or do not fit.
    """
    question = _identity_question(order)
    answer = recall("weights", question)
    if answer is not None:
        with suppress(LookupError, TypeError):
            return str(answer["sha256"]), str(answer["source"])
    answer = ask_maker({"frozen": order.__dict__})
    remember("weights", question, answer)
    return answer["sha256"], answer["source"]


def graph_file(order: GraphOrder, frozen: FrozenOrder) -> Path:
    """Return a graph's file, beside which its weights lie; made if it must be.

    Raises:
        WeightsError: the weights are no longer those that they were.
        TrainingError: they cannot be made, or there is no place for files.
    """
    wanted = [order.weights_file, order.file]
    refused = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    made_here = [path.parent for path in _made_here if path.name == order.file]
    for folder in chain(made_here, _folders()):
        missing = [name for name in wanted if not _is_as_made(folder / name)]
        if missing:
            try:
                make_folder(folder)
                hashes = ask_maker(
                    {
                        "folder": str(folder),
                        "files": missing,
                        "graph": order.__dict__,
                        "frozen": frozen.__dict__,
                    }
                )
            except OSError as error:
                refused = error
                continue
            if not hashes.keys() >= set(missing):
                raise TrainingError(
                    "The program addapt has changed since this process began: start it anew."
                )
            for name in missing:
                _note(folder / name, hashes[name])
            _remove_old_versions(folder)
        return folder / order.file
    raise TrainingError(
        f"The files that ONNX Runtime reads cannot be written: {disk_reason(refused)} The "
        "environment variable ADDAPT_CACHE may name a folder for them."
    ) from refused


def _identity_question(order: FrozenOrder) -> dict[str, Any]:
    file = None if order.weights is None else _sha256(order.weights)
    return {**order.__dict__, "file": file, "source": _source_sha256()}


def _folders() -> Iterator[Path]:
    with suppress(RuntimeError):  # no home
        yield _kept_folder()
    with suppress(OSError):  # no temporary folder
        yield Path(_temporary_folder().name)


def _kept_folder() -> Path:
    """Return the folder of what this version of the code makes."""
    return cache_folder() / "graphs" / _source_sha256()[:16]


def _remove_old_versions(folder: Path) -> None:
    """Remove what other versions of the code made, unless that was of late: both may be in use."""
    if folder.parent.name != "graphs":
        return
    with suppress(OSError):
        for other in folder.parent.iterdir():
            if other != folder and time.time() - other.stat().st_mtime > KEPT_DAYS * 86_400:
                shutil.rmtree(other, ignore_errors=True)


@lru_cache
def _temporary_folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="addapt-")  # removed when the process ends


_made_here: dict[Path, str] = {}  # hashes; also of what no cache could remember


def _note(path: Path, sha256: str) -> None:
    _made_here[path] = sha256
    remember("file", {"path": str(path)}, {"sha256": sha256})


def _is_as_made(path: Path) -> bool:
    made = _made_here.get(path) or (recall("file", {"path": str(path)}) or {}).get("sha256")
    return made is not None and _sha256(path) == made


def _sha256(path: str | Path) -> str | None:
    """Return the hash of a file's bytes; None where none can be read."""
    try:
        return file_sha256(Path(path))
    except OSError:
        return None


def _short_hash(order: Any) -> str:
    text = json.dumps([order, _source_sha256()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@lru_cache
def _source_sha256() -> str:
    """Hash the code that makes files: what other code made is no longer asked for."""
    digest = hashlib.sha256(version("addapt").encode())
    for folder in (Path(__file__).parent, Path(backbones.__file__).parent):
        for file in sorted(folder.glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def ask_maker(question: dict[str, Any]) -> dict[str, str]:
    """Run `addapt.engines.onnx.maker` in a process of its own.

    Raises:
        OSError: files cannot be written.
        AddaptError: as the maker says.
    """
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}  # files in this folder are no modules
    environment.pop("PYTHONWARNINGS", None)
    try:
        done = subprocess.run(
            [sys.executable, "-c", "from addapt.engines.onnx.maker import main; main()"],
            input=json.dumps(question),
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            check=False,
        )
    except OSError as error:  # for lack of memory, say; it is no matter of the files
        raise _not_made(str(error.strerror)) from error
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise _not_made(reason)
    try:
        answer: dict[str, Any] = json.loads(lines[-1])
    except ValueError as error:
        raise _not_made(lines[-1]) from error
    if "errno" in answer:
        raise OSError(answer["errno"], answer["message"], answer["path"])
    if "refused" in answer:
        if "graph" in question:  # who the weights were said to be may be wrong
            forget("weights", _identity_question(FrozenOrder(**question["frozen"])))
        raise getattr(_errors, answer["refused"])(answer["message"])
    return answer


def _not_made(reason: str) -> TrainingError:
    return TrainingError(
        f"The graph for ONNX Runtime could not be made ({printable(reason)}). Free some memory and "
        'try again, or use `engine="torch"`.'
    )
