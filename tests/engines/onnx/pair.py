"""One model twice: as graphs of this engine, and as PyTorch's module; with what both compute."""

import copy
import functools
import itertools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from addapt.backbones.networks import Network, network
from addapt.engines.base import Images, Labels, State
from addapt.engines.onnx import step
from addapt.engines.onnx.frozen import FrozenWeights
from addapt.engines.onnx.graph import IMAGES, Graph
from addapt.engines.onnx.maker import WRITERS
from addapt.engines.onnx.model import domain_parameters
from addapt.engines.onnx.parameters import first_values, split_vector
from addapt.engines.onnx.session import Session
from addapt.engines.onnx.writing import to_model, weights_parts
from addapt.engines.torch.arrays import backbone_input, to_arrays
from addapt.engines.torch.backbones import Backbone, load_backbone
from addapt.engines.torch.methods import attach
from addapt.methods import Method

CLASSES = 5
BATCH = 16  # over which the loss is the mean; fewer images are at hand
LABEL_SMOOTHING = 0.1
_numbers = itertools.count()


class Step(NamedTuple):
    """What a step of learning computes."""

    logits: Any
    loss: float
    gradients: State


def some_images(n: int, px: int, seed: int = 0) -> Images:
    """Draw coarse images, as noise alone would look the same to all layers."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 8, 8, 3)).repeat(-(-px // 8), 1).repeat(-(-px // 8), 2)
    fine = rng.integers(-40, 41, (n, px, px, 3))
    return (coarse[:, :px, :px] + fine).clip(0, 255).astype(np.uint8)


def some_labels(n: int) -> Labels:
    """Return a class for each image."""
    return np.arange(n) * 2 % CLASSES


@functools.cache
def shifted_backbone(name: str) -> Backbone:
    """Build a frozen one with random weights whose biases, after folding, are not zero."""
    backbone = load_backbone(name, "random")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key, tensor in backbone.state_dict().items():
            if key.endswith("conv.bias"):
                tensor += 0.2 * torch.randn(tensor.shape, generator=generator)
    return backbone


def frozen_arrays(described: Network, backbone: Backbone) -> dict[str, Any]:
    """Return a lean backbone's weights by the names that graphs know them by."""
    tensors = to_arrays(backbone.state_dict())
    return {
        f"{layer.name}.{part}": tensors[f"{layer.name}.conv.{part}"]
        for layer in described.layers()
        for part in ("weight", "bias")
    }


class Pair:
    """A method on a backbone, with values that are nowhere zero.

    Args:
        name: of the backbone, whose weights are random.
        method: how it adapts.
        folder: for graphs and the backbones' weights.
    """

    def __init__(self, name: str, method: Method, folder: Path) -> None:
        self.described, self.method, self.folder = network(name), method, folder
        self.backbone = shifted_backbone(name)
        torch.manual_seed(0)
        self.module = attach(self.backbone, method, CLASSES).train()
        self.torch_first = copy.deepcopy(to_arrays(self.module.domain_state()))
        self._sessions: dict[tuple[str, int], Session] = {}
        self.parameters = domain_parameters(self.adaptor(), CLASSES)
        self.onnx_first = split_vector(self.parameters, first_values(self.parameters, 0))
        rng = np.random.default_rng(1)
        self.state: State = {
            key: (value + rng.normal(0, 0.02, value.shape)).astype(np.float32)
            for key, value in self.torch_first.items()
        }
        self.module.load_domain_state({k: torch.from_numpy(v) for k, v in self.state.items()})

    def adaptor(self) -> Any:
        """Spell the method out; what one has computed serves one graph."""
        return step.adaptor_for(self.method, self.described)

    def torch_step(self, images: Images, labels: Labels, exact: bool = False) -> Step:
        """Compute a step by PyTorch, in float64 if it is to be `exact`."""
        module = copy.deepcopy(self.module).double() if exact else self.module
        module.zero_grad(set_to_none=True)
        logits = module(backbone_input(module.backbone, images))
        wrong = F.cross_entropy(
            logits, torch.from_numpy(labels), reduction="sum", label_smoothing=LABEL_SMOOTHING
        )
        loss = wrong / BATCH
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = {
            name: tensor.grad.numpy()
            for name, tensor in module.domain_state().items()
            if tensor.grad is not None
        }
        return Step(logits.detach().numpy(), loss.item(), gradients)

    def torch_logits(self, images: Images) -> Any:
        """Recognise by PyTorch."""
        with torch.no_grad():
            return self.module(backbone_input(self.backbone, images)).numpy()

    def onnx_step(self, images: Images, labels: Labels) -> Step:
        """Compute a step by a graph of learning."""
        given = [step.of_parameter(parameter.name) for parameter in self.parameters]
        logits, loss, *gradients = self.session("learning", images.shape[1]).run(
            [step.LOGITS, step.LOSS, *given], self.step_inputs(images, labels)
        )
        vector = np.concatenate([gradient.reshape(-1) for gradient in gradients])
        return Step(logits, float(loss), split_vector(self.parameters, vector))

    def step_inputs(self, images: Images, labels: Labels) -> State:
        """Return what a graph of learning takes."""
        targets = np.full((len(images), CLASSES), LABEL_SMOOTHING / CLASSES, np.float32)
        targets[np.arange(len(images)), labels] += 1 - LABEL_SMOOTHING
        scale = np.array(1 / BATCH, np.float32)
        return {**self._inputs(images), step.TARGETS: targets, step.SCALE: scale}

    def onnx_logits(self, images: Images) -> Any:
        """Recognise by a graph of recognising."""
        session = self.session("recognising", images.shape[1])
        return session.run([step.LOGITS], self._inputs(images))[0]

    def session(self, kind: str, px: int) -> Session:
        """Return the session of a graph, made if it is not there yet."""
        if (kind, px) not in self._sessions:
            self._sessions[kind, px] = Session(self._graph(kind, px), threads=1)
        return self._sessions[kind, px]

    def _graph(self, kind: str, px: int) -> Path:
        frozen = FrozenWeights(self.described, f"{self.described.info.name}.weights")
        weights = self.folder / frozen.file
        if not weights.exists():
            arrays = frozen_arrays(self.described, self.backbone)
            with weights.open("wb") as file:
                file.writelines(weights_parts(frozen, arrays.items()))
        g = Graph(frozen)
        WRITERS[kind](g, self.adaptor(), px)
        path = self.folder / f"{next(_numbers)}.onnx"
        path.write_bytes(to_model(g, kind).SerializeToString())
        return path

    def _inputs(self, images: Images) -> State:
        return {IMAGES: images, **self.state}


def worst(found: State, expected: State) -> float:
    """Return the largest difference, as a share of each array's largest element."""
    assert found.keys() == expected.keys()
    return max(relative(found[name], expected[name]) for name in expected)


def relative(found: Any, expected: Any) -> float:
    """Return the largest difference as a share of the largest element."""
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())
