"""An unfinished run on disk: one safetensors file, its numbers in the header.

The file carries a fingerprint of everything that decides the result, so that a run is
never continued with other data, options or weights.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from addapt._disk import disk_reason, write_atomically
from addapt._errors import TrainingError
from addapt.training.state import EpochRecord, TrainingState

STATE_FILE = "state.safetensors"
HISTORY_FILE = "history.jsonl"
TENSORS = ("domain", "optimiser", "best")
NUMBERS = ("step", "epoch_loss_sum", "train_s", "best_epoch", "best_accuracy")


def save_run(folder: Path, state: TrainingState, fingerprint: Mapping[str, Any]) -> None:
    """Write the state of a run into `folder`, whole or not at all, and its history beside it.

    Raises:
        TrainingError: the disk refused; the state written before is still there.
    """
    numbers = {name: getattr(state, name) for name in NUMBERS}
    header = {
        "fingerprint": dict(fingerprint),
        "numbers": numbers,
        "history": [dataclasses.asdict(record) for record in state.history],
    }
    tensors = {
        # `best` may share its tensors with `domain`, and safetensors refuses those that do.
        f"{part}/{name}": tensor.contiguous().clone() if part == "best" else tensor.contiguous()
        for part in TENSORS
        for name, tensor in getattr(state, part).items()
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / STATE_FILE, save(tensors, {"addapt-run": json.dumps(header)}))
        write_atomically(folder / HISTORY_FILE, history_lines(state))
    except OSError as error:
        raise TrainingError(
            f"The state of learning could not be written to {folder} because {disk_reason(error)}"
        ) from error


def unfinished_micro_batch(folder: Path) -> int | None:
    """Return the micro-batch of an unfinished run; None where there is none that can be read."""
    try:
        with safe_open(folder / STATE_FILE, framework="pt") as file:
            header = json.loads(file.metadata()["addapt-run"])
        return int(header["fingerprint"]["micro_batch"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None  # `load_run` says what is wrong


def load_run(folder: Path, fingerprint: Mapping[str, Any]) -> TrainingState | None:
    """Read the state of an unfinished run, or None where there is none.

    Raises:
        TrainingError: it was made with other data, options or weights, or it is damaged.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return None
    parts: dict[str, Any] = {part: {} for part in TENSORS}
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["addapt-run"])
            for name in file.keys():  # noqa: SIM118 - not a mapping
                part, _, rest = name.partition("/")
                parts[part][rest] = file.get_tensor(name)
        history = [EpochRecord(**record) for record in header["history"]]
        state = TrainingState(**header["numbers"], history=history, **parts)
        before = dict(header["fingerprint"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"The unfinished learning in {folder} cannot be read ({error}). "
            "Start again with --restart."
        ) from error
    now = json.loads(json.dumps(dict(fingerprint)))
    for key in now:
        if before.get(key) != now[key]:
            was, is_now = str(before.get(key)), str(now[key])
            change = f"was {was} and now is {is_now}" if len(was + is_now) < 64 else "has changed"
            raise TrainingError(
                f"An unfinished learning of {folder.name!r} is there, but its {key} {change}. "
                "Give the same options and pictures to go on, or --restart to begin anew."
            )
    return state


def history_lines(state: TrainingState) -> bytes:
    """Return the finished epochs as JSON lines."""
    return "".join(
        json.dumps(dataclasses.asdict(record)) + "\n" for record in state.history
    ).encode()
