"""A model of PyTorch behind the door: arrays become tensors here, and tensors arrays."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from addapt.domains import Signature
from addapt.engines.base import (
    Answers,
    Distances,
    Images,
    Labels,
    Logits,
    Model,
    ModelGates,
    Probabilities,
    State,
    StepSettings,
)
from addapt.engines.torch import gates as torch_gates
from addapt.engines.torch.adamw import AdamW, ParameterGroup
from addapt.engines.torch.arrays import backbone_input, to_arrays, to_tensors
from addapt.engines.torch.gates import count_multiply_adds
from addapt.engines.torch.memory import add_gradient
from addapt.engines.torch.methods import AdaptedModel
from addapt.gates import GateConfig


class TorchModel(Model):
    """An `AdaptedModel` behind the door; it is `module`."""

    def __init__(self, module: AdaptedModel) -> None:
        # A part that was copied from the frozen backbone may be in another mode than the whole.
        self.module = module.eval()
        self.gates = None if module.gates is None else _Gates(module)
        self._optimiser: AdamW | None = None
        self._label_smoothing = 0.0

    def prepare(self, settings: StepSettings) -> None:
        """Make AdamW for all that belongs to the domain."""
        pretrained = list(self.module.adaptor.pretrained_parameters())
        known = {id(parameter) for parameter in pretrained}
        fresh = [p for p in self.module.domain_parameters() if id(p) not in known]
        groups = [
            ParameterGroup(fresh, settings.lr),
            ParameterGroup(pretrained, settings.backbone_lr),
        ]
        self._optimiser = AdamW(groups, settings.weight_decay)
        self._label_smoothing = settings.label_smoothing

    @property
    def optimiser(self) -> AdamW:
        """The optimiser that `prepare` made."""
        assert self._optimiser is not None, "prepare() comes before steps"
        return self._optimiser

    def step(self, images: Images, labels: Labels, *, batch: int) -> float:
        """Forward, loss and backward."""
        self._set_mode(training=True)
        loss = add_gradient(
            self.module,
            partial(backbone_input, self.module.backbone, images),
            torch.from_numpy(labels).to(self.module.head.weight.device),
            images=batch,
            label_smoothing=self._label_smoothing,
        )
        return loss.item()

    def update(self, share: float) -> None:
        """Make a step of the optimiser."""
        self.optimiser.step(share)
        self.optimiser.zero_grad()

    @torch.no_grad()
    def logits(self, images: Images) -> Logits:
        """Forward, in evaluation mode."""
        self._set_mode(training=False)
        return to_floats(self.module(backbone_input(self.module.backbone, images)))

    @torch.no_grad()
    def answers(self, images: Images) -> Answers:
        """Forward, in evaluation mode."""
        self._set_mode(training=False)
        features = self.module.features(backbone_input(self.module.backbone, images))
        logits = self.module.head(features)
        return Answers(to_floats(logits), to_floats(features))

    def state(self) -> State:
        """Copy the domain's parameters and buffers."""
        return _copies(self.module.domain_state())

    def load_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Copy arrays into the domain's parameters and buffers."""
        self.module.load_domain_state(to_tensors(state))

    @property
    def trained(self) -> frozenset[str]:
        """The parameters' names."""
        return frozenset(
            name for name, tensor in self.module.domain_state().items() if tensor.requires_grad
        )

    def optimiser_state(self) -> State:
        """Copy the averages of AdamW."""
        return _copies(
            {
                f"{name}.{key}": value
                for name, parameter in self._parameters().items()
                for key, value in self.optimiser.state.get(parameter, {}).items()
            }
        )

    def load_optimiser_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Copy arrays into the averages of AdamW."""
        for name, parameter in self._parameters().items():
            moments = {
                key: torch.from_numpy(saved).to(parameter.device, parameter.dtype, copy=True)
                for key in ("step", "exp_avg", "exp_avg_sq")
                if (saved := state.get(f"{name}.{key}")) is not None
            }
            if moments:  # none where there has been no gradient yet
                moments["step"] = moments["step"].float()
                self.optimiser.state[parameter] = moments

    def stored(self, state: Mapping[str, npt.NDArray[Any]]) -> State:
        """Return what the adaptor keeps of a state."""
        return _copies(self.module.stored_state(to_tensors(state)))

    def multiply_adds(self, images: Images) -> int:
        """Count those of the whole model, in evaluation mode."""
        self._set_mode(training=False)
        return count_multiply_adds(self.module, backbone_input(self.module.backbone, images))

    def write_onnx(
        self,
        file: Path,
        image_px: int,
        description: str,
        texts: Mapping[str, str],
        signature: Signature | None,
    ) -> Callable[[Images], tuple[Probabilities, Distances | None]]:
        """Have PyTorch's exporter write it, and open the file in ONNX Runtime."""
        # Only here, as importing ONNX Runtime takes memory that learning need not have.
        from addapt.engines.torch.exporting import write_exported_file

        self._set_mode(training=False)
        return write_exported_file(file, self.module, image_px, description, texts, signature)

    def _parameters(self) -> dict[str, Tensor]:
        trained = {id(parameter) for parameter in self.optimiser.parameters()}
        state = self.module.domain_state()
        return {name: tensor for name, tensor in state.items() if id(tensor) in trained}

    def _set_mode(self, *, training: bool) -> None:
        if self.module.training is not training:
            self.module.train(training)


class _Gates(ModelGates):
    """A model's gates, given arrays."""

    def __init__(self, module: AdaptedModel) -> None:
        self._module = module

    @property
    def _gates(self) -> torch_gates.ModelGates:
        assert self._module.gates is not None
        return self._module.gates

    @property
    def config(self) -> GateConfig:  # type: ignore[override]
        """What was asked for."""
        return self._gates.config

    @property
    def active(self) -> bool:
        """Whether they decide."""
        return self._gates.active

    @active.setter
    def active(self, on: bool) -> None:
        self._gates.active = on

    @property
    def rescues(self) -> int:
        """How often they collapsed."""
        return self._gates.rescues

    def measure(self, batches: Iterable[Images]) -> None:
        """See `addapt.engines.torch.gates`."""
        self._gates.measure(_Inputs(self._module, batches))

    def refit(self, batches: Iterable[Images]) -> None:
        """See `addapt.engines.torch.gates`."""
        self._gates.refit(_Inputs(self._module, batches))

    def settle(self, batches: Iterable[Images]) -> None:
        """See `addapt.engines.torch.gates`."""
        self._gates.settle(_Inputs(self._module, batches))

    def open_shares(self, batches: Iterable[Images]) -> tuple[tuple[float, ...], ...]:
        """See `addapt.engines.torch.gates`."""
        return self._gates.open_shares(_Inputs(self._module, batches))


class _Inputs:
    """Batches of images as tensors, made when they are gone through."""

    def __init__(self, module: AdaptedModel, batches: Iterable[Images]) -> None:
        self._module, self._batches = module, batches

    def __iter__(self) -> Iterator[Tensor]:
        for images in self._batches:
            yield backbone_input(self._module.backbone, images)


def _copies(tensors: Mapping[str, Tensor]) -> State:
    return {name: array.copy() for name, array in to_arrays(tensors).items()}


def to_floats(tensor: Tensor) -> npt.NDArray[np.float32]:
    """Return a tensor as an array of float32."""
    array: npt.NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return array
