"""What decoding takes, told from headers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from addapt.images import Sample
from addapt.images.decoding_memory import decoding_bytes


def bytes_of(path: Path, px: int = 32) -> int:
    return decoding_bytes([Sample(path, 0)], px)


@pytest.fixture
def image() -> Image.Image:
    return Image.fromarray(np.zeros((600, 800, 3), dtype=np.uint8))


def test_formats(image: Image.Image, tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "a.webp"):
        image.save(tmp_path / name)
    image.save(tmp_path / "p.jpg", progressive=True)
    image.convert("RGBA").save(tmp_path / "t.png")
    full = 800 * 600
    assert bytes_of(tmp_path / "a.png") == 12 * full
    # A JPEG is decoded at an eighth where that will do.
    assert bytes_of(tmp_path / "a.jpg") == 12 * full // 64
    assert bytes_of(tmp_path / "a.jpg", px=200) == 12 * full
    assert bytes_of(tmp_path / "p.jpg") == 12 * full // 64 + 6 * full
    assert bytes_of(tmp_path / "t.png") == bytes_of(tmp_path / "a.webp") == 48 * full


def test_the_largest_counts_once_a_thread(
    image: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image.save(tmp_path / "large.png")
    image.resize((40, 40)).save(tmp_path / "small.png")
    samples = [Sample(tmp_path / name, 0) for name in ("small.png", "large.png")]
    one = decoding_bytes(samples, 32)
    assert one == bytes_of(tmp_path / "large.png")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert decoding_bytes(samples, 32) == 3 * one


def test_what_cannot_be_read_counts_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    assert bytes_of(tmp_path / "text.png") == 0
    assert bytes_of(tmp_path / "absent.png") == 0
    assert decoding_bytes([], 32) == 0
