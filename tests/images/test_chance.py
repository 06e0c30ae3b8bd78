"""A split is complete, disjoint and alike for every class; three numbers decide all chance."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from addapt._errors import DataError, OptionError
from addapt.images.chance import generator_of, split_validation
from addapt.images.samples import Sample, Samples


def make_samples(counts: list[int]) -> Samples:
    return Samples.of(
        Sample(Path(f"{label}/{i}.png"), label)
        for label, count in enumerate(counts)
        for i in range(count)
    )


@given(
    counts=st.lists(st.integers(2, 12), min_size=1, max_size=4),
    fraction=st.floats(0, 1, exclude_min=True, exclude_max=True),
    seed=st.integers(0, 2**63 - 1),
)
def test_every_class_is_split_alike(counts: list[int], fraction: float, seed: int) -> None:
    samples = make_samples(counts)
    chosen = split_validation(samples, fraction, seed)
    assert np.array_equal(split_validation(samples, fraction, seed), chosen)
    assert len(chosen) == len(samples)
    val_counts = Counter(samples.labels[chosen].tolist())
    for label, count in enumerate(counts):
        assert 1 <= val_counts[label] <= count - 1
        wanted = min(max(count * fraction, 1), count - 1)
        assert abs(val_counts[label] - wanted) <= 0.5


@given(
    classes=st.lists(st.lists(st.integers(1, 6), min_size=2, max_size=9), min_size=1, max_size=3),
    fraction=st.floats(0, 1, exclude_min=True, exclude_max=True),
    seed=st.integers(0, 2**63 - 1),
)
def test_copies_stay_on_one_side(classes: list[list[int]], fraction: float, seed: int) -> None:
    samples = make_samples([sum(sizes) for sizes in classes])
    flat = [size for sizes in classes for size in sizes]
    groups = np.repeat(np.random.default_rng(seed).permutation(len(flat)), flat)
    chosen = split_validation(samples, fraction, seed, groups)
    for group in np.unique(groups):
        assert len(set(chosen[groups == group].tolist())) == 1
    for label, sizes in enumerate(classes):
        count, total = int(chosen[samples.labels == label].sum()), sum(sizes)
        assert 1 <= count <= total - 1
        wanted = min(max(round(total * fraction), 1), total - 1)
        assert abs(count - wanted) <= max(sizes) - 1


@pytest.mark.parametrize("numbers", [range(25), range(99, 74, -1)])
def test_without_copies_groups_change_nothing(numbers: range) -> None:
    samples = make_samples([9, 2, 14])
    for seed in range(5):
        chosen = split_validation(samples, 0.3, seed, np.array(numbers))
        assert np.array_equal(chosen, split_validation(samples, 0.3, seed))


def test_a_large_group_is_no_reason_to_hold_out_too_many() -> None:
    groups = np.array([0] * 30 + list(range(1, 11)))
    for seed in range(10):
        chosen = split_validation(make_samples([40]), 0.1, seed, groups)
        assert chosen.sum() == 4
        assert not chosen[:30].any()


WHOLE = st.integers(0, 2**63 - 1)
TRIPLES = st.tuples(WHOLE, st.integers(0, 9), WHOLE)


@given(a=TRIPLES, b=TRIPLES)
@example(a=(2**32, 5, 0), b=(0, 1, 5))  # the same words, one after another
@example(a=(2**32, 0, 0), b=(0, 1, 0))
@example(a=(0, 1, 0), b=(0, 0, 1))
@example(a=(1, 0, 0), b=(0, 1, 0))
@example(a=(0, 0, 2**32), b=(0, 0, 1))
@example(a=(2**63 - 1, 0, 0), b=(2**63 - 2, 0, 0))
def test_the_three_numbers_alone_decide(a: tuple[int, int, int], b: tuple[int, int, int]) -> None:
    drawn = generator_of(*a).integers(2**63, size=4).tolist()
    np.random.default_rng().random()
    assert generator_of(*a).integers(2**63, size=4).tolist() == drawn
    assert (generator_of(*b).integers(2**63, size=4).tolist() == drawn) == (a == b)


def test_chance_stays_the_same_from_version_to_version() -> None:
    assert generator_of(1, 2, 3).integers(1000, size=5).tolist() == [925, 89, 40, 228, 335]


def test_another_seed_gives_another_split_and_the_order_given_is_not_followed() -> None:
    samples = make_samples([50, 50])
    splits = {
        tuple(np.flatnonzero(split_validation(samples, 0.2, seed)).tolist()) for seed in range(20)
    }
    assert len(splits) == 20
    assert (*range(10), *range(50, 60)) not in splits


def test_the_split_stays_the_same_from_version_to_version() -> None:
    chosen = split_validation(make_samples([9, 2, 14]), 0.3, 5)
    assert np.flatnonzero(chosen).tolist() == [1, 3, 5, 9, 13, 16, 21, 23]


def test_what_cannot_be_split() -> None:
    for fraction in (0.0, 1.0, -0.1, 20, float("nan")):
        with pytest.raises(OptionError, match=f"is {fraction}; it must lie between 0 and 1"):
            split_validation(make_samples([4, 4]), fraction, 0)
    with pytest.raises(DataError, match=r"1/0\.png is the only one of its class"):
        split_validation(make_samples([4, 1]), 0.5, 0)
    with pytest.raises(
        DataError, match=r"1/0\.png is the only .*, apart from 2 copies of it\. At l"
    ):
        split_validation(make_samples([2, 3]), 0.5, 0, np.array([0, 1, 2, 2, 2]))
