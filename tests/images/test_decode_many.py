"""Decoding on threads keeps the order and holds few images; headers tell what it takes."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from addapt._errors import OptionError
from addapt.images.decode import read_image
from addapt.images.decode_many import (
    IN_FLIGHT_PER_THREAD,
    MAX_THREADS,
    decode_in_order,
    decoding_bytes,
    usable_threads,
)

BILINEAR = Image.Resampling.BILINEAR


def bytes_of(path: Path, px: int = 32) -> int:
    return decoding_bytes([path], px, threads=1)


def test_formats(tmp_path: Path) -> None:
    image = Image.new("RGB", (800, 600))
    for name in ("a.png", "a.jpg", "a.webp"):
        image.save(tmp_path / name)
    image.save(tmp_path / "p.jpg", progressive=True)
    image.convert("RGBA").save(tmp_path / "t.png")
    full = 800 * 600
    assert bytes_of(tmp_path / "a.png") == 12 * full
    # A JPEG is decoded at an eighth where that will do.
    assert bytes_of(tmp_path / "a.jpg") == 12 * full // 64
    assert bytes_of(tmp_path / "a.jpg", px=200) == 12 * full
    assert bytes_of(tmp_path / "p.jpg") == 12 * full // 64 + 3 * full
    assert bytes_of(tmp_path / "t.png") == bytes_of(tmp_path / "a.webp") == 48 * full


def test_the_largest_counts_once_a_thread(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("small.png", "large.png", "text.png", "absent.png")]
    Image.new("RGB", (40, 40)).save(paths[0])
    Image.new("RGB", (800, 600)).save(paths[1])
    paths[2].write_text("no image")
    assert decoding_bytes(paths, 32, threads=3) == 3 * 12 * 800 * 600
    assert decoding_bytes(paths, 32) == usable_threads() * 12 * 800 * 600
    assert decoding_bytes(paths[2:], 32) == decoding_bytes([], 32) == 0


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Forty images whose red value is their number."""
    paths = [tmp_path / f"{i}.png" for i in range(40)]
    for i, path in enumerate(paths):
        Image.new("RGB", (6, 5), (i, 0, 0)).save(path)
    return paths


def test_order_does_not_depend_on_which_image_is_decoded_first(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    last_started = threading.Event()

    def read_first_last(path: Path, *how: Any) -> Image.Image:
        if path == paths[3]:
            last_started.set()
        if path == paths[0]:
            assert last_started.wait(30)
        return read_image(path, *how)

    monkeypatch.setattr("addapt.images.decode_many.read_image", read_first_last)
    reds = []
    for decoded in decode_in_order(paths[:4], 4, BILINEAR, threads=2):
        assert isinstance(decoded, tuple)
        reds.append(decoded[0][0, 0, 0])
    assert reds == [0, 1, 2, 3]


def test_few_decoded_images_wait_at_a_time(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = threading.Lock()
    started = fetched = most_waiting = 0

    def count_started(path: Path, *how: Any) -> Image.Image:
        nonlocal started, most_waiting
        with lock:
            started += 1
            most_waiting = max(most_waiting, started - fetched)
        return read_image(path, *how)

    monkeypatch.setattr("addapt.images.decode_many.read_image", count_started)
    for _ in decode_in_order(paths, 4, BILINEAR, threads=2):
        with lock:
            fetched += 1
    assert started == fetched == 40
    assert most_waiting <= 2 * IN_FLIGHT_PER_THREAD


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="asks the system another way")
def test_threads_are_as_many_as_there_are_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    for allowed, threads in ({3, 5}, 2), (set(range(64)), MAX_THREADS):
        monkeypatch.setattr(os, "sched_getaffinity", lambda process, allowed=allowed: allowed)
        assert usable_threads() == threads
    monkeypatch.delattr(os, "sched_getaffinity")
    for count, threads in (3, 3), (None, 1):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        assert usable_threads() == threads
    assert usable_threads(1) == 1
    assert usable_threads(100) == MAX_THREADS
    with pytest.raises(OptionError, match="`threads` is 0: give at least 1"):
        usable_threads(0)
