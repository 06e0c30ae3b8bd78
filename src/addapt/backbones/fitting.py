"""Fitting foreign tensors, by name, to a network."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from addapt._errors import WeightsError
from addapt.backbones.names import renaming
from addapt.backbones.structure import Network

LISTED = 3  # tensors named in a message


def fit(
    network: Network, state: Mapping[str, NDArray[Any]], source: str
) -> dict[str, NDArray[np.float32]]:
    """Return foreign weights by our names, as float32; the classifier's are left out.

    Arrays that are float32 already are handed on as they are, not copied. Batch counters count
    for nothing.

    Args:
        network: what they should fit.
        state: tensors by their foreign names.
        source: where the weights come from, for messages.

    Raises:
        WeightsError: a tensor is missing, unexpected, of another shape, or not finite.
    """
    names, problems = _match(network, state)
    if problems:
        raise WeightsError(
            f"The weights from {source} do not fit {network.info.name}: {'; '.join(problems)}. "
            "Choose the backbone that they were made for."
        )
    return {own: _finite(state[names[own]], names[own], source) for own in network.shapes()}


def fits(network: Network, state: Mapping[str, NDArray[Any]]) -> bool:
    """Whether names and shapes of `state` are those of `network`."""
    return not _match(network, state)[1]


def _match(network: Network, state: Mapping[str, NDArray[Any]]) -> tuple[dict[str, str], list[str]]:
    """Foreign names by ours, and what does not fit in words."""
    shapes, rename = network.shapes(), renaming(network)
    names: dict[str, str] = {}
    unexpected, misshapen = [], []
    for key, tensor in state.items():
        own = rename(key)
        if own is None or key.endswith("num_batches_tracked"):
            continue
        if own not in shapes or own in names:
            unexpected.append(key)
            continue
        names[own] = key
        if tensor.shape != shapes[own]:
            misshapen.append(f"{key} is {tensor.shape} instead of {shapes[own]}")
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


def _finite(tensor: NDArray[Any], key: str, source: str) -> NDArray[np.float32]:
    if tensor.dtype.kind != "f":
        raise WeightsError(
            f"The tensor {key} from {source} does not hold plain floating-point numbers but "
            f"{tensor.dtype}. Export the weights as float32, float16 or bfloat16."
        )
    with np.errstate(over="ignore"):  # said below
        fitted: NDArray[np.float32] = tensor.astype(np.float32, copy=False)
    if not np.isfinite(fitted).all():
        raise WeightsError(
            f"The tensor {key} from {source} holds values that are infinite or not a number. "
            "The file is damaged or its training diverged; use another one."
        )
    return fitted


def _first_few(found: Sequence[str]) -> str:
    return ", ".join(found[:LISTED]) + (", ..." if len(found) > LISTED else "")
