"""PyTorch behind the door: a frozen network, and the models that share it."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from addapt._errors import AddaptError, DomainError
from addapt.backbones import BackboneInfo
from addapt.engines.abilities import TORCH, Abilities
from addapt.engines.base import Engine, Features, Form, Images
from addapt.engines.torch.arrays import backbone_input, to_tensors
from addapt.engines.torch.backbones import Backbone, load_backbone, weights_sha256
from addapt.engines.torch.backbones.registry import unfilled_backbone
from addapt.engines.torch.gates import count_multiply_adds
from addapt.engines.torch.methods import attach
from addapt.engines.torch.methods.registry import check_gate_unit
from addapt.engines.torch.model import TorchModel, to_floats
from addapt.gates import GateConfig
from addapt.memory import ProcessPeak
from addapt.methods import METHODS, Method


def open_backbone(
    name: str, weights: str | Path | None, *, device: str, seed: int
) -> "TorchEngine":
    """Load a backbone by its name; see `open_engine`."""
    backbone = load_backbone(name, weights, device=device, seed=seed)
    order = {
        "engine": TorchEngine.name,
        "backbone": name,
        "weights": None if weights is None else str(weights),
        "device": device,
        "seed": seed,
    }
    return TorchEngine(backbone, order)


def wrap_backbone(backbone: Backbone) -> "TorchEngine":
    """Give a backbone of one's own an engine."""
    return TorchEngine(backbone)


class TorchEngine(Engine):
    """A frozen network of PyTorch.

    Args:
        backbone: shared by all models.
        order: how `open_engine` makes the same one.
    """

    name: ClassVar[str] = "torch"

    def __init__(self, backbone: Backbone, order: dict[str, Any] | None = None) -> None:
        self.network = backbone
        if not backbone.info.weights_sha256:  # one that was not made by `load_backbone`
            backbone.info = replace(backbone.info, weights_sha256=weights_sha256(backbone))
        self._order = order
        self._hollow: Backbone | None = None  # made when it is needed first

    @property
    def backbone(self) -> BackboneInfo:
        """What the backbone is, its weights' hash included."""
        return self.network.info

    @property
    def abilities(self) -> Abilities:
        """All, methods of one's own too, on the devices that are here."""
        devices = TORCH.devices if torch.cuda.is_available() else ("cpu",)
        return replace(TORCH, methods=tuple(METHODS), devices=devices)

    @property
    def device(self) -> str:
        """Where the backbone is."""
        return str(next(self.network.parameters()).device)

    @property
    def threads(self) -> int:
        """The threads of PyTorch, which are the whole process's."""
        return torch.get_num_threads()

    @threads.setter
    def threads(self, threads: int) -> None:
        torch.set_num_threads(threads)

    @property
    def versions(self) -> dict[str, str]:
        """PyTorch's version."""
        return {"torch": torch.__version__}

    @property
    def weights_bytes(self) -> int:
        """The bytes of the backbone's parameters."""
        return sum(parameter.nbytes for parameter in self.network.parameters())

    @property
    def order(self) -> dict[str, Any] | None:
        """How to load the same backbone anew; None for one's own, which only this process has."""
        return self._order

    @torch.no_grad()
    def features(self, images: Images) -> Features:
        """Compute the frozen backbone's features; one that takes one size only is given that."""
        x, px = backbone_input(self.network, images), self.network.only_px
        if px is not None and x.shape[-1] != px:
            x = F.interpolate(x, (px, px), mode="bilinear")
        return to_floats(self.network(x))

    def require(self, method: Method, gates: GateConfig | None) -> None:
        """Refuse gates that the method does not have, too."""
        super().require(method, gates)
        check_gate_unit(method, gates)

    def multiply_adds(self, px: int) -> int:
        """Count those of the backbone for one image."""
        weight = next(self.network.parameters())
        return count_multiply_adds(self.network, weight.new_zeros(1, 3, px, px))

    def new_model(
        self, method: Method, classes: int, *, seed: int, gates: GateConfig | None = None
    ) -> "TorchModel":
        """Attach a method; PyTorch's own random numbers stay as they were."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return TorchModel(attach(self.network, method, classes, gates))

    def forms(
        self, method: Method, classes: int, gates: GateConfig | None = None
    ) -> Mapping[str, Form]:
        """Build the model on the device "meta", where nothing takes memory."""
        if self._hollow is None:
            self._hollow = hollow_backbone(self.network)
        try:
            with torch.device("meta"):
                model = attach(self._hollow, method, classes, gates)
                stored = model.stored_state(model.domain_state())
        except AddaptError:
            raise
        except Exception as error:  # numbers out of all range make torch raise almost anything
            reason = str(error).split("\n", 1)[0] or type(error).__name__
            raise DomainError(
                f"Its method {method.name!r} cannot be built as {method} ({reason}). "
                "Restore the file from a copy or learn the domain again."
            ) from error
        return {
            name: (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
            for name, tensor in stored.items()
        }

    def load_model(
        self,
        method: Method,
        classes: int,
        stored: Mapping[str, npt.NDArray[Any]],
        gates: GateConfig | None = None,
    ) -> "TorchModel":
        """Attach the method and copy the tensors."""
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
            model = attach(self.network, method, classes, gates)
        model.load_stored_state(to_tensors(stored))
        return TorchModel(model)

    def held_bytes(self) -> int | None:
        """Return what the process holds, or, on a GPU, what its tensors take there."""
        if self.device.startswith("cuda"):
            return torch.cuda.memory_allocated(self.device)
        return super().held_bytes()

    def measure_peak(self, work: Callable[[], object]) -> ProcessPeak:
        """Measure the process, or, on a GPU, the tensors there."""
        if not self.device.startswith("cuda"):
            return super().measure_peak(work)
        torch.cuda.reset_peak_memory_stats(self.device)
        start = torch.cuda.memory_allocated(self.device)
        work()
        peak_bytes = torch.cuda.max_memory_allocated(self.device) - start
        return ProcessPeak(peak_bytes, "tensors on the CUDA device")


def hollow_backbone(backbone: Backbone) -> Backbone:
    """Return a copy of a backbone whose tensors have shapes and types, but no values."""
    replaced: dict[int, Tensor] = {}
    for parameter in backbone.parameters():
        replaced[id(parameter)] = nn.Parameter(parameter.to("meta"), requires_grad=False)
    for buffer in backbone.buffers():
        replaced[id(buffer)] = buffer.to("meta")
    hollow = copy.deepcopy(backbone, replaced)
    if hollow.load_plain is not None:  # then the name is one of those that are known
        hollow.load_plain = partial(unfilled_backbone, backbone.info.name)
    return hollow.to("meta")  # also the weights that were packed
