"""Images beyond the memory lie in a file that nobody sees; what it loses is decoded anew."""

import errno
import gc
import os
import shutil
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from PIL import Image

from addapt._disk import MARGIN_BYTES
from addapt._errors import DataError
from addapt.images import ImageSet, Sample, ScratchFile, kept, load_images
from tests.faults import fail, kill_at_once
from tests.forks import Fork

PX, IMAGES = 8, 20
IMAGE_BYTES = 3 * PX * PX
HALF_BYTES = IMAGE_BYTES // 2


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    found = []
    for i in range(IMAGES):
        path = tmp_path / "images" / f"{i}.png"
        Image.fromarray(rng.integers(0, 256, (9, 11, 3), dtype=np.uint8)).save(path)
        found.append(Sample(path, i % 2))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "aside").mkdir()
    return tmp_path / "aside"


def load(samples: list[Sample], in_memory: int, aside: ScratchFile | None = None) -> ImageSet:
    return load_images(samples, PX, "bicubic", in_memory * IMAGE_BYTES, aside=aside)[0]


def whole(images: ImageSet) -> kept.Pixels:
    return images.batch(range(len(images)))


@pytest.mark.parametrize("in_memory", [0, 1, IMAGES - 1, IMAGES])
def test_images_are_the_same_wherever_they_lie(
    samples: list[Sample], folder: Path, in_memory: int
) -> None:
    expected = whole(load(samples, IMAGES))
    images = load(samples, in_memory, ScratchFile(folder))
    for sample in samples:
        sample.path.unlink()  # they are not decoded anew
    assert np.array_equal(whole(images), expected)
    order = [13, 0, 19, 13, 7]
    assert np.array_equal(images.batch(order), expected[order])
    assert np.array_equal(images.select([5, 18]).select([1, 0]).batch([0, 1]), expected[[18, 5]])
    assert list(folder.iterdir()) == []
    assert images.warning is None


def test_images_left_out_leave_the_others_where_they_are(
    samples: list[Sample], folder: Path
) -> None:
    for i in (1, 4, 19):
        samples[i].path.write_text("text")
    images, messages = load_images(
        samples, PX, "bicubic", 3 * IMAGE_BYTES, False, aside=ScratchFile(folder)
    )
    assert len(messages) == 3
    expected = whole(images)
    for sample in samples:
        sample.path.unlink()
    assert np.array_equal(whole(images), expected)


