"""Reading weights files, refusing bad ones, and fitting tensors by name."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from addapt._errors import WeightsError
from addapt.backbones import Backbone
from addapt.backbones.resnet import resnet, resnet_names
from addapt.backbones.weights import block_index, fits, load_weights, read_state

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


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".PTH", ".safetensors"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_state_dicts_are_read_from_every_format(prefix: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    state = {f"{prefix}{name}": tensor for name, tensor in STATE.items()}
    save: Callable[[dict[str, Tensor], Path], None] = (
        save_file if suffix == ".safetensors" else torch.save
    )
    save(state, path)
    assert same(read_state(path), STATE)


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_nested_state_dicts_are_found(key: str, tmp_path: Path) -> None:
    torch.save({"epoch": 3, key: STATE}, tmp_path / "weights.pth")
    assert same(read_state(tmp_path / "weights.pth"), STATE)


def test_files_of_old_torch_are_read(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert same(read_state(tmp_path / "old.pth"), STATE)


def test_a_prefix_that_only_some_names_have_belongs_to_them(tmp_path: Path) -> None:
    state = {"module.a": torch.zeros(1), "b": torch.ones(1)}
    torch.save(state, tmp_path / "weights.pth")
    assert same(read_state(tmp_path / "weights.pth"), state)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([torch.zeros(1)], "a value of type list"),
        ({}, "an empty dict"),
        ({"state_dict": {}}, "an empty dict"),
        (torch.zeros(3), "a value of type Tensor"),
        ({"a": torch.zeros(1), "lr": 0.1}, "its entry 'lr' is a value of type float"),
        ({"optimizer": {"a": torch.zeros(1)}}, "its entry 'optimizer' is a dict"),
        ({7: torch.zeros(1)}, "its entry 7"),
    ],
)
def test_what_is_not_a_state_dict_is_refused(content: object, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(WeightsError, match=reason) as caught:
        read_state(path)
    assert str(path) in str(caught.value)
    assert "torch.save(network.state_dict(), path)" in str(caught.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".txt", ""])
@pytest.mark.parametrize(
    "content", [b"", b"not weights at all\n", b"PK\x03\x04 torn", b"\x80\x02."]
)
def test_files_of_another_kind_are_refused(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"Give a \.safetensors file") as caught:
        read_state(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_torn_files_are_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(STATE, path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(WeightsError, match="cannot be read|was refused"):
        read_state(path)


def test_missing_files_and_directories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.pth does not exist"):
        read_state(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match="is a directory"):
        read_state(tmp_path)


class Trap:
    """Writes a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.write_text, (self.path, "code ran")


@pytest.mark.parametrize("archive", ["zip", "old torch", "plain pickle"])
def test_code_in_a_pickle_is_never_run(archive: str, tmp_path: Path) -> None:
    path, sprung = tmp_path / "weights.pth", tmp_path / "sprung"
    content = {**STATE, "trap": Trap(sprung)}
    if archive == "plain pickle":
        path.write_bytes(pickle.dumps(Trap(sprung)))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=archive == "zip")
    with pytest.raises(WeightsError, match="holds code or objects besides tensors"):
        read_state(path)
    assert not sprung.exists()


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
