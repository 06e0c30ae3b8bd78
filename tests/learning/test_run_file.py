"""The state of an unfinished run: comes back exactly, and is trusted only when it is whole."""

import errno
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from addapt._errors import TrainingError
from addapt.domains.sealed import seal
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.methods import DA3, AdaptedModel, attach
from addapt.learning import unfinished_threads
from addapt.learning.run_check import HISTORY, NUMBERS
from addapt.learning.run_file import (
    STATE_FILE,
    is_unfinished,
    load_run,
    remove_run,
    require_space_for_run,
    save_run,
    unfinished_micro_batch,
)
from addapt.learning.state import EpochRecord, TrainingState

FINGERPRINT = {"seed": 0, "number of threads": 3, "micro_batch": 4}
STEPS_PER_EPOCH = 4
Texts = dict[str, Any]
Tensors = dict[str, Tensor]


@pytest.fixture
def model(tiny_backbone: Backbone) -> AdaptedModel:
    return attach(tiny_backbone, DA3(), classes=3)


@pytest.fixture
def state(model: AdaptedModel) -> TrainingState:
    generator = torch.Generator().manual_seed(0)

    def noise(tensor: Tensor) -> Tensor:
        return torch.rand(tensor.shape, generator=generator).to(tensor.dtype)

    own = model.domain_state()
    optimiser = {}
    for name, tensor in own.items():
        if tensor.requires_grad:
            optimiser[f"{name}.step"] = torch.tensor(6.0)
            optimiser |= {f"{name}.{key}": noise(tensor) for key in ("exp_avg", "exp_avg_sq")}
    return TrainingState(
        step=6,
        epoch_loss_sum=0.1 + 0.2,
        train_s=1 / 3,
        best_epoch=1,
        history=[EpochRecord(1, 1 / 7, 0.3, 2 / 3, 1e-3, 0.1)],
        domain={name: noise(tensor) for name, tensor in own.items()},
        optimiser=optimiser,
        best={name: noise(tensor) for name, tensor in own.items()},
    )


def load(folder: Path, model: AdaptedModel) -> TrainingState | None:
    return load_run(folder, FINGERPRINT, model, STEPS_PER_EPOCH)


def refusal(folder: Path, model: AdaptedModel) -> str:
    with pytest.raises(TrainingError) as caught:
        load(folder, model)
    assert "--restart" in str(caught.value)
    return str(caught.value)


def test_comes_back_exactly(tmp_path: Path, model: AdaptedModel, state: TrainingState) -> None:
    assert load(tmp_path, model) is None
    save_run(tmp_path, state, FINGERPRINT)
    again = load(tmp_path, model)
    assert again is not None
    for name, value in vars(state).items():
        if isinstance(value, dict):
            read = getattr(again, name)
            assert list(read) == sorted(value)
            assert all(torch.equal(read[key], value[key]) for key in value)
        else:
            assert getattr(again, name) == value
    assert type(again.history[0].epoch) is int
    assert unfinished_threads(tmp_path) == 3
    assert unfinished_micro_batch(tmp_path) == 4


def test_same_state_same_bytes(tmp_path: Path, state: TrainingState) -> None:
    files = []
    for _ in range(2):
        save_run(tmp_path, state, FINGERPRINT)
        files.append((tmp_path / STATE_FILE).read_bytes())
    assert files[0] == files[1]


def test_new_run(tmp_path: Path, model: AdaptedModel) -> None:
    save_run(tmp_path, TrainingState(), FINGERPRINT)
    assert load(tmp_path, model) == TrainingState()


def test_best_that_outlives_the_others_holds_no_memory_of_theirs(
    tmp_path: Path, model: AdaptedModel, state: TrainingState
) -> None:
    save_run(tmp_path, state, FINGERPRINT)
    again = load(tmp_path, model)
    assert again is not None
    for tensor in again.best.values():
        assert tensor.untyped_storage().nbytes() == tensor.nbytes


@pytest.mark.parametrize("share", [i / 12 for i in range(12)])
def test_every_flipped_bit_is_noticed(
    tmp_path: Path, model: AdaptedModel, state: TrainingState, share: float
) -> None:
    save_run(tmp_path, state, FINGERPRINT)
    path = tmp_path / STATE_FILE
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 4
    path.write_bytes(content)
    refusal(tmp_path, model)


@pytest.mark.parametrize("length", [0, 7, 8, 500, -1])
def test_cut_off(tmp_path: Path, model: AdaptedModel, state: TrainingState, length: int) -> None:
    save_run(tmp_path, state, FINGERPRINT)
    path = tmp_path / STATE_FILE
    path.write_bytes(path.read_bytes()[:length])
    refusal(tmp_path, model)
    assert unfinished_threads(tmp_path) is None
    assert is_unfinished(tmp_path)


def wrong_number(name: str, value: object) -> Callable[[Texts, Tensors], None]:
    def change(texts: Texts, tensors: Tensors) -> None:
        texts["numbers"][name] = value

    return change


