"""Networks of the library timm as backbones, by their names there."""

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from addapt._errors import MissingPackageError, UnknownNameError, WeightsError
from addapt._text import printable
from addapt.backbones import IMAGENET_INPUT, TIMM
from addapt.backbones.state_file import read_state
from addapt.engines.torch.backbones.base import Backbone
from addapt.engines.torch.backbones.vision_libraries import import_library

MOST_LIKE = 5  # names that are told for one that is unknown


def load_timm(
    name: str, weights: str | Path | None = None, *, seed: int = 0, plain: bool = False
) -> Backbone:
    """Make a backbone of a network of timm; nothing is downloaded.

    Args:
        name: "timm:" and the network's name there.
        weights: a state dict, as timm saves it; by default random weights.
        seed: of random weights.
        plain: leave batch norms apart from convolutions.

    Raises:
        MissingPackageError: timm is not installed.
        UnknownNameError: timm has no such network.
        WeightsError: the weights cannot be read or do not fit.
        FreezeError, OptionError: the network cannot be recorded, or not cut into blocks.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = _create(name)
    source = f"random (seed {seed})"
    if weights is not None and weights != "random":
        path = Path(weights).expanduser()
        _fill(network, read_state(path), name, path)
        source = f"file {printable(path.name)}"
    backbone = Backbone.of(network, name=name, plain=plain)
    backbone.info = replace(backbone.info, weights=source)
    return backbone


def unfilled_timm(name: str) -> Backbone:
    """Build the plain backbone on the device "meta", where weights take no memory."""
    with torch.device("meta"):
        return Backbone.of(_create(name), name=name, plain=True)


def native_px(name: str) -> int:
    """Return the side of the images that a network of timm is made for; nothing is built.

    Raises:
        MissingPackageError: timm is not installed.
        UnknownNameError: timm has no such network.
    """
    config = _library(name).get_pretrained_cfg(name.removeprefix(TIMM))
    return IMAGENET_INPUT.px if config is None else int(config.input_size[-1])


def _create(name: str) -> nn.Module:
    """Build a network of timm without its classifier."""
    network: nn.Module = _library(name).create_model(name.removeprefix(TIMM), num_classes=0)
    return network.eval()


def _library(name: str) -> Any:
    """Return timm, which has a network of this name."""
    try:
        timm = import_library("timm")
    except (ImportError, RuntimeError) as error:  # such as of compiled parts that do not fit
        raise MissingPackageError(
            f"The backbone {name} needs timm, which cannot be imported ({error}): "
            "pip install 'addapt[timm]'."
        ) from error
    model, known = name.removeprefix(TIMM), timm.list_models()
    if model not in known:  # there are too many to list
        like = difflib.get_close_matches(model, known, n=MOST_LIKE, cutoff=0.4)
        raise UnknownNameError(
            "backbone",
            name,
            [f"{TIMM}{other}" for other in like or known[:MOST_LIKE]],
            "Python's timm.list_models() names all of timm.",
        )
    return timm


def _fill(network: nn.Module, state: Mapping[str, NDArray[Any]], name: str, path: Path) -> None:
    """Copy the tensors of a file into a network, all but the classifier's."""
    own = network.state_dict()
    for key, tensor in own.items():
        if key.endswith("num_batches_tracked"):
            continue
        if key not in state:
            raise WeightsError(
                f"The weights file {path} has no {key!r}, which {name} needs: it is of another "
                "network. Give a state dict of that one, as timm saves it."
            )
        if tuple(state[key].shape) != tuple(tensor.shape):
            raise WeightsError(
                f"The weights file {path} has {key!r} of {tuple(state[key].shape)}, and {name} "
                f"needs {tuple(tensor.shape)}: it is of another network. Give a state dict of that "
                "one."
            )
        tensor.copy_(torch.from_numpy(np.array(state[key])))
