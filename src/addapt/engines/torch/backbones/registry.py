"""From a backbone's name to the network with its weights."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from addapt._errors import OptionError, WeightsError
from addapt._text import printable
from addapt.backbones import BACKBONES, backbone_entry, weights_file
from addapt.engines.torch.backbones.base import Backbone, weights_sha256
from addapt.engines.torch.backbones.efficientnet_lite import (
    efficientnet_lite,
    efficientnet_lite_names,
)
from addapt.engines.torch.backbones.fitting import Rename, fits, load_weights
from addapt.engines.torch.backbones.mobilenet_v2 import mobilenet_v2, mobilenet_v2_names
from addapt.engines.torch.backbones.resnet import resnet, resnet_names
from addapt.engines.torch.backbones.weights_file import read_state


@dataclass(frozen=True)
class _Network:
    """How to build a backbone of the catalogue, and what other programs call its tensors."""

    build: Callable[..., Backbone]
    rename: Rename


def _efficientnet_lite(width: float, depth: float) -> _Network:
    build = partial(efficientnet_lite, width=width, depth=depth)
    return _Network(build, efficientnet_lite_names(depth))


def _resnet(block: Literal["basic", "bottleneck"], *repeats: int) -> _Network:
    return _Network(partial(resnet, block=block, repeats=repeats), resnet_names(repeats))


_NETWORKS = {
    "efficientnet_lite0": _efficientnet_lite(1.0, 1.0),
    "efficientnet_lite1": _efficientnet_lite(1.0, 1.1),
    "efficientnet_lite2": _efficientnet_lite(1.1, 1.2),
    "resnet18": _resnet("basic", 2, 2, 2, 2),
    "resnet26": _resnet("bottleneck", 2, 2, 2, 2),
    "resnet50": _resnet("bottleneck", 3, 4, 6, 3),
    "mobilenet_v2": _Network(mobilenet_v2, mobilenet_v2_names()),
}


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
        name: one of `addapt.backbones.BACKBONES`.
        weights: a weights file, or "random"; by default the ImageNet weights of the
            installed package where there is one, else random.
        seed: of random weights; the global random generator is left alone.
        device: where the backbone goes.
        plain: leave batch norms apart from convolutions, which fine-tuning needs; by default
            they are folded and fused, so that training an adaptor takes little memory and time.

    Raises:
        UnknownNameError: there is no such backbone.
        MissingPackageError: the package with the ImageNet weights is not installed.
        WeightsError: the weights cannot be read or do not fit.
        OptionError: there is no such device here.
    """
    package = backbone_entry(name).package
    if weights is None and package is not None:
        state = read_state(weights_file(package))
        backbone, source = _filled(name, state, str(package)), f"ImageNet ({package})"
    elif weights is None or weights == "random":
        backbone, source = _random(name, seed), f"random (seed {seed})"
    else:
        path = Path(weights).expanduser()
        backbone = _filled(name, read_state(path), f"file {path}")
        source = f"file {printable(path.name)}"
    sha256 = weights_sha256(backbone)
    backbone.info = replace(backbone.info, weights=source, weights_sha256=sha256)
    backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in its stubs
    if not plain:
        backbone = backbone.lean(consume=True)
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


def unfilled_backbone(name: str) -> Backbone:
    """Build the plain backbone called `name` on the device `meta`: weights take no memory."""
    with torch.device("meta"):
        return _build(name)


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
    rest = load_weights(unfilled_backbone(name), state, _NETWORKS[name].rename, str(package))
    tensors = {key.rpartition(".")[2]: tensor for key, tensor in rest.items()}
    classes, features = tensors["weight"].shape
    with torch.device("meta"):
        classifier = nn.Linear(features, classes)
    classifier.load_state_dict(tensors, assign=True)
    return classifier.requires_grad_(False)


def _build(name: str) -> Backbone:
    entry = backbone_entry(name)
    return _NETWORKS[name].build(name, input=entry.input)


def _random(name: str, seed: int) -> Backbone:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return _build(name)


def _filled(name: str, state: dict[str, Tensor], source: str) -> Backbone:
    backbone = unfilled_backbone(name)
    try:
        load_weights(backbone, state, _NETWORKS[name].rename, source)
    except WeightsError as error:
        fitting = [
            other
            for other, network in _NETWORKS.items()
            if fits(unfilled_backbone(other), state, network.rename)
        ]
        if not fitting or name in fitting:
            raise
        raise WeightsError(f"{error} They fit {' and '.join(fitting)}.") from error
    return backbone
