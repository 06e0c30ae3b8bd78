"""An unfinished run on disk: one safetensors file, its numbers in the header.

The file carries a fingerprint of everything that decides the result, so that a run is
never continued with other data, options or weights, and a checksum of all that it holds.
"""

import contextlib
import dataclasses
import json
import math
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from addapt._disk import disk_reason, make_folder, require_space, write_atomically
from addapt._errors import DomainError, TrainingError
from addapt.domains.header import HEADER_LIMIT_BYTES, Header, read_header, unique_keys
from addapt.domains.sealed import seal, unseal
from addapt.engines.base import Engine, Form, Model
from addapt.learning.state import EpochRecord, TrainingState

STATE_FILE = "state.safetensors"
# As the fingerprint calls them.
ENGINE, THREADS, EXTENDS = "engine", "number of threads", "domain to start from"
MAX_THREADS = 1024
# A state is written beside an older one; each holds the domain, its best epoch, and the
# optimiser's two averages.
STATE_DOMAINS = 4
_TEXT = "addapt-run-4"  # the number of this form
_TENSORS = ("domain", "optimiser", "best")
_NUMBERS = ("step", "epoch_loss_sum", "train_s", "best_epoch")
_HISTORY = "history"  # a row an epoch, a column a field of its record
_COLUMNS = len(dataclasses.fields(EpochRecord))
_AVERAGES = ("exp_avg", "exp_avg_sq")
_NEW = TrainingState()


def save_run(folder: Path, state: TrainingState, fingerprint: Mapping[str, Any]) -> None:
    """Write the state of a run into `folder`, whole or not at all.

    Raises:
        TrainingError: the disk refused; the state written before is still there.
    """
    numbers = {name: getattr(state, name) for name in _NUMBERS}
    tensors = {
        f"{part}/{name}": tensor
        for part in _TENSORS
        for name, tensor in getattr(state, part).items()
    }
    # As a tensor, for it grows: headers are limited.
    rows = [dataclasses.astuple(record) for record in state.history]
    tensors[_HISTORY] = np.array(rows, np.float64).reshape(-1, _COLUMNS)
    text = json.dumps({"fingerprint": dict(fingerprint), "numbers": numbers})
    parts = seal(_TEXT, text, tensors)
    if len(parts[0]) > HEADER_LIMIT_BYTES:
        raise TrainingError(
            f"The state of learning was not written to {folder}: its description takes "
            f"{len(parts[0])} bytes, more than the {HEADER_LIMIT_BYTES} allowed. Use fewer classes "
            "or shorter class names."
        )
    try:
        make_folder(folder)
        write_atomically(folder / STATE_FILE, *parts)
    except OSError as error:
        raise _not_written(folder, error) from error


def largest_run_bytes(engine: Engine) -> int:
    """Return the space for the states of a run that learns as much as the backbone's weights."""
    return 2 * STATE_DOMAINS * engine.weights_bytes


def require_space_for_run(folder: Path, model: Model) -> None:
    """Raise a TrainingError if the disk is too full for the state of a run."""
    state_bytes = STATE_DOMAINS * sum(array.nbytes for array in model.state().values())
    try:
        make_folder(folder)
        require_space(folder, state_bytes * (1 if (folder / STATE_FILE).exists() else 2))
    except OSError as error:
        raise _not_written(folder, error) from error


def load_run(
    folder: Path,
    fingerprint: Mapping[str, Any],
    model: Model | None = None,
    steps_per_epoch: int | None = None,
) -> TrainingState | None:
    """Read the state of an unfinished run, or None where there is none.

    What `fingerprint` has must be as it was, and its tensors must be those of `model`: no others
    are read into memory.

    Raises:
        TrainingError: it was made with other data, options or weights, or it is damaged.
    """
    path = folder / STATE_FILE
    try:
        with path.open("rb") as file:
            header, texts = _read_texts(file, path)
            _compare(folder.name, texts["fingerprint"], fingerprint)
            if model is not None:
                _check_forms(header, model)
            tensors = unseal(_TEXT, header, file)
        rows = tensors.pop(_HISTORY).tolist()
        parts: dict[str, Any] = {part: {} for part in _TENSORS}
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            # All tensors lie in one block, which would outlive the others with the best.
            parts[part][rest] = tensor.copy() if part == "best" else tensor
        history = [_record(row) for row in rows]
        state = TrainingState(**texts["numbers"], history=history, **parts)
        _check_values(state, steps_per_epoch)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TrainingError(
            f"The unfinished learning in {folder} could not be read because {disk_reason(error)}"
        ) from error
    except (
        DomainError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
        OverflowError,
    ) as error:
        what = "its header makes no sense" if isinstance(error, DomainError) else error
        raise TrainingError(
            f"The unfinished learning in {folder} cannot be used ({what}): "
            "begin anew with `restart=True`."
        ) from error
    return state


def unfinished_threads(folder: Path) -> int | None:
    """Return the number of threads of an unfinished run; None where none can be read."""
    return _unfinished_number(folder, THREADS, MAX_THREADS)


def unfinished_micro_batch(folder: Path) -> int | None:
    """Return the micro-batch of an unfinished run; None where none can be read."""
    return _unfinished_number(folder, "micro_batch", sys.maxsize)


def _unfinished_number(folder: Path, name: str, largest: int) -> int | None:
    """Read from a fingerprint; what is wrong with a run that cannot be read, `load_run` says."""
    path = folder / STATE_FILE
    try:
        with path.open("rb") as file:
            value = _read_texts(file, path)[1]["fingerprint"][name]
    except (OSError, DomainError, ValueError, KeyError, RecursionError):
        return None
    return value if type(value) is int and 0 < value <= largest else None


