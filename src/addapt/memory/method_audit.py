"""What a method's training step keeps for backward, layer by layer, and why."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from addapt.freezing import AuditRow
from addapt.memory.kept import held_by
from addapt.memory.live import memory_of
from addapt.memory.simulate import Simulation, pictures
from addapt.methods import Method

CLASSES = 10
BITS = "bits of an activation, or the places a max pooling chose"
INPUT_FOR_WEIGHT = "its input, for its trained weight"
INPUT_FOR_OTHERS = "its input, for what is trained inside it"
FROZEN_INPUT = "its input, though nothing in it is trained: it is not a frozen layer"
RESULT = "a map it computes, for what is trained in it or its derivative"


def audit_method(
    backbone_name: str, method: Method, *, image_px: int, batch: int = 1, classes: int = CLASSES
) -> tuple[AuditRow, ...]:
    """Play a forward pass of training and say which layer keeps what of it, and why.

    Nothing is computed. What several layers need counts once, for the first of them.

    Args:
        backbone_name: one of `BACKBONES`.
        method: how it is adapted.
        image_px: side of the pictures.
        batch: pictures in memory at once.
        classes: of the head.

    Raises:
        UnknownNameError: there is no such backbone.
    """
    model = Simulation(backbone_name, method, classes).model.train()
    watch = _Watch(model)
    with watch, torch.enable_grad():
        model(pictures(batch, image_px))
    return tuple(watch.rows.values())


class _Watch:
    """Notes each saved storage with the innermost layer at work and what it is to that."""

    def __init__(self, model: nn.Module) -> None:
        self.rows: dict[tuple[str, str], AuditRow] = {}
        self._model = model
        self._alive = {_key(tensor) for tensor in held_by(model)}
        # Tensors are held so that their storages' keys stay their own.
        self._seen: dict[int, Tensor] = {}
        self._layers: list[tuple[str, nn.Module, set[int]]] = []
        self._exit = ExitStack()

    def __enter__(self) -> None:
        with ExitStack() as stack:
            for name, module in self._model.named_modules():
                for hook in self._hooks(name, module):
                    stack.callback(hook.remove)
            stack.enter_context(saved_tensors_hooks(self._keep, lambda tensor: tensor))
            self._exit = stack.pop_all()

    def __exit__(self, *error: object) -> None:
        self._exit.close()

    def _hooks(self, name: str, module: nn.Module) -> Iterator[Any]:
        def enter(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            keys = {_key(x) for x in inputs if isinstance(x, Tensor)}
            self._layers.append((name, module, keys))

        yield module.register_forward_pre_hook(enter)
        yield module.register_forward_hook(lambda *_: self._leave(), always_call=True)

    def _leave(self) -> None:
        self._layers.pop()

    def _keep(self, tensor: Tensor) -> Tensor:
        key = _key(tensor)
        base = tensor if tensor._base is None else tensor._base
        if key not in self._alive | self._seen.keys() and not (base.is_leaf and base.requires_grad):
            self._seen[key] = tensor.detach()
            name, layer, inputs = self._layers[-1]
            reason = _reason(tensor, layer, is_input=key in inputs)
            before = self.rows.get((name, reason))
            kept_bytes = memory_of(tensor)[2] + (before.kept_bytes if before else 0)
            row = AuditRow(name, type(layer).__name__, kept_bytes, reason, "")
            self.rows[name, reason] = row
        return tensor


def _reason(tensor: Tensor, layer: nn.Module, *, is_input: bool) -> str:
    if not tensor.is_floating_point():
        return BITS
    if not is_input:
        return RESULT
    if any(parameter.requires_grad for parameter in layer.parameters(recurse=False)):
        return INPUT_FOR_WEIGHT
    is_trained = any(parameter.requires_grad for parameter in layer.parameters())
    return INPUT_FOR_OTHERS if is_trained else FROZEN_INPUT


def _key(tensor: Tensor) -> int:
    return memory_of(tensor)[1]
