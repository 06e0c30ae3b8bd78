"""Tensors to arrays and back, images to input: where PyTorch meets what the product holds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from numpy.typing import NDArray
from torch import Tensor

from addapt.engines.torch.backbones import Backbone


def to_arrays(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Return tensors as arrays, which share their memory where that can be.

    It can for tensors on the CPU; bfloat16, which numpy lacks, becomes float32.
    """
    return {name: _to_array(tensor) for name, tensor in tensors.items()}


def to_tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Return arrays as tensors on the CPU, which share their memory."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _to_array(tensor: Tensor) -> NDArray[Any]:
    tensor = tensor.detach().cpu()
    array: NDArray[Any] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array


def to_input(
    images: UInt8[ndarray, "n h w 3"],
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "n 3 h w"]:
    """Map pixel values 0..255 to (x / 255 - mean) / std, channels last in memory.

    Args:
        images: left as they are.
        mean: per channel, for values in 0..1.
        std: per channel, for values in 0..1.
        device: where the result lies; what travels there is bytes.
        dtype: of the result; computed in float32.
    """
    # PyTorch warns about arrays that must not be written to, and refuses mirrored ones: a copy.
    x = torch.from_numpy(np.array(images, order="C")).to(device).to(torch.float32)
    # Whole rows: loops over three values would take several times as long.
    row_mean, row_std = (torch.tensor(v, device=device).repeat(x.shape[2]) for v in (mean, std))
    x.flatten(2).div_(255).sub_(row_mean).div_(row_std)
    return x.to(dtype).permute(0, 3, 1, 2)


def backbone_input(
    backbone: Backbone, images: UInt8[ndarray, "n h w 3"]
) -> Float[Tensor, "n 3 h w"]:
    """Make of images what a backbone takes, where it is."""
    weight, info = next(backbone.parameters()), backbone.info.input
    return to_input(images, info.mean, info.std, weight.device, weight.dtype)