def is_unfinished(folder: Path) -> bool:
    """Tell whether there is an unfinished run, readable or not."""
    return (folder / STATE_FILE).exists()


def remove_run(folder: Path) -> None:
    """Delete an unfinished run, if there is one, or raise a TrainingError if the disk refuses."""
    try:
        # First: without it the rest is no run that anybody would go on with.
        (folder / STATE_FILE).unlink(missing_ok=True)
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise TrainingError(
            f"The unfinished learning in {folder} could not be removed because {disk_reason(error)}"
        ) from error
    with contextlib.suppress(OSError):  # another domain may be half learned
        folder.parent.rmdir()


def history_lines(state: TrainingState) -> bytes:
    """Return the finished epochs as JSON lines."""
    lines = (json.dumps(dataclasses.asdict(record)) for record in state.history)
    return "".join(f"{line}\n" for line in lines).encode()


def _read_texts(file: BinaryIO, path: Path) -> tuple[Header, dict[str, Any]]:
    header = read_header(file, path)
    if _TEXT not in header.texts:
        raise ValueError("this version of addapt did not write it")
    texts = json.loads(header.texts[_TEXT], object_pairs_hook=unique_keys)
    if not isinstance(texts, dict) or not isinstance(texts.get("fingerprint"), dict):
        raise ValueError("it does not say what it was made with")
    return header, texts


def _compare(name: str, before: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> None:
    now = json.loads(json.dumps(dict(fingerprint)))
    for key in now:
        if before.get(key) != now[key]:
            was, is_now = str(before.get(key)), str(now[key])
            change = f"was {was} and now is {is_now}" if len(was + is_now) < 64 else "changed"
            again = {
                ENGINE: f"`engine={was!r}`",
                THREADS: f"`threads={was}`",
                EXTENDS: "no `extend`" if before.get(key) is None else "`extend=True`",
            }.get(key, "the same options and images")
            raise TrainingError(
                f"An unfinished learning of {name!r} is there, but its {key} {change}. "
                f"Give {again} to go on, or `restart=True` to begin anew."
            )


def _not_written(folder: Path, error: OSError) -> TrainingError:
    return TrainingError(
        f"The state of learning could not be written to {folder} because {disk_reason(error)}"
    )


def _check_forms(header: Header, model: Model) -> None:
    """Raise a ValueError if a header's names, types and shapes are not those of `model`'s run."""
    own = model.state()
    known: dict[str, Form] = {}
    for name, array in own.items():
        form = array.dtype.name, array.shape
        known[f"domain/{name}"] = known[f"best/{name}"] = form
        if name in model.trained:
            known[f"optimiser/{name}.step"] = ("float32", ())
            known |= {f"optimiser/{name}.{key}": form for key in _AVERAGES}
    for name, place in header.tensors.items():
        if name == _HISTORY:
            fits = place.dtype == "float64" and place.shape[1:] == (_COLUMNS,)
        else:
            fits = known.get(name) == (place.dtype, place.shape)
        if not fits:
            raise ValueError(f"tensor {name!r} is not one of this run's, or has another shape")
    if _HISTORY not in header.tensors:
        raise ValueError("its history is missing")
    for part in ("domain", "best"):
        there = {name for name in header.tensors if name.startswith(f"{part}/")}
        if there and there != {f"{part}/{name}" for name in own}:
            raise ValueError(f"tensors of the part {part!r} are missing")
    averaged = {name.rpartition(".")[0] for name in header.tensors if name.startswith("optimiser/")}
    for name in averaged:
        if not {f"{name}.{key}" for key in ("step", *_AVERAGES)} <= header.tensors.keys():
            raise ValueError(f"tensors of {name!r} are missing")


def _record(row: list[float]) -> EpochRecord:
    """Make a record of a row of numbers, some of which are whole."""
    fields = zip(dataclasses.fields(EpochRecord), row, strict=True)
    values: Any = {field.name: int(x) if field.type is int else x for field, x in fields}
    return EpochRecord(**values)


def _check_values(state: TrainingState, steps_per_epoch: int | None) -> None:
    """Raise a ValueError if there are numbers that no run comes to."""
    for name in _NUMBERS:
        value = getattr(state, name)
        if type(value) is not type(getattr(_NEW, name)) or math.isnan(value):
            raise ValueError(f"{name} is {value!r}")
    if state.step < 0 or state.best_epoch < 0 or not math.isfinite(state.epoch_loss_sum):
        raise ValueError("its numbers make no sense")
    if not state.is_finite():
        raise ValueError("a tensor has a value that is no finite number")
    for number, record in enumerate(state.history, start=1):
        if (
            record.epoch != number
            or not all(map(math.isfinite, dataclasses.astuple(record)))
            or record.weakest_class < 0
            or not 0 <= record.weakest_correct <= record.weakest_images
        ):
            raise ValueError(f"epoch {number} has values that make no sense")
    best = state.best_epoch
    if best > len(state.history) or bool(best) != bool(state.best):
        raise ValueError(f"the best epoch is {best} of {len(state.history)}")
    if bool(state.domain) != bool(state.step):
        raise ValueError(f"its tensors are not those of step {state.step}")
    if steps_per_epoch is not None:
        done = state.step - len(state.history) * steps_per_epoch
        if not 0 <= done <= steps_per_epoch:
            raise ValueError(f"step {state.step} does not follow {len(state.history)} epochs")
