"""Many samples take little memory and come back as they were."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from addapt.images.samples import Sample, Samples

NAMES = st.binary(min_size=1, max_size=9).filter(lambda name: not {0, 46, 47} & {*name})
LISTS = st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=3), st.integers(0, 999)))


def made(found: list[tuple[list[bytes], int]], root: Path) -> list[Sample]:
    return [Sample(root.joinpath(*map(os.fsdecode, parts)), label) for parts, label in found]


@given(found=LISTS, place=st.sampled_from([".", "a/b", "/a"]), data=st.data())
def test_samples_come_back(
    found: list[tuple[list[bytes], int]], place: str, data: st.DataObject
) -> None:
    root = Path(place)
    plain = made(found, root)
    for samples in (Samples.of(plain), Samples.of(iter(plain), root)):
        assert list(samples) == plain
        assert list(samples.paths()) == [sample.path for sample in plain]
        assert samples.labels.tolist() == [sample.label for sample in plain]
        assert samples == Samples.of(plain)
        relabelled = samples.relabelled(np.arange(1000)[::-1])
        assert list(relabelled) == [Sample(each.path, 999 - each.label) for each in plain]
        assert Samples.of(samples) is samples
        start, stop, step = (data.draw(st.integers(-9, 9)) for _ in range(3))
        assert list(samples[start : stop : step or 1]) == plain[start : stop : step or 1]
        assert list(samples + samples[:3]) == plain + plain[:3]
        if plain:
            assert samples[-1] == plain[-1]
            indices = data.draw(st.lists(st.integers(0, len(plain) - 1)))
            assert list(samples.select(indices)) == [plain[i] for i in indices]


def test_names_are_those_below_the_root() -> None:
    samples = Samples.of([Sample(Path("a/b/c.png"), 0), Sample(Path("a/d.png"), 1)], Path("a"))
    assert [samples.name(i) for i in range(2)] == [os.fsencode(Path("b/c.png")), b"d.png"]
    with pytest.raises(ValueError, match="d.png"):
        Samples.of([Sample(Path("a/d.png"), 1)], Path("b"))


def test_what_is_not_there() -> None:
    samples = Samples.of([Sample(Path("a"), 0)])
    with pytest.raises(IndexError):
        samples[1]
    assert samples != [Sample(Path("a"), 0)]
    assert samples != Samples.of([Sample(Path("a"), 1)])
    assert not Samples.of([])


def test_a_slice_takes_no_memory_of_its_own() -> None:
    samples = Samples.of(Sample(Path(f"{i}"), i) for i in range(9))
    assert np.shares_memory(samples[2:5].labels, samples.labels)