def test_a_file_is_only_made_for_what_needs_it(
    samples: list[Sample], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(tempfile, "TemporaryFile")
    load(samples, IMAGES, ScratchFile(folder))
    with pytest.raises(AttributeError):
        load(samples, IMAGES - 1, ScratchFile(folder))


def test_the_file_is_closed_with_the_last_set_that_uses_it(
    samples: list[Sample], folder: Path
) -> None:
    images = load(samples, 0, ScratchFile(folder))
    part = images.select([1])
    aside = images._kept._aside
    assert aside is not None and aside._file is not None
    file, gone = aside._file, weakref.ref(aside)
    del images, aside
    gc.collect()
    assert not file.closed
    part.batch([0])
    del part
    gc.collect()
    assert file.closed and gone() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot copy a process")
@pytest.mark.parametrize("nameless", [True, False])
def test_a_killed_process_leaves_nothing_behind(
    samples: list[Sample], folder: Path, monkeypatch: pytest.MonkeyPatch, nameless: bool
) -> None:
    if not nameless:  # a file system that has no files without names
        monkeypatch.setattr(tempfile, "_O_TMPFILE_WORKS", False, raising=False)

    def work() -> None:
        images = load(samples, 0, ScratchFile(folder))
        for sample in samples:
            sample.path.unlink()
        whole(images)
        kill_at_once()

    assert Fork(work).wait() == -9
    assert not any(sample.path.exists() for sample in samples)  # so far it came
    assert list(folder.iterdir()) == []


def test_many_threads_read_at_once(samples: list[Sample], folder: Path) -> None:
    expected = whole(load(samples, IMAGES))
    images = load(samples, 2, ScratchFile(folder))
    for sample in samples:
        sample.path.unlink()
    wrong: list[object] = []

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for _ in range(200):
                order = rng.integers(0, IMAGES, 5)
                if not np.array_equal(images.batch(order), expected[order]):
                    wrong.append(order)
        except DataError as error:
            wrong.append(error)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


class FailingFile:
    """A temporary file whose calls of one kind fail from a number on; a piece takes two of each."""

    def __init__(self, file: IO[bytes], call: str, number: int, error: int) -> None:
        self.file, self.call, self.left, self.error = file, call, number, error

    def _count(self, call: str) -> None:
        if call == self.call:
            self.left -= 1
            if self.left <= 0:
                fail(self.error)

    def write(self, data: memoryview) -> int:
        self._count("write")
        return self.file.write(data[:HALF_BYTES])  # as a disk may that is nearly full

    def readinto(self, data: memoryview) -> int:
        self._count("read")
        count: int = self.file.readinto(data[:HALF_BYTES])  # type: ignore[attr-defined]
        return count

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


FailWith = Callable[[str, int, int], list[FailingFile]]


@pytest.fixture
def fail_with(monkeypatch: pytest.MonkeyPatch) -> FailWith:
    """Return a function that lets the calls of a kind fail from a number on."""

    def prepare(call: str, number: int, error: int) -> list[FailingFile]:
        files: list[FailingFile] = []
        real = tempfile.TemporaryFile

        def make(*words: Any, **options: Any) -> FailingFile:
            files.append(FailingFile(real(*words, **options), call, number, error))
            return files[-1]

        monkeypatch.setattr(tempfile, "TemporaryFile", make)
        return files

    return prepare


def test_a_disk_that_takes_and_gives_little_at_a_time(
    samples: list[Sample], folder: Path, fail_with: FailWith
) -> None:
    fail_with("write", 10**9, 0)
    images, expected = load(samples, 0, ScratchFile(folder)), whole(load(samples, IMAGES))
    for sample in samples:
        sample.path.unlink()
    assert np.array_equal(whole(images), expected)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errno.ENOSPC, "because the disk is full: free some space and try again. The others are"),
        (errno.EDQUOT, "because your disk quota is used up: free"),
        (errno.EFBIG, "because files cannot be so large there: choose a folder on another disk."),
        (errno.EIO, "because Input/output error: check the disk"),
    ],
)
def test_the_disk_is_full_in_the_middle(
    samples: list[Sample], folder: Path, fail_with: FailWith, error: int, words: str
) -> None:
    """Of ten pieces, of two writes each, the last is refused, and two are given back."""
    files = fail_with("write", 20, error)
    expected = whole(load(samples, IMAGES))
    images = load(samples, 3, ScratchFile(folder, leave_free_bytes=2 * IMAGE_BYTES - 1))
    assert np.array_equal(whole(images), expected)
    assert images.warning is not None
    assert f"Not all decoded images could be put aside in {folder} {words}" in images.warning
    assert images.warning.endswith("which takes longer and changes nothing else.")
    assert os.fstat(files[0].fileno()).st_size == 7 * IMAGE_BYTES
    for sample in samples:
        sample.path.unlink()
    assert np.array_equal(images.batch(range(10)), expected[:10])
    with pytest.raises(DataError, match="10.png does not exist"):
        images.batch([10])


