"""A split is complete, disjoint, alike for every class, and decided by its seed alone."""

import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from addapt._errors import DataError, OptionError
from addapt.images.folder import Sample
from addapt.images.split import split_validation


def make_samples(counts: list[int]) -> list[Sample]:
    return [
        Sample(Path(f"{label}/{i}.png"), label)
        for label, count in enumerate(counts)
        for i in range(count)
    ]


@given(
    counts=st.lists(st.integers(2, 30), min_size=1, max_size=6),
    fraction=st.floats(0, 1, exclude_min=True, exclude_max=True),
    seed=st.integers(0, 2**31),
)
def test_complete_disjoint_and_stratified(counts: list[int], fraction: float, seed: int) -> None:
    samples = make_samples(counts)
    train, val = split_validation(samples, fraction, seed)
    assert sorted(train + val, key=samples.index) == samples
    assert not set(train) & set(val)
    assert list(train) == [sample for sample in samples if sample in train]
    assert list(val) == [sample for sample in samples if sample in val]
    val_counts = Counter(sample.label for sample in val)
    for label, count in enumerate(counts):
        assert 1 <= val_counts[label] <= count - 1
        wanted = min(max(count * fraction, 1), count - 1)
        assert abs(val_counts[label] - wanted) <= 0.5


@given(seed=st.integers(0, 2**31))
def test_the_seed_alone_decides(seed: int) -> None:
    samples = make_samples([20, 20])
    first = split_validation(samples, 0.25, seed)
    random.random()
    torch.rand(1)
    before = random.getstate()
    assert split_validation(samples, 0.25, seed) == first
    assert random.getstate() == before


def test_another_seed_gives_another_split_and_the_order_given_is_not_followed() -> None:
    samples = make_samples([50, 50])
    splits = {split_validation(samples, 0.2, seed)[1] for seed in range(20)}
    assert len(splits) == 20
    assert (*samples[:10], *samples[50:60]) not in splits


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 20, float("nan")])
def test_fraction_out_of_range(fraction: float) -> None:
    with pytest.raises(OptionError, match=f"is {fraction}; it must lie between 0 and 1"):
        split_validation(make_samples([4, 4]), fraction, 0)


def test_a_class_with_one_image() -> None:
    with pytest.raises(DataError, match=r"1/0\.png is the only one of its class"):
        split_validation(make_samples([4, 1]), 0.5, 0)
