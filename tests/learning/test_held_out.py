"""Checksums of images held out: written, read, and held out again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from addapt.images import Sample, load_images
from addapt.learning.held_out import LIMIT, held_out_before, held_out_text, hold_out_again
from tests.domains.domain_cases import INFO

CHECKSUMS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20)


@given(now=CHECKSUMS, before=st.none() | CHECKSUMS)
def test_a_file_gives_them_back(now: list[int], before: list[int] | None) -> None:
    earlier = None if before is None else np.array(before, np.uint32)
    text = held_out_text(np.array(now, np.uint32), earlier)
    read = held_out_before(replace(INFO, options={"held_out": text}))
    assert read is not None
    assert read.tolist() == sorted({*now, *(before or ())})


def test_a_file_has_room_for_so_many() -> None:
    many = np.arange(3 * LIMIT, dtype=np.uint32)
    text = held_out_text(many, many)
    read = held_out_before(replace(INFO, options={"held_out": text}))
    assert read is not None
    assert len(read) == LIMIT
    assert len(text) < 30_000


@pytest.mark.parametrize("value", [None, "", "no base64!", "AAA=", 7, ["AAAA"], "ä"])
def test_values_that_make_no_sense(value: object) -> None:
    assert held_out_before(replace(INFO, options={"held_out": value})) is None
    assert held_out_before(replace(INFO, options={})) is None


def test_held_out_again(tmp_path: Path) -> None:
    """Of class 0 two were held out, of class 1 all that are there, of class 2 none."""
    samples = []
    for number in range(9):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
        samples.append(Sample(path, number // 4))
    images, _ = load_images(samples, 8, "bilinear")
    in_val = np.arange(9) % 4 == 0
    before = images.checksums[[1, 2, 4, 5, 6, 7]]
    chosen = hold_out_again(images, in_val, before)
    assert np.flatnonzero(chosen).tolist() == [1, 2, 4, 8]
    assert np.flatnonzero(in_val).tolist() == [0, 4, 8]