def test_space_is_left_free(
    samples: list[Sample], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = iter(range(5, -IMAGES, -1))

    def usage(path: Path) -> object:
        free = 1000 + MARGIN_BYTES + next(room) * IMAGE_BYTES
        return shutil._ntuple_diskusage(10**9, 10**9 - free, free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    images = load(samples, 0, ScratchFile(folder, leave_free_bytes=1000))
    assert images.warning is not None and "the disk is full" in images.warning
    for sample in samples:
        sample.path.unlink()
    images.batch(range(5))
    with pytest.raises(DataError, match="5.png does not exist"):
        images.batch([5])


@pytest.mark.parametrize("foreseen", [True, False])
def test_a_disk_that_is_really_full(
    samples: list[Sample], folder: Path, monkeypatch: pytest.MonkeyPatch, foreseen: bool
) -> None:
    if not foreseen:  # as with a quota, of which the system does not tell
        monkeypatch.setattr(kept, "require_space", lambda folder, needed_bytes: None)
    size = 120_000 + (MARGIN_BYTES if foreseen else 0)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        expected = load_images(samples, 64, "bicubic")[0]
        aside = ScratchFile(folder, leave_free_bytes=20_000)
        images, _ = load_images(samples, 64, "bicubic", 0, aside=aside)
        del aside
        assert images.warning is not None and "the disk is full" in images.warning
        assert np.array_equal(whole(images), whole(expected))
        assert shutil.disk_usage(folder).used > 0
        assert shutil.disk_usage(folder).free >= (MARGIN_BYTES if foreseen else 0) + 20_000
        del images
        gc.collect()
        assert shutil.disk_usage(folder).used == 0
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("error", "words"),
    [(errno.EROFS, "mounted read-only"), (errno.EACCES, "permission was denied")],
)
def test_a_folder_that_cannot_be_written(
    samples: list[Sample], folder: Path, monkeypatch: pytest.MonkeyPatch, error: int, words: str
) -> None:
    attempts: list[None] = []

    def refuse(**options: object) -> None:
        attempts.append(None)
        fail(error)

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    images = load(samples, 0, ScratchFile(folder))
    assert np.array_equal(whole(images), whole(load(samples, IMAGES)))
    assert images.warning is not None and words in images.warning
    assert len(attempts) == 1


def test_no_such_folder(samples: list[Sample], tmp_path: Path) -> None:
    for place in (tmp_path / "gone", samples[0].path):
        images = load(samples, 0, ScratchFile(place))
        assert np.array_equal(whole(images), whole(load(samples, IMAGES)))
        assert images.warning is not None and f"put aside in {place} because" in images.warning


def _damage(file: IO[bytes]) -> None:
    os.pwrite(file.fileno(), b"\0\1\2", 6 * IMAGE_BYTES)


def _cut(file: IO[bytes]) -> None:
    os.ftruncate(file.fileno(), 6 * IMAGE_BYTES + 5)


@pytest.mark.parametrize("harm", [_damage, _cut])
def test_what_comes_back_damaged_is_decoded_anew(
    samples: list[Sample], folder: Path, harm: Callable[[IO[bytes]], None]
) -> None:
    expected, aside = whole(load(samples, IMAGES)), ScratchFile(folder)
    images = load(samples, 0, aside)
    assert aside._file is not None
    harm(aside._file)
    assert np.array_equal(whole(images), expected)
    assert images.warning is not None
    assert "could be read again because what came back was damaged" in images.warning
    samples[6].path.unlink()
    with pytest.raises(DataError, match="6.png does not exist"):
        images.batch([6])


def test_a_disk_that_cannot_be_read_is_told_about_once(
    samples: list[Sample], folder: Path, fail_with: FailWith
) -> None:
    fail_with("read", 11, errno.EIO)
    images = load(samples, 0, ScratchFile(folder))
    assert np.array_equal(whole(images), whole(load(samples, IMAGES)))
    warning = images.warning
    assert warning is not None and "because Input/output error: check the disk" in warning
    whole(images)
    assert images.select([0]).warning is warning


def test_without_a_place_nothing_is_wrong(samples: list[Sample]) -> None:
    assert load(samples, 0).warning is None


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Let files be closed before their folders are removed."""
    yield
    gc.collect()
