"""Whether the state of an unfinished run is one that this very run could have written."""

import dataclasses
import math

from addapt.domains.header import Header
from addapt.engines.torch.methods import AdaptedModel
from addapt.learning.state import EpochRecord, TrainingState

NUMBERS = ("step", "epoch_loss_sum", "train_s", "best_epoch")
HISTORY = "history"  # a row an epoch, a column a field of its record
RECORD_COLUMNS = len(dataclasses.fields(EpochRecord))
_WHOLE = ("step", "best_epoch")
_Form = tuple[str, tuple[int, ...]]  # the name of a tensor's type, and its shape
_AVERAGES = ("exp_avg", "exp_avg_sq")


def check_declared(header: Header, model: AdaptedModel) -> None:
    """Compare names, types and shapes in a file's header with those of `model`'s run.

    Raises:
        ValueError: they are not those.
    """
    own = model.domain_state()
    known: dict[str, _Form] = {}
    for name, tensor in own.items():
        form = str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)
        known[f"domain/{name}"] = known[f"best/{name}"] = form
        if tensor.requires_grad:
            known[f"optimiser/{name}.step"] = ("float32", ())
            known |= {f"optimiser/{name}.{key}": form for key in _AVERAGES}
    for name, place in header.tensors.items():
        if name == HISTORY:
            fits = place.dtype == "float64" and place.shape[1:] == (RECORD_COLUMNS,)
        else:
            fits = known.get(name) == (place.dtype, place.shape)
        if not fits:
            raise ValueError(f"tensor {name!r} is not one of this run's, or has another shape")
    if HISTORY not in header.tensors:
        raise ValueError("its history is missing")
    for part in ("domain", "best"):
        there = {name for name in header.tensors if name.startswith(f"{part}/")}
        if there and there != {f"{part}/{name}" for name in own}:
            raise ValueError(f"tensors of the part {part!r} are missing")
    averaged = {name.rpartition(".")[0] for name in header.tensors if name.startswith("optimiser/")}
    for name in averaged:
        if not {f"{name}.{key}" for key in ("step", *_AVERAGES)} <= header.tensors.keys():
            raise ValueError(f"tensors of {name!r} are missing")


def check_values(state: TrainingState, steps_per_epoch: int | None) -> None:
    """Look for numbers that no run comes to.

    Raises:
        ValueError: there is one.
    """
    for name in NUMBERS:
        value = getattr(state, name)
        if type(value) is not (int if name in _WHOLE else float) or math.isnan(value):
            raise ValueError(f"{name} is {value!r}")
    if state.step < 0 or state.best_epoch < 0 or not math.isfinite(state.epoch_loss_sum):
        raise ValueError("its numbers make no sense")
    if not state.is_finite():
        raise ValueError("a tensor has a value that is no finite number")
    for number, record in enumerate(state.history, start=1):
        if record.epoch != number or not all(map(math.isfinite, dataclasses.astuple(record))):
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
