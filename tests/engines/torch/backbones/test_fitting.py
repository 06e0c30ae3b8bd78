"""Fitting tensors by name, and refusing those that do not fit."""

import math

import pytest
import torch
from torch import Tensor

from addapt._errors import WeightsError
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.backbones.fitting import block_index, fits, load_weights
from addapt.engines.torch.backbones.resnet import resnet, resnet_names

rename = resnet_names((1,))


def tiny_backbone(seed: int = 0) -> Backbone:
    torch.manual_seed(seed)
    return resnet("tiny", block="basic", repeats=(1,))


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


def filled(value: float, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.full((64,), value, dtype=dtype)


@pytest.mark.parametrize(
    ("name", "tensor", "reason"),
    [
        ("bn1.bias", None, r"1 of 15 tensors missing \(stem\.0\.bn\.bias\)"),
        ("layer1.1.conv1.weight", filled(0), r"unexpected \(layer1\.1\.conv1\.weight\)"),
        ("stem.0.bn.bias", filled(0), r"unexpected \(stem\.0\.bn\.bias\)"),  # there twice
        ("conv1.weight", filled(0), r"conv1\.weight is \(64,\) instead of \(64, 3, 7, 7\)"),
        # takes four bytes in a file
        (
            "conv1.weight",
            torch.zeros(1).expand(2**40, 2**20),
            r"is \(1099511627776, 1048576\) inst",
        ),
        (
            "layer1.0.bn2.weight",
            filled(math.nan),
            r"layer1\.0\.bn2\.weight from here .* infinite or",
        ),
        ("layer1.0.bn2.running_var", filled(-math.inf), "running_var from here .* infinite"),
        ("bn1.weight", filled(1e300, torch.float64), r"bn1\.weight from here .* infinite"),
        ("bn1.weight", filled(1, torch.int8), r"bn1\.weight from here does not .* but torch\.int8"),
        ("bn1.weight", filled(1).to_sparse(), r"bn1\.weight from here does not hold plain"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(
    name: str, tensor: Tensor | None, reason: str
) -> None:
    backbone, state = tiny_backbone(), foreign_state()
    if tensor is None:
        del state[name]
    else:
        state[name] = tensor
    with pytest.raises(WeightsError, match=reason):
        load_weights(backbone, state, rename, "here")
    assert same(backbone.state_dict(), tiny_backbone().state_dict())


def test_a_long_list_of_misfits_is_cut_short() -> None:
    state = {f"t{i}": torch.zeros(1) for i in range(9)}
    assert fits(tiny_backbone(), foreign_state(), rename)
    assert not fits(tiny_backbone(), state, rename)
    with pytest.raises(WeightsError, match=r"9 of 9 tensors unexpected \(t0, t1, t2, \.\.\.\)"):
        load_weights(tiny_backbone(), state, rename, "here")


def test_block_index() -> None:
    assert [block_index(s, i, (2, 1)) for s, i in ((0, 0), (0, 1), (1, 0))] == [0, 1, 2]
    assert [block_index(s, i, (2, 1)) for s, i in ((0, 2), (1, 1), (2, 0), (-1, 0))] == [None] * 4
