"""Fitting foreign tensors, by name, into a backbone."""

import re
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from addapt._errors import WeightsError
from addapt.engines.torch.backbones.base import Backbone

# a foreign tensor's name -> ours; None for the classifier's; an unknown name stays as it is
Rename = Callable[[str], str | None]

CLASSIFIER = re.compile(r"(_fc|fc|classifier|head)\.")
LISTED = 3  # tensors named in a message


def load_weights(
    backbone: Backbone, state: Mapping[str, Tensor], rename: Rename, source: str
) -> dict[str, Tensor]:
    """Copy foreign weights into `backbone` and return the classifier's tensors, left out.

    All is checked before anything is changed. Half precision becomes float32. Batch
    counters are not copied: they differ between formats and change nothing. The
    backbone may have been built on the meta device; afterwards it is on the CPU.

    Args:
        backbone: the network to fill.
        state: tensors by their foreign names.
        rename: maps a foreign name to ours.
        source: where the weights come from, for messages.

    Raises:
        WeightsError: a tensor is missing, unexpected, of another shape, or not finite.
    """
    names, problems = _match(backbone, state, rename)
    if problems:
        raise WeightsError(
            f"The weights from {source} do not fit {backbone.info.name}: {'; '.join(problems)}. "
            "Choose the backbone that they were made for."
        )
    fitted = {
        own: _finite_copy(state[names[own]], names[own], source, tensor.dtype)
        if own in names
        else torch.zeros((), dtype=tensor.dtype)  # a batch counter
        for own, tensor in backbone.state_dict().items()
    }
    backbone.load_state_dict(fitted, assign=True)
    return {key: tensor for key, tensor in state.items() if rename(key) is None}


def fits(backbone: Backbone, state: Mapping[str, Tensor], rename: Rename) -> bool:
    """Whether names and shapes of `state` are those of `backbone`."""
    return not _match(backbone, state, rename)[1]


def renaming(rename_layer: Callable[[str], str | None]) -> Rename:
    """Make a `Rename` of the tensors of one of the layers, whose name may be unknown: None."""

    def rename(key: str) -> str | None:
        if CLASSIFIER.match(key):
            return None
        layer, _, tensor = key.rpartition(".")
        own = rename_layer(layer)
        return f"{own}.{tensor}" if own else key

    return rename


def block_index(stage: int, i: int, repeats: Sequence[int]) -> int | None:
    """Position of block `i` of a stage among all blocks; None if the stage has no such block."""
    if 0 <= stage < len(repeats) and 0 <= i < repeats[stage]:
        return sum(repeats[:stage]) + i
    return None


def _match(
    backbone: Backbone, state: Mapping[str, Tensor], rename: Rename
) -> tuple[dict[str, str], list[str]]:
    """Foreign names by ours, and what does not fit in words."""
    shapes = {
        own: tensor.shape for own, tensor in backbone.state_dict().items() if not _is_counter(own)
    }
    names: dict[str, str] = {}
    unexpected, misshapen = [], []
    for key, tensor in state.items():
        own = rename(key)
        if own is None or _is_counter(key):
            continue
        if own not in shapes or own in names:
            unexpected.append(key)
            continue
        names[own] = key
        if tensor.shape != shapes[own]:
            misshapen.append(f"{key} is {tuple(tensor.shape)} instead of {tuple(shapes[own])}")
    missing = [own for own in shapes if own not in names]
    problems = [
        f"{len(found)} of {total} tensors {what} ({_first_few(found)})"
        for what, found, total in (
            ("missing", missing, len(shapes)),
            ("unexpected", unexpected, len(state)),
            ("of another shape", misshapen, len(shapes)),
        )
        if found
    ]
    return names, problems


def _finite_copy(tensor: Tensor, key: str, source: str, dtype: torch.dtype) -> Tensor:
    if tensor.layout != torch.strided or not tensor.is_floating_point() or tensor.is_meta:
        raise WeightsError(
            f"The tensor {key} from {source} does not hold plain floating-point numbers but "
            f"{tensor.dtype}. Export the weights as float32, float16 or bfloat16."
        )
    copy = tensor.detach().to("cpu", dtype, copy=True, memory_format=torch.contiguous_format)
    if not torch.isfinite(copy).all():
        raise WeightsError(
            f"The tensor {key} from {source} holds values that are infinite or not a number. "
            "The file is damaged or its training diverged; use another one."
        )
    return copy


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _first_few(found: Sequence[str]) -> str:
    return ", ".join(found[:LISTED]) + (", ..." if len(found) > LISTED else "")
