"""Fitting tensors by name, and refusing those that do not fit."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from addapt._errors import WeightsError
from addapt.backbones import IMAGENET_INPUT
from addapt.backbones.fitting import fit, fits
from addapt.backbones.random_weights import random_weights
from addapt.backbones.resnets import resnet

State = dict[str, NDArray[Any]]
TINY = resnet("tiny", IMAGENET_INPUT, "basic", (1,))


def foreign_state(seed: int = 1) -> State:
    """Torchvision's names, alphabetically."""
    theirs = {"stem.0.conv": "conv1", "stem.0.bn": "bn1"}
    for i in (0, 1):
        theirs[f"blocks.0.residual.{i}.conv"] = f"layer1.0.conv{i + 1}"
        theirs[f"blocks.0.residual.{i}.bn"] = f"layer1.0.bn{i + 1}"
    state: State = {"fc.weight": np.ones((5, 64)), "fc.bias": np.ones(5)}
    for name, array in random_weights(TINY, seed).items():
        layer, _, leaf = name.rpartition(".")
        state[f"{theirs[layer]}.{leaf}"] = array
    for layer in ("bn1", "layer1.0.bn1", "layer1.0.bn2"):
        state[f"{layer}.num_batches_tracked"] = np.array(99)
    return dict(sorted(state.items()))


def test_weights_are_found_by_name_and_not_copied() -> None:
    state = foreign_state()
    fitted = fit(TINY, state, "here")
    expected = random_weights(TINY, seed=1)
    assert list(fitted) == list(expected) == list(TINY.shapes())
    assert all(np.array_equal(fitted[name], expected[name]) for name in expected)
    assert fitted["stem.0.conv.weight"] is state["conv1.weight"]


def test_batch_counters_and_the_classifier_may_be_absent() -> None:
    state = foreign_state()
    for name in ("layer1.0.bn1.num_batches_tracked", "fc.weight", "fc.bias"):
        del state[name]
    assert fit(TINY, state, "here").keys() == TINY.shapes().keys()


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_precisions_become_float32(dtype: type[np.generic]) -> None:
    state = {name: array.astype(dtype) for name, array in foreign_state().items()}
    weight = fit(TINY, state, "here")["stem.0.conv.weight"]
    assert weight.dtype == np.float32
    assert np.array_equal(weight, state["conv1.weight"].astype(np.float32))


def filled(value: float, dtype: type[np.generic] = np.float32) -> NDArray[Any]:
    return np.full((64,), value, dtype)


@pytest.mark.parametrize(
    ("name", "array", "reason"),
    [
        ("bn1.bias", None, r"1 of 15 tensors missing \(stem\.0\.bn\.bias\)"),
        ("layer1.1.conv1.weight", filled(0), r"unexpected \(layer1\.1\.conv1\.weight\)"),
        ("stem.0.bn.bias", filled(0), r"unexpected \(stem\.0\.bn\.bias\)"),  # there twice
        ("conv1.weight", filled(0), r"conv1\.weight is \(64,\) instead of \(64, 3, 7, 7\)"),
        # takes four bytes in a file
        (
            "conv1.weight",
            np.broadcast_to(np.float32(0), (2**40, 2**20)),
            r"is \(1099511627776, 1048576\) inst",
        ),
        (
            "layer1.0.bn2.weight",
            filled(math.nan),
            r"layer1\.0\.bn2\.weight from here .* infinite or",
        ),
        ("layer1.0.bn2.running_var", filled(-math.inf), "running_var from here .* infinite"),
        ("bn1.weight", filled(1e300, np.float64), r"bn1\.weight from here .* infinite"),
        ("bn1.weight", filled(1, np.int8), r"bn1\.weight from here does not .* but int8"),
        ("bn1.weight", filled(1, np.complex64), r"bn1\.weight from here .* but complex64"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    name: str, array: NDArray[Any] | None, reason: str
) -> None:
    state = foreign_state()
    if array is None:
        del state[name]
    else:
        state[name] = array
    with pytest.raises(WeightsError, match=reason):
        fit(TINY, state, "here")


def test_a_long_list_of_misfits_is_cut_short() -> None:
    state: State = {f"t{i}": np.zeros(1) for i in range(9)}
    assert fits(TINY, foreign_state())
    assert not fits(TINY, state)
    with pytest.raises(WeightsError, match=r"9 of 9 tensors unexpected \(t0, t1, t2, \.\.\.\)"):
        fit(TINY, state, "here")
