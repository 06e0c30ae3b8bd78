"""Graphs and weights in the cache: kept, never trusted, and made wherever there is a place."""

import dataclasses
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from safetensors.numpy import save_file

from addapt._disk import file_sha256
from addapt._errors import TrainingError, WeightsError
from addapt.backbones.weights import load_weights
from addapt.engines.onnx import making
from addapt.engines.onnx.making import FrozenOrder, GraphOrder, graph_file, identify
from addapt.engines.onnx.session import Session
from tests.forks import Fork

FROZEN = FrozenOrder("mobilenet_v2", "random", 0)
SMALL_BYTES = 500_000  # a graph, but no weights


@pytest.fixture(scope="module")
def order() -> GraphOrder:
    sha256 = load_weights("mobilenet_v2", "random").sha256
    return GraphOrder("recognising", "mobilenet_v2", sha256, "head", {}, 32)


@pytest.fixture(scope="module")
def made(order: GraphOrder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return what the files should be, by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADDAPT_CACHE", str(tmp_path_factory.mktemp("made")))
        folder = graph_file(order, FROZEN).parent
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Return a new cache folder, of which this process knows nothing yet."""
    monkeypatch.setenv("ADDAPT_CACHE", str(tmp_path / "cache"))
    forget_all(monkeypatch)
    yield tmp_path / "cache"
    forget_all(monkeypatch)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the lists of files that were made from now on."""
    lists: list[list[str]] = []

    def ask(question: dict[str, Any]) -> dict[str, str]:
        lists.append(question.get("files", []))
        return real(question)

    real = making.ask_maker
    monkeypatch.setattr(making, "ask_maker", ask)
    return lists


def forget_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process know no more than another one would."""
    monkeypatch.setattr(making, "_made_here", {})
    if making._temporary_folder.cache_info().currsize:
        making._temporary_folder().cleanup()
        making._temporary_folder.cache_clear()


def put_into_cache(cache: Path, made: dict[str, bytes]) -> None:
    """Keep files as another process would have."""
    (making._kept_folder()).mkdir(parents=True)
    for name, content in made.items():
        path = making._kept_folder() / name
        path.write_bytes(content)
        making._note(path, file_sha256(path))


def notes(cache: Path) -> list[Path]:
    return sorted(cache.glob("file-*.json"))


def test_made_once(
    order: GraphOrder,
    made: dict[str, bytes],
    cache: Path,
    asked: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = graph_file(order, FROZEN)
    assert path == making._kept_folder() / order.file
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == made
    assert asked == [[order.weights_file, order.file]]
    forget_all(monkeypatch)
    assert graph_file(order, FROZEN) == path
    assert len(asked) == 1
    larger = dataclasses.replace(order, image_px=33)
    graph_file(larger, FROZEN)
    assert asked[1:] == [[larger.file]]  # the weights are shared
    Session(path, threads=1)


def test_code_that_changes(order: GraphOrder, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What other code made is not asked for: weights may lie elsewhere in their file, too."""
    before = {order.weights_file, order.file}
    monkeypatch.setattr(making, "_source_sha256", lambda: "1" * 64)
    assert not before & {order.weights_file, order.file}
    # This process is now of other code than those that it starts, as if addapt had been updated.
    with pytest.raises(TrainingError, match="has changed since this process began: start it anew"):
        graph_file(order, FROZEN)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


DAMAGES: list[Callable[[Path], None]] = [flip, cut, empty, longer, Path.unlink]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("which", ["graph", "weights"])
@pytest.mark.parametrize("known", [False, True], ids=["another process", "this process"])
def test_a_damaged_file_is_made_anew(
    order: GraphOrder,
    made: dict[str, bytes],
    cache: Path,
    asked: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
    which: str,
    known: bool,
) -> None:
    put_into_cache(cache, made)
    if not known:
        forget_all(monkeypatch)
    name = order.file if which == "graph" else order.weights_file
    damage(making._kept_folder() / name)
    path = graph_file(order, FROZEN)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == made
    assert asked == [[name]]


def test_a_foreign_graph_under_the_right_name(
    order: GraphOrder, made: dict[str, bytes], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A good one, of images of another size."""
    put_into_cache(cache, made)
    other = graph_file(dataclasses.replace(order, image_px=33), FROZEN)
    forget_all(monkeypatch)
    other.replace(making._kept_folder() / order.file)
    assert graph_file(order, FROZEN).read_bytes() == made[order.file]


def nonsense(note: Path) -> None:
    note.write_bytes(b"\xff{")


def no_object(note: Path) -> None:
    note.write_text("[]")


def lie(note: Path) -> None:
    kept = json.loads(note.read_text())
    kept["answer"]["sha256"] = "0" * 64
    note.write_text(json.dumps(kept))


def no_hash(note: Path) -> None:
    kept = json.loads(note.read_text())
    kept["answer"] = {"sha256": ["x"]}
    note.write_text(json.dumps(kept))


def another_question(note: Path) -> None:
    kept = json.loads(note.read_text())
    kept["question"]["path"] = "elsewhere"
    note.write_text(json.dumps(kept))


NOTES = [nonsense, no_object, lie, no_hash, another_question, Path.unlink]


@pytest.mark.parametrize("damage", NOTES, ids=lambda damage: damage.__name__)
def test_without_a_good_note_a_file_is_made_anew(
    order: GraphOrder,
    made: dict[str, bytes],
    cache: Path,
    asked: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
) -> None:
    put_into_cache(cache, made)
    forget_all(monkeypatch)
    for note in notes(cache):
        damage(note)
    for name in made:  # what nobody vouches for is not looked at
        flip(making._kept_folder() / name)
    path = graph_file(order, FROZEN)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == made
    assert asked == [[order.weights_file, order.file]]
    forget_all(monkeypatch)
    graph_file(order, FROZEN)
    assert len(asked) == 1  # the notes are good again


@pytest.mark.parametrize("where", ["a file", "nowhere", "no home", "a folder in the way"])
def test_no_place_to_keep_anything(
    order: GraphOrder,
    made: dict[str, bytes],
    cache: Path,
    asked: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    """They are made once in this process, in a folder that goes with it."""
    if where == "a file":
        cache.write_text("in the way")
    elif where == "nowhere":
        monkeypatch.setenv("ADDAPT_CACHE", "/proc/nowhere")
    elif where == "no home":
        monkeypatch.setattr(making, "cache_folder", no_home)
    else:
        (making._kept_folder() / order.weights_file / "in the way").mkdir(parents=True)
    paths = {graph_file(order, FROZEN) for _ in range(2)}
    folder = paths.pop().parent
    assert not paths
    assert not folder.is_relative_to(cache)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == made
    assert asked[-1] == [order.weights_file, order.file]
    tried = len(asked)
    graph_file(order, FROZEN)
    assert [names for names in asked[tried:] if order.file in names] == []
    forget_all(monkeypatch)
    assert not folder.exists()


def no_home() -> NoReturn:
    raise RuntimeError("Could not determine home directory.")


@pytest.mark.parametrize(
    ("where", "reason"),
    [("no home", "there is no such file"), ("a file", "a part of this path is a file")],
)
def test_no_place_at_all(
    order: GraphOrder, cache: Path, monkeypatch: pytest.MonkeyPatch, where: str, reason: str
) -> None:
    def refuse(**how: Any) -> NoReturn:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    if where == "no home":
        monkeypatch.setattr(making, "cache_folder", no_home)
    cache.write_text("in the way")
    with pytest.raises(TrainingError, match=f"cannot be written: {reason}.* ADDAPT_CACHE may"):
        graph_file(order, FROZEN)


def test_a_disk_too_small_for_the_weights(order: GraphOrder, cache: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_BYTES, before[1]))
    try:
        with pytest.raises(TrainingError, match="ONNX Runtime reads cannot be written: "):
            graph_file(order, FROZEN)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    for folder in (making._kept_folder(), Path(making._temporary_folder().name)):
        assert list(folder.iterdir()) == []  # no half file
    assert graph_file(order, FROZEN).parent == making._kept_folder()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 3", "exit code 3"),
        ("echo 'MemoryError: so many bytes' >&2; exit 1", "MemoryError: so many bytes"),
        ("kill -9 $$", "exit code -9"),
        ("exit 0", "exit code 0"),
        ("echo Aborted", "Aborted"),
    ],
)
def test_a_maker_that_dies(
    order: GraphOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(TrainingError, match=rf"could not be made \({reason}\). Free some memory"):
        graph_file(order, FROZEN)
    with pytest.raises(TrainingError, match=reason):
        identify(FROZEN)


def test_no_other_process_can_be_started(
    order: GraphOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is no matter of the disk."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(TrainingError, match=r"could not be made \(No such file"):
        graph_file(order, FROZEN)


def test_files_beside_the_user_are_no_modules(
    order: GraphOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnx", "json", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    assert graph_file(order, FROZEN).exists()


def test_two_at_once(order: GraphOrder, made: dict[str, bytes], cache: Path) -> None:
    others = [Fork(lambda: graph_file(order, FROZEN)) for _ in range(2)]
    assert [other.wait() for other in others] == [0, 0]
    assert {file.name: file.read_bytes() for file in (making._kept_folder()).iterdir()} == made
    assert len(notes(cache)) == 2


def own_weights(path: Path, seed: int) -> FrozenOrder:
    save_file(load_weights("mobilenet_v2", "random", seed=seed).tensors, path)
    return FrozenOrder("mobilenet_v2", str(path), 0)


def test_weights_that_change(
    order: GraphOrder, tmp_path: Path, asked: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.safetensors"
    frozen = own_weights(path, 1)
    sha256, source = identify(frozen)
    assert "own.safetensors" in source
    assert identify(frozen) == (sha256, source)
    assert len(asked) == 1  # remembered
    own_weights(path, 2)
    order = dataclasses.replace(order, weights_sha256=sha256)
    with pytest.raises(WeightsError, match="have changed since they were looked at. Try again"):
        graph_file(order, frozen)
    other = identify(frozen)[0]
    assert other != sha256
    graph_file(dataclasses.replace(order, weights_sha256=other), frozen)
    path.unlink()
    larger = dataclasses.replace(order, weights_sha256=other, image_px=33)
    graph_file(larger, frozen)  # the weights are kept


@pytest.mark.parametrize("damage", [nonsense, no_object, lie, no_hash], ids=lambda d: d.__name__)
def test_a_note_that_lies_about_weights_does_so_once(
    order: GraphOrder, cache: Path, damage: Callable[[Path], None]
) -> None:
    right = identify(FROZEN)
    (note,) = cache.glob("weights-*.json")
    damage(note)
    found = identify(FROZEN)
    if found != right:
        with pytest.raises(WeightsError, match="Try again"):
            graph_file(dataclasses.replace(order, weights_sha256=found[0]), FROZEN)
    assert identify(FROZEN) == right


def test_what_other_versions_made_goes_after_a_while(order: GraphOrder, cache: Path) -> None:
    old, recent = (cache / "graphs" / name for name in ("old", "recent"))
    for folder in (old, recent):
        folder.mkdir(parents=True)
        (folder / "a.onnx").write_bytes(b"a graph")
    days_ago = time.time() - (making.KEPT_DAYS + 1) * 86_400
    os.utime(old, (days_ago, days_ago))
    assert graph_file(order, FROZEN).parent == making._kept_folder()
    assert not old.exists() and recent.exists()
