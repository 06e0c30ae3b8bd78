"""The backbones by name, and how to load one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from addapt._errors import OptionError, UnknownNameError, WeightsError
from addapt._text import printable
from addapt.engines.torch.backbones.base import Backbone, weights_sha256
from addapt.engines.torch.backbones.efficientnet_lite import (
    efficientnet_lite,
    efficientnet_lite_names,
)
from addapt.engines.torch.backbones.mobilenet_v2 import mobilenet_v2, rename_mobilenet_v2
from addapt.engines.torch.backbones.pretrained import (
    LITE0,
    LITE1,
    LITE2,
    PretrainedPackage,
    read_pretrained,
)
from addapt.engines.torch.backbones.resnet import resnet, resnet_names
from addapt.engines.torch.backbones.weights import Rename, fits, load_weights
from addapt.engines.torch.backbones.weights_file import read_state


@dataclass(frozen=True)
class BackboneEntry:
    """One line of the registry: how to build a backbone and where its weights come from."""

    summary: str
    build: Callable[[str], Backbone]
    rename: Rename
    package: PretrainedPackage | None = None


BACKBONES = {
    "efficientnet_lite0": BackboneEntry(
        "224 px, 3.4 M parameters, ImageNet weights",
        partial(efficientnet_lite, width=1.0, depth=1.0, px=224),
        efficientnet_lite_names(depth=1.0),
        LITE0,
    ),
    "efficientnet_lite1": BackboneEntry(
        "240 px, 4.1 M parameters, ImageNet weights",
        partial(efficientnet_lite, width=1.0, depth=1.1, px=240),
        efficientnet_lite_names(depth=1.1),
        LITE1,
    ),
    "efficientnet_lite2": BackboneEntry(
        "260 px, 4.8 M parameters, ImageNet weights",
        partial(efficientnet_lite, width=1.1, depth=1.2, px=260),
        efficientnet_lite_names(depth=1.2),
        LITE2,
    ),
    "resnet18": BackboneEntry(
        "224 px, 11.2 M parameters, your own weights file",
        partial(resnet, block="basic", repeats=(2, 2, 2, 2)),
        resnet_names(repeats=(2, 2, 2, 2)),
    ),
    "resnet26": BackboneEntry(
        "224 px, 13.9 M parameters, your own weights file",
        partial(resnet, block="bottleneck", repeats=(2, 2, 2, 2)),
        resnet_names(repeats=(2, 2, 2, 2)),
    ),
    "resnet50": BackboneEntry(
        "224 px, 23.5 M parameters, your own weights file",
        partial(resnet, block="bottleneck", repeats=(3, 4, 6, 3)),
        resnet_names(repeats=(3, 4, 6, 3)),
    ),
    "mobilenet_v2": BackboneEntry(
        "224 px, 2.2 M parameters, your own weights file",
        mobilenet_v2,
        rename_mobilenet_v2,
    ),
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
        name: one of `BACKBONES`.
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
    entry = _entry(name)
    if weights is None and entry.package is not None:
        state = read_pretrained(entry.package)
        backbone, source = _filled(name, state, str(entry.package)), f"ImageNet ({entry.package})"
    elif weights is None or weights == "random":
        backbone, source = _random(name, seed), f"random (seed {seed})"
    else:
        path = Path(weights).expanduser()
        backbone, source = (
            _filled(name, read_state(path), f"file {path}"),
            f"file {printable(path.name)}",
        )
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
        return _entry(name).build(name)


def load_classifier(name: str) -> nn.Linear:
    """Load the ImageNet classifier (1000 classes) that belongs to a backbone's own weights.

    Raises:
        WeightsError: no package holds weights of this backbone.
    """
    package = _entry(name).package
    if package is None:
        having = ", ".join(other for other, entry in BACKBONES.items() if entry.package)
        raise WeightsError(f"No ImageNet classifier is known for {name}. Take one of: {having}.")
    state = read_pretrained(package)
    rest = load_weights(unfilled_backbone(name), state, _entry(name).rename, str(package))
    tensors = {key.rpartition(".")[2]: tensor for key, tensor in rest.items()}
    classes, features = tensors["weight"].shape
    with torch.device("meta"):
        classifier = nn.Linear(features, classes)
    classifier.load_state_dict(tensors, assign=True)
    return classifier.requires_grad_(False)


def _entry(name: str) -> BackboneEntry:
    if name not in BACKBONES:
        raise UnknownNameError("backbone", name, BACKBONES)
    return BACKBONES[name]


def _random(name: str, seed: int) -> Backbone:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return _entry(name).build(name)


def _filled(name: str, state: dict[str, Tensor], source: str) -> Backbone:
    backbone = unfilled_backbone(name)
    try:
        load_weights(backbone, state, _entry(name).rename, source)
    except WeightsError as error:
        fitting = [
            other
            for other, entry in BACKBONES.items()
            if fits(unfilled_backbone(other), state, entry.rename)
        ]
        if not fitting or name in fitting:
            raise
        raise WeightsError(f"{error} They fit {' and '.join(fitting)}.") from error
    return backbone
