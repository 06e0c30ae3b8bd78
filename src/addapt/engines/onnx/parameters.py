"""The trained arrays of a domain: names, shapes, first values, and their place in one vector."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from addapt.backbones.draws import UniformDraws

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Parameter:
    """An array that is trained.

    Args:
        name: in the domain's file.
        shape: its sides.
        fan_in: inputs of each output of its layer, by which PyTorch draws first values; 0 where
            none are drawn.
        zero: whether it starts at zero, whatever was drawn.
    """

    name: str
    shape: tuple[int, ...]
    fan_in: int = 0
    zero: bool = False

    @property
    def size(self) -> int:
        """Its number of elements."""
        return math.prod(self.shape)


def layer_parameters(
    name: str, weight: Sequence[int], *, bias: bool = True, zero: bool = False
) -> list[Parameter]:
    """Return weight and bias of a layer that starts as PyTorch's would."""
    fan_in = math.prod(weight[1:])
    parameters = [Parameter(f"{name}.weight", tuple(weight), fan_in, zero)]
    if bias:
        parameters.append(Parameter(f"{name}.bias", (weight[0],), fan_in, zero))
    return parameters


def first_values(parameters: Iterable[Parameter], seed: int) -> Vector:
    """Draw the vector that learning starts from: the same as PyTorch's with this seed."""
    draws = UniformDraws(seed)
    pieces = []
    for parameter in parameters:
        values = np.zeros(parameter.shape, np.float32)
        if parameter.fan_in:
            drawn = draws.uniform(parameter.shape, 1 / math.sqrt(parameter.fan_in))
            values = values if parameter.zero else drawn
        pieces.append(values.reshape(-1))
    return np.concatenate(pieces)


def split_vector(parameters: Iterable[Parameter], vector: Vector) -> dict[str, Vector]:
    """Return the arrays by name; they share the vector's memory."""
    arrays: dict[str, Vector] = {}
    start = 0
    for parameter in parameters:
        piece = vector[start : start + parameter.size]
        arrays[parameter.name] = piece.reshape(parameter.shape)
        start += parameter.size
    return arrays


def join_vector(parameters: Iterable[Parameter], arrays: Mapping[str, npt.NDArray[Any]]) -> Vector:
    """Return a vector of the arrays, by name, copied."""
    return np.concatenate(
        [arrays[parameter.name].astype(np.float32).reshape(-1) for parameter in parameters]
    )
