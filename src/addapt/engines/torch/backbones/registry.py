"""From a backbone's name to the network with its weights."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from addapt._errors import OptionError, WeightsError
from addapt.backbones import BACKBONES, Network, backbone_entry, network, weights_file
from addapt.backbones.catalogue import TIMM
from addapt.backbones.names import is_classifier
from addapt.backbones.state_file import read_state
from addapt.backbones.weights import load_weights
from addapt.engines.torch.backbones.base import Backbone
from addapt.engines.torch.backbones.blocks import build_block
from addapt.engines.torch.backbones.conv_bn import ConvBn
from addapt.engines.torch.backbones.from_timm import load_timm, unfilled_timm


def load_backbone(
    name: str,
    weights: str | Path | None = None,
    *,
    seed: int = 0,
    device: str = "cpu",
    plain: bool = False,
) -> Backbone:
    """Load a frozen backbone, in channels-last memory format.

    Args:
        name: one of `addapt.backbones.BACKBONES`, or "timm:" and the name of a network there, whose
            blocks are found as by `Backbone.of`.
        weights: a weights file, or "random"; by default the ImageNet weights of the
            installed package where there is one, else random.
        seed: of random weights; the global random generator is left alone.
        device: where the backbone goes.
        plain: leave batch norms apart from convolutions, which fine-tuning needs; by default
            they are folded and fused, so that training an adaptor takes little memory and time.

    Raises:
        UnknownNameError: there is no such backbone.
        MissingPackageError: the package with the ImageNet weights, or timm, is not installed.
        WeightsError: the weights cannot be read or do not fit.
        FreezeError: the network of timm cannot be recorded.
        OptionError: it cannot be cut into blocks, or there is no such device here.
    """
    if name.startswith(TIMM):
        backbone = load_timm(name, weights, seed=seed, plain=plain)
    else:
        backbone = _load_known(name, weights, seed, plain=plain)
    if not plain:
        backbone.load_plain = partial(
            load_backbone, name, weights, seed=seed, device=device, plain=True
        )
    try:
        torch.zeros(1, device=device).item()  # some devices are known by name and cannot compute
        return backbone.to(device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n", 1)[0].rstrip(".")
        raise OptionError(
            f'The device {device!r} cannot be used: {reason}. Give "cpu", or a device that is here.'
        ) from error


def _load_known(name: str, weights: str | Path | None, seed: int, *, plain: bool) -> Backbone:
    """Load a backbone of the catalogue."""
    loaded = load_weights(name, weights, seed=seed)
    backbone = unfilled_backbone(name)
    fill(backbone, loaded.tensors)
    backbone.info = replace(backbone.info, weights=loaded.source, weights_sha256=loaded.sha256)
    del loaded  # a mapped file
    backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in its stubs
    return backbone if plain else backbone.lean(consume=True)


def unfilled_backbone(name: str) -> Backbone:
    """Build the plain backbone called `name` on the device `meta`: weights take no memory."""
    if name.startswith(TIMM):
        return unfilled_timm(name)
    with torch.device("meta"):
        return build_backbone(network(name))


def build_backbone(described: Network) -> Backbone:
    """Build the plain backbone of a description, its weights yet to be filled in."""
    stem: nn.Module = ConvBn(described.stem)
    if described.stem_pool:
        stem = nn.Sequential(stem, nn.MaxPool2d(3, 2, padding=1))
    tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if described.tail is not None:
        tail.insert(0, ConvBn(described.tail))
    return Backbone(stem, map(build_block, described.blocks), tail, described.info, check=False)


def fill(backbone: Backbone, tensors: Mapping[str, NDArray[np.float32]]) -> None:
    """Give a plain backbone, which may be on the device `meta`, its weights.

    It takes over the memory of those that may be written to, and copies the others.
    """
    state = {
        name: _owned(tensors[name])
        if name in tensors
        else torch.zeros((), dtype=tensor.dtype)  # a batch counter
        for name, tensor in backbone.state_dict().items()
    }
    backbone.load_state_dict(state, assign=True)


def load_classifier(name: str) -> nn.Linear:
    """Load the ImageNet classifier (1000 classes) that belongs to a backbone's own weights.

    Raises:
        WeightsError: no package holds weights of this backbone.
    """
    package = backbone_entry(name).package
    if package is None:
        having = ", ".join(other for other, entry in BACKBONES.items() if entry.package)
        raise WeightsError(f"No ImageNet classifier is known for {name}. Take one of: {having}.")
    state = read_state(weights_file(package))
    names = [name for name in state if is_classifier(name)]
    tensors = {name.rpartition(".")[2]: _owned(state[name]) for name in names}
    classes, features = tensors["weight"].shape
    with torch.device("meta"):
        classifier = nn.Linear(features, classes)
    classifier.load_state_dict(tensors, assign=True)
    return classifier.requires_grad_(False)


def _owned(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.require(array, requirements=["C", "ALIGNED", "WRITEABLE"]))
