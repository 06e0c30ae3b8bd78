"""Fitting tensors by name, and refusing those that do not fit."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from addapt._errors import WeightsError
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.backbones.resnet import resnet, resnet_names
from addapt.engines.torch.backbones.weights import block_index, fits, load_weights

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1.0, -1.0])}


def tiny_backbone(seed: int = 0) -> Backbone:
    torch.manual_seed(seed)
    return resnet("tiny", block="basic", repeats=(1,))


def rename(key: str) -> str | None:
    return resnet_names((1,))(key)


def foreign_state(seed: int = 1) -> dict[str, Tensor]:
    """Torchvision's names, alphabetically."""
    theirs = {"stem.0.conv": "conv1", "stem.0.bn": "bn1"}
    for i in (0, 1):
        theirs[f"blocks.0.residual.{i}.conv"] = f"layer1.0.conv{i + 1}"
        theirs[f"blocks.0.residual.{i}.bn"] = f"layer1.0.bn{i + 1}"
    state = {"fc.weight": torch.randn(5, 64), "fc.bias": torch.randn(5)}
    for name, tensor in tiny_backbone(seed).state_dict().items():
        layer, _, leaf = name.rpartition(".")
        state[f"{theirs[layer]}.{leaf}"] = tensor
    return dict(sorted(state.items()))


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], expected[name]) for name in expected
    )


def test_weights_are_copied_by_name_and_the_classifier_is_handed_back() -> None:
    backbone, state = tiny_backbone(), foreign_state(seed=1)
    rest = load_weights(backbone, state, rename, "here")
    assert same(rest, {key: state[key] for key in ("fc.bias", "fc.weight")})
    assert same(backbone.state_dict(), tiny_backbone(seed=1).state_dict())
    assert not any(p.requires_grad for p in backbone.parameters())
    state["conv1.weight"].zero_()
    assert backbone.get_parameter("stem.0.conv.weight").any()  # a copy, not an alias


def test_batch_counters_may_be_absent_and_never_count() -> None:
    backbone, state = tiny_backbone(), foreign_state()
    state["bn1.num_batches_tracked"] = torch.tensor(99)
    del state["layer1.0.bn1.num_batches_tracked"]
    load_weights(backbone, state, rename, "here")
    counters = [t for n, t in backbone.state_dict().items() if n.endswith("num_batches_tracked")]
    assert len(counters) == 3
    assert all(counter == 0 and counter.dtype == torch.int64 for counter in counters)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(dtype: torch.dtype) -> None:
    backbone = tiny_backbone()
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in foreign_state().items()}
    load_weights(backbone, state, rename, "here")
    weight = backbone.get_parameter("stem.0.conv.weight")
    assert weight.dtype == torch.float32
    assert torch.equal(weight, state["conv1.weight"].float())


def without_bn1_bias(state: dict[str, Tensor]) -> None:
    del state["bn1.bias"]


def with_extra(state: dict[str, Tensor]) -> None:
    state["layer1.1.conv1.weight"] = torch.zeros(1)


def with_other_shape(state: dict[str, Tensor]) -> None:
    state["conv1.weight"] = torch.zeros(32, 3, 3, 3)


def with_what_repeats_itself(state: dict[str, Tensor]) -> None:
    state["conv1.weight"] = torch.zeros(1).expand(2**40, 2**20)  # takes four bytes in a file


def with_one_tensor_twice(state: dict[str, Tensor]) -> None:
    state["stem.0.bn.bias"] = state["bn1.bias"]


def with_nan(state: dict[str, Tensor]) -> None:
    state["layer1.0.bn2.weight"][3] = float("nan")


def with_infinity(state: dict[str, Tensor]) -> None:
    state["layer1.0.bn2.running_var"][0] = float("inf")


def with_what_float32_cannot_hold(state: dict[str, Tensor]) -> None:
    state["bn1.weight"] = torch.full((64,), 1e300, dtype=torch.float64)


def with_integers(state: dict[str, Tensor]) -> None:
    state["bn1.weight"] = torch.ones(64, dtype=torch.int8)


def with_sparse(state: dict[str, Tensor]) -> None:
    state["bn1.weight"] = torch.ones(64).to_sparse()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (without_bn1_bias, r"1 of 15 tensors missing \(stem\.0\.bn\.bias\)"),
        (with_extra, r"tensors unexpected \(layer1\.1\.conv1\.weight\)"),
        (with_other_shape, r"conv1\.weight is \(32, 3, 3, 3\) instead of \(64, 3, 7, 7\)"),
        (with_what_repeats_itself, r"conv1\.weight is \(1099511627776, 1048576\) instead of"),
        (with_one_tensor_twice, r"unexpected \(stem\.0\.bn\.bias\)"),
        (with_nan, r"layer1\.0\.bn2\.weight from here holds values that are infinite or not"),
        (with_infinity, r"layer1\.0\.bn2\.running_var from here holds values that are infinite"),
        (with_what_float32_cannot_hold, r"bn1\.weight from here holds values that are infinite"),
        (with_integers, r"bn1\.weight from here does not hold .* but torch\.int8"),
        (with_sparse, r"bn1\.weight from here does not hold plain"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(
    damage: Callable[[dict[str, Tensor]], None], reason: str
) -> None:
    backbone, state = tiny_backbone(), foreign_state()
    damage(state)
    with pytest.raises(WeightsError, match=reason):
        load_weights(backbone, state, rename, "here")
    assert same(backbone.state_dict(), tiny_backbone().state_dict())


def test_a_long_list_of_misfits_is_cut_short() -> None:
    state = {f"t{i}": torch.zeros(1) for i in range(9)}
    with pytest.raises(WeightsError, match=r"9 of 9 tensors unexpected \(t0, t1, t2, \.\.\.\)"):
        load_weights(tiny_backbone(), state, rename, "here")


def test_fits() -> None:
    assert fits(tiny_backbone(), foreign_state(), rename)
    assert not fits(tiny_backbone(), STATE, rename)


def test_block_index() -> None:
    assert [block_index(s, i, (2, 1)) for s, i in ((0, 0), (0, 1), (1, 0))] == [0, 1, 2]
    assert [block_index(s, i, (2, 1)) for s, i in ((0, 2), (1, 1), (2, 0), (-1, 0))] == [None] * 4