def wrong_tensor(name: str, value: Tensor | None) -> Callable[[Texts, Tensors], None]:
    def change(texts: Texts, tensors: Tensors) -> None:
        assert name in tensors or value is not None
        tensors.pop(name, None)
        if value is not None:
            tensors[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (wrong_number("step", -1), "make no sense"),
        (wrong_number("step", 3), "step 3 does not follow 1 epochs"),
        (wrong_number("step", 9), "step 9 does not follow 1 epochs"),
        (wrong_number("step", 6.0), "step is 6.0"),
        (wrong_number("step", True), "step is True"),
        (wrong_number("epoch_loss_sum", math.inf), "make no sense"),
        (wrong_number("epoch_loss_sum", math.nan), "epoch_loss_sum is nan"),
        (wrong_number("best_epoch", 2), "best epoch is 2 of 1"),
        (wrong_number("best_epoch", 0), "best epoch is 0 of 1"),
        (wrong_number("best_accuracy", 0.5), "best_accuracy"),
        (wrong_number("nonsense", 1), "nonsense"),
        (wrong_tensor("domain/head.bias", None), "part 'domain' are missing"),
        (wrong_tensor("best/head.bias", None), "part 'best' are missing"),
        (wrong_tensor("optimiser/head.bias.exp_avg", None), "'optimiser/head.bias' are missing"),
        (wrong_tensor("domain/head.bias", torch.zeros(4)), "another shape"),
        (wrong_tensor("domain/head.bias", torch.zeros(3).double()), "another shape"),
        (wrong_tensor("domain/head.bias", torch.full((3,), math.nan)), "no finite number"),
        (wrong_tensor("optimiser/head.bias.exp_avg", torch.full((3,), math.inf)), "no finite"),
        (wrong_tensor("domain/other", torch.zeros(3)), "'domain/other' is not one of"),
        (wrong_tensor("other/head.bias", torch.zeros(3)), "'other/head.bias' is not one of"),
        (wrong_tensor(HISTORY, None), "history is missing"),
        (wrong_tensor(HISTORY, torch.zeros(1, 5).double()), "another shape"),
        (wrong_tensor(HISTORY, torch.full((1, 6), math.inf).double()), "infinity"),
        (wrong_tensor(HISTORY, torch.full((1, 6), 2.0).double()), "epoch 1 has values"),
        (lambda texts, tensors: texts.pop("numbers"), "numbers"),
        (lambda texts, tensors: texts.pop("fingerprint"), "does not say what it was made with"),
    ],
)
def test_what_no_run_writes_is_refused_though_its_checksum_is_right(
    tmp_path: Path,
    model: AdaptedModel,
    state: TrainingState,
    change: Callable[[Texts, Tensors], None],
    message: str,
) -> None:
    texts: Texts = {
        "fingerprint": dict(FINGERPRINT),
        "numbers": {name: getattr(state, name) for name in NUMBERS},
    }
    tensors = {
        f"{part}/{name}": tensor
        for part in ("domain", "optimiser", "best")
        for name, tensor in getattr(state, part).items()
    }
    tensors[HISTORY] = torch.tensor([[1, 1 / 7, 0.3, 2 / 3, 1e-3, 0.1]], dtype=torch.float64)

    def forge() -> None:
        (tmp_path / STATE_FILE).write_bytes(
            b"".join(seal("addapt-run-2", json.dumps(texts), tensors))
        )

    forge()
    assert load(tmp_path, model) is not None
    change(texts, tensors)
    forge()
    assert message in refusal(tmp_path, model)


def test_other_threads_are_refused_with_the_choice(
    tmp_path: Path, model: AdaptedModel, state: TrainingState
) -> None:
    save_run(tmp_path, state, {**FINGERPRINT, "number of threads": 2})
    message = refusal(tmp_path, model)
    assert "number of threads was 2 and now is 3. Give --threads 2 to go on" in message


def test_numbers_for_the_program_are_not_believed_blindly(
    tmp_path: Path, state: TrainingState
) -> None:
    for value in (0, -1, 10**9, "2", None, True, 2.0):
        save_run(tmp_path, state, {"number of threads": value, "micro_batch": value})
        assert unfinished_threads(tmp_path) is None
        if value != 10**9:
            assert unfinished_micro_batch(tmp_path) is None


def test_state_of_an_earlier_form(tmp_path: Path, model: AdaptedModel) -> None:
    (tmp_path / STATE_FILE).write_bytes(b"".join(seal("addapt-run", "{}", {})))
    assert "this version of addapt did not write it" in refusal(tmp_path, model)


def test_full_disk_is_known_before_anything_is_written(
    tmp_path: Path, model: AdaptedModel, state: TrainingState, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".learning" / "x"
    save_run(folder, state, FINGERPRINT)
    before = (folder / STATE_FILE).read_bytes()
    free_bytes = [len(before) + 900_000]
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("", (), {"free": free_bytes[0]}))
    state.step += 1
    with pytest.raises(TrainingError, match=r"x because the disk is full: free some space"):
        save_run(folder, state, FINGERPRINT)
    with pytest.raises(TrainingError, match="the disk is full"):
        require_space_for_run(folder, model)
    assert [path.name for path in folder.iterdir()] == [STATE_FILE]
    assert (folder / STATE_FILE).read_bytes() == before
    free_bytes[0] = len(before) + 1_000_000
    save_run(folder, state, FINGERPRINT)
    state_bytes = 4 * sum(tensor.nbytes for tensor in model.domain_state().values())
    free_bytes[0] = state_bytes + 1_000_000
    require_space_for_run(folder, model)  # the state that is there will make room
    with pytest.raises(TrainingError, match="the disk is full"):
        require_space_for_run(tmp_path / ".learning" / "y", model)


def test_disk_that_does_not_answer(
    tmp_path: Path, state: TrainingState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("shutil.disk_usage", refuse)
    save_run(tmp_path, state, FINGERPRINT)
    assert is_unfinished(tmp_path)


def test_removed_with_the_folder_above_when_that_is_empty(
    tmp_path: Path, state: TrainingState
) -> None:
    folders = [tmp_path / ".learning" / name for name in "ab"]
    for folder in folders:
        save_run(folder, state, FINGERPRINT)
    for folder in folders:
        remove_run(folder)
        remove_run(folder)
    assert list(tmp_path.iterdir()) == []
