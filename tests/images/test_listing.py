"""Folders as they are found in the wild: deep, in circles, full, and called anything."""

import os
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest

from addapt._errors import DataError
from addapt.images.folder import scan_classes, scan_folder
from addapt.images.listing import MAX_DEPTH, entries, files, is_image, subfolders


def put(root: Path, *names: str | bytes) -> None:
    """Make an empty file under each name, which may be bytes that are no text."""
    for name in names:
        path = root / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(folder: Path) -> list[str]:
    return [os.path.relpath(entry.path, folder) for entry in files(folder)]


def test_files_come_sorted_by_path_whatever_lies_between(tmp_path: Path) -> None:
    put(tmp_path, "b/2", "b/1/z", "c", "a", "b/1.x", ".hidden/1", "b/@eaDir/1", "b/.DS_Store")
    assert found(tmp_path) == ["a", "b/1/z", "b/1.x", "b/2", "c"]
    assert [entry.name for entry in entries(tmp_path)] == ["a", "b", "c"]
    assert subfolders(tmp_path) == ["b"]


def test_folders_are_searched_down_to_a_limit_that_is_told(tmp_path: Path) -> None:
    deepest = "/".join("d" * MAX_DEPTH)
    put(tmp_path, f"cat/{deepest}/1.png", "cat/2.png", "dog/1.png", "dog/2.png")
    assert len(scan_folder(tmp_path).train) == 4
    put(tmp_path, f"cat/{deepest}/d/1.png")
    with pytest.raises(DataError, match=f"cat holds folders in folders, more than {MAX_DEPTH}"):
        scan_folder(tmp_path)


@pytest.mark.slow
def test_a_chain_of_folders_longer_than_python_may_call_itself(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")
    chain = [f"{tmp_path}/cat{'/d' * i}" for i in range(1, sys.getrecursionlimit() + 100)]
    try:
        for folder in chain:
            os.mkdir(folder)  # noqa: PTH102 - a Path of so many parts takes seconds
        with pytest.raises(DataError, match=f"more than {MAX_DEPTH} deep"):
            scan_folder(tmp_path)
    finally:  # what deletes the folders of tests calls itself
        for folder in reversed(chain):
            os.rmdir(folder)  # noqa: PTH106


def test_links_that_lead_to_themselves_or_to_each_other(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "dog/1.png", "dog/2.png")
    cat = tmp_path / "cat"
    (cat / "self.png").symlink_to(cat / "self.png")
    (cat / "one").symlink_to(cat / "two")
    (cat / "two").symlink_to(cat / "one")
    (cat / "up").symlink_to(tmp_path)
    (cat / "further up").symlink_to(tmp_path.parent)
    assert found(cat) == ["1.png", "one", "self.png", "two"]
    assert [entry.name for entry in files(cat) if is_image(entry)] == ["1.png", "self.png"]
    assert len(scan_folder(tmp_path).train) == 4


def test_what_is_called_like_an_image_but_is_none(tmp_path: Path) -> None:
    put(tmp_path, "jpg", "x.jpg.txt", "y.JPG", "z.")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "to_pipe.png").symlink_to(tmp_path / "pipe.png")
    (tmp_path / "null.png").symlink_to("/dev/null")
    assert [entry.name for entry in files(tmp_path) if is_image(entry)] == ["y.JPG"]


def test_names_in_any_encoding(tmp_path: Path) -> None:
    names = [b"caf\xe9/\xff\xfe.png", b"caf\xe9/\x1b[31m\n.png", "größe/ψ\u202e.png".encode()]
    put(tmp_path, *names, b"gr\xf6\xdfe/1.png", b"gr\xf6\xdfe/2.png", "größe/2.png")
    contents = scan_folder(tmp_path)
    assert [os.fsencode(name) for name in contents.classes] == [
        b"gr\xf6\xdfe" if name == "gr\udcf6\udcdfe" else name.encode(errors="surrogateescape")
        for name in sorted(["caf\udce9", "gr\udcf6\udcdfe", "größe"])
    ]
    scanned = {os.fsencode(sample.path.relative_to(tmp_path)) for sample in contents.train}
    assert scanned >= set(names)
    assert all(sample.path.exists() for sample in contents.train)
    assert scan_classes(tmp_path, contents.classes).samples == contents.train


def test_a_folder_that_vanishes_while_it_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "cat/young/1.png", "cat/2.png", "dog/1.png", "dog/2.png")
    scan = os.scandir

    def scan_late(folder: str | Path) -> object:
        if str(folder).endswith("young"):
            (tmp_path / "cat/young/1.png").unlink()
            (tmp_path / "cat/young").rmdir()
        return scan(folder)

    monkeypatch.setattr("os.scandir", scan_late)
    with pytest.raises(DataError, match="young: No such file.* vanished in the meantime"):
        scan_folder(tmp_path)


def test_files_that_come_and_go_while_they_are_listed(tmp_path: Path) -> None:
    put(tmp_path, *(f"{label}/{i}.png" for label in ("cat", "dog") for i in range(20)))
    stop = threading.Event()

    def shuffle() -> None:
        while not stop.is_set():
            put(tmp_path, "cat/new.png")
            (tmp_path / "cat/new.png").unlink()

    thread = threading.Thread(target=shuffle)
    thread.start()
    try:
        for _ in range(30):
            assert len(scan_folder(tmp_path).train) in (40, 41)
    finally:
        stop.set()
        thread.join()


@pytest.mark.slow
def test_50_000_files_in_one_class(tmp_path: Path) -> None:
    put(tmp_path, *(f"cat/image {i:05}.jpg" for i in range(50_000)), "dog/1.jpg", "dog/2.jpg")
    tracemalloc.start()
    contents = scan_folder(tmp_path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(contents.train) == 50_002
    assert contents.train[0].path.name == "image 00000.jpg"
    assert peak_bytes < 10_000_000
