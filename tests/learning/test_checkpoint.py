"""The state of an unfinished run: comes back exactly, and is trusted only when it is whole."""

import dataclasses
import errno
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from addapt._errors import TrainingError
from addapt.domains.sealed import seal
from addapt.engines.base import Model
from addapt.gates import BLOCKS, GateConfig
from addapt.learning import unfinished_threads
from addapt.learning.checkpoint import (
    STATE_FILE,
    is_unfinished,
    load_run,
    remove_run,
    require_space_for_run,
    save_run,
    unfinished_micro_batch,
)
from addapt.learning.state import EpochRecord, TrainingState
from addapt.methods import Head
from tests.fake_engine import FakeEngine

FINGERPRINT = {"seed": 0, "number of threads": 3, "micro_batch": 4}
STEPS_PER_EPOCH = 4
NUMBERS = ("step", "epoch_loss_sum", "train_s", "best_epoch")
Texts = dict[str, Any]
Tensors = dict[str, NDArray[Any]]


@pytest.fixture
def model() -> Model:
    # Gates have a tensor that is not trained.
    return FakeEngine().new_model(Head(), 3, seed=0, gates=GateConfig(BLOCKS))


@pytest.fixture
def state(model: Model) -> TrainingState:
    rng = np.random.default_rng(0)

    def noise(array: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(rng.random(array.shape)).astype(array.dtype)

    own = model.state()
    optimiser = {}
    for name in model.trained:
        optimiser[f"{name}.step"] = np.array(6, np.float32)
        optimiser |= {f"{name}.{key}": noise(own[name]) for key in ("exp_avg", "exp_avg_sq")}
    return TrainingState(
        step=6,
        epoch_loss_sum=0.1 + 0.2,
        train_s=1 / 3,
        best_epoch=1,
        history=[EpochRecord(1, 1 / 7, 0.3, 2 / 3, 1e-3, 0.1, 0.5, 2, 3, 1)],
        domain={name: noise(tensor) for name, tensor in own.items()},
        optimiser=optimiser,
        best={name: noise(tensor) for name, tensor in own.items()},
    )


def load(folder: Path, model: Model) -> TrainingState | None:
    return load_run(folder, FINGERPRINT, model, STEPS_PER_EPOCH)


def refusal(folder: Path, model: Model) -> str:
    with pytest.raises(TrainingError) as caught:
        load(folder, model)
    assert "`restart=True`" in str(caught.value)
    return str(caught.value)


def test_comes_back_exactly(tmp_path: Path, model: Model, state: TrainingState) -> None:
    assert load(tmp_path, model) is None
    save_run(tmp_path, TrainingState(), FINGERPRINT)
    assert load(tmp_path, model) == TrainingState()
    files = set()
    for _ in range(2):
        save_run(tmp_path, state, FINGERPRINT)
        files.add((tmp_path / STATE_FILE).read_bytes())
    assert len(files) == 1
    again = load(tmp_path, model)
    assert again is not None
    # The best outlives the others, and so must hold no memory of theirs.
    assert all(tensor.base is None for tensor in again.best.values())
    for name, value in vars(state).items():
        if isinstance(value, dict):
            read = getattr(again, name)
            assert list(read) == sorted(value)
            assert all(np.array_equal(read[key], value[key]) for key in value)
        else:
            assert getattr(again, name) == value
    numbers = dataclasses.astuple(again.history[0])
    assert [place for place, x in enumerate(numbers) if type(x) is int] == [0, 7, 8, 9]
    assert unfinished_threads(tmp_path) == 3
    assert unfinished_micro_batch(tmp_path) == 4


def test_every_flipped_bit_is_noticed(tmp_path: Path, model: Model, state: TrainingState) -> None:
    save_run(tmp_path, state, FINGERPRINT)
    path = tmp_path / STATE_FILE
    whole = path.read_bytes()
    for place in range(0, len(whole), len(whole) // 12):
        content = bytearray(whole)
        content[place] ^= 4
        path.write_bytes(content)
        refusal(tmp_path, model)


def test_cut_off(tmp_path: Path, model: Model, state: TrainingState) -> None:
    save_run(tmp_path, state, FINGERPRINT)
    path = tmp_path / STATE_FILE
    whole = path.read_bytes()
    for length in (0, 7, 8, 500, -1):
        path.write_bytes(whole[:length])
        refusal(tmp_path, model)
    path.write_bytes(b"")
    assert unfinished_threads(tmp_path) is None
    assert is_unfinished(tmp_path)


def wrong_number(name: str, value: object) -> Callable[[Texts, Tensors], None]:
    def change(texts: Texts, tensors: Tensors) -> None:
        texts["numbers"][name] = value

    return change


def wrong_tensor(name: str, value: NDArray[Any] | None) -> Callable[[Texts, Tensors], None]:
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
        (wrong_number("step", 10**400), "too large"),
        (wrong_number("epoch_loss_sum", math.inf), "make no sense"),
        (wrong_number("epoch_loss_sum", math.nan), "epoch_loss_sum is nan"),
        (wrong_number("best_epoch", 2), "best epoch is 2 of 1"),
        (wrong_number("best_epoch", 0), "best epoch is 0 of 1"),
        (wrong_number("nonsense", 1), "nonsense"),
        (wrong_tensor("domain/head.bias", None), "part 'domain' are missing"),
        (wrong_tensor("best/head.bias", None), "part 'best' are missing"),
        (wrong_tensor("optimiser/head.bias.exp_avg", None), "'optimiser/head.bias' are missing"),
        (wrong_tensor("domain/head.bias", np.zeros(4, np.float32)), "another shape"),
        (wrong_tensor("domain/head.bias", np.zeros(3)), "another shape"),
        (wrong_tensor("domain/head.bias", np.full(3, math.nan, np.float32)), "no finite number"),
        (wrong_tensor("domain/other", np.zeros(3, np.float32)), "'domain/other' is not one of"),
        (wrong_tensor("history", None), "history is missing"),
        (wrong_tensor("history", np.zeros((1, 5))), "another shape"),
        (wrong_tensor("history", np.full((1, 10), math.inf)), "infinity"),
        (wrong_tensor("history", np.full((1, 10), 2.0)), "epoch 1 has values"),
        (wrong_tensor("history", np.array([[*[1.0] * 8, 2, 3]])), "epoch 1 has values"),
        (wrong_tensor("history", np.array([[*[1.0] * 7, -1, 2, 1]])), "epoch 1 has values"),
        (lambda texts, tensors: texts.pop("numbers"), "numbers"),
        (lambda texts, tensors: texts.pop("fingerprint"), "does not say what it was made with"),
    ],
)
def test_what_no_run_writes_is_refused_though_its_checksum_is_right(
    tmp_path: Path,
    model: Model,
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
    tensors["history"] = np.array([[1, 1 / 7, 0.3, 2 / 3, 1e-3, 0.1, 0.5, 2, 3, 1]])

    def forge() -> None:
        (tmp_path / STATE_FILE).write_bytes(
            b"".join(seal("addapt-run-4", json.dumps(texts), tensors))
        )

    forge()
    assert load(tmp_path, model) is not None
    change(texts, tensors)
    forge()
    assert message in refusal(tmp_path, model)


def test_numbers_for_the_program_are_not_believed_blindly(
    tmp_path: Path, state: TrainingState
) -> None:
    for value in (0, -1, 10**9, "2", None, True, 2.0):
        save_run(tmp_path, state, {"number of threads": value, "micro_batch": value})
        assert unfinished_threads(tmp_path) is None
        if value != 10**9:
            assert unfinished_micro_batch(tmp_path) is None


@pytest.mark.parametrize(
    ("form", "text", "message"),
    [
        ("addapt-run-3", "{}", "this version of addapt did not write it"),
        ("addapt-run-4", "[" * 100_000 + "]" * 100_000, "recursion"),
        ("addapt-run-4", '{"fingerprint": {}, "fingerprint": {}}', "twice"),
    ],
    ids=["an earlier form", "deep", "twice"],
)
def test_other_texts(tmp_path: Path, model: Model, form: str, text: str, message: str) -> None:
    (tmp_path / STATE_FILE).write_bytes(b"".join(seal(form, text, {})))
    assert message in refusal(tmp_path, model)


def test_full_disk_is_known_before_anything_is_written(
    tmp_path: Path, model: Model, state: TrainingState, monkeypatch: pytest.MonkeyPatch
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
    state_bytes = 4 * sum(tensor.nbytes for tensor in model.state().values())
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
