"""What a backbone, or a method's training step on it, keeps for backward, and why."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from addapt.engines.torch.backbones import load_backbone
from addapt.engines.torch.backbones.registry import unfilled_backbone
from addapt.engines.torch.freezing import AuditRow, audit, freeze
from addapt.engines.torch.memory.kept import KeptTensors, memory_of
from addapt.engines.torch.methods import attach
from addapt.methods import Method

CLASSES = 10
BITS = "bits of an activation, or the places a max pooling chose"
INPUT_FOR_WEIGHT = "its input, for its trained weight"
INPUT_FOR_OTHERS = "its input, for what is trained inside it"
FROZEN_INPUT = "its input, though nothing in it is trained: it is not a frozen layer"
RESULT = "a map it computes, for what is trained in it or its derivative"


def audit_backbone(
    name: str,
    weights: Path | None = None,
    *,
    image_px: int,
    batch: int = 1,
    codes: str | None = None,
) -> tuple[tuple[AuditRow, ...], tuple[AuditRow, ...]]:
    """Say what a backbone keeps for backward, as PyTorch runs it and frozen.

    What is kept depends on shapes alone: nothing is computed, nor need it fit in memory. A file of
    `weights` is for whoever wants to know whether it can be read; for `codes` see `freeze`.
    """
    network = load_backbone(name, weights, plain=True).to("meta")
    example = torch.empty(batch, 3, image_px, image_px, device="meta")
    plain_rows = audit(network, example)
    frozen = freeze(network, codes=codes, consume=True)  # type: ignore[arg-type]  # it checks
    return plain_rows, audit(frozen, example)


def audit_method(
    backbone_name: str, method: Method, *, image_px: int, batch: int = 1, classes: int = CLASSES
) -> tuple[AuditRow, ...]:
    """Play a forward pass of training and say which layer keeps what of it, and why.

    Nothing is computed. What several layers need counts once, for the first of them.

    Raises:
        UnknownNameError: there is no such backbone.
    """
    backbone = unfilled_backbone(backbone_name)
    if not method.plain:
        backbone = backbone.lean(consume=True)
    # What is drawn for new layers must not change what the caller draws next.
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = attach(backbone, method, classes).train()
        x = torch.empty(batch, 3, image_px, image_px)
    kept = _ExplainedTensors(model)
    with kept, torch.enable_grad():
        model(x.contiguous(memory_format=torch.channels_last))
    return tuple(kept.rows.values())


class _ExplainedTensors(KeptTensors):
    """Notes, too, what each kept storage is to the layer at work."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.rows: dict[tuple[str, str], AuditRow] = {}
        self._at_work: list[tuple[nn.Module, set[int]]] = []  # and the storages of its inputs

    def _name_layer(self, name: str, module: nn.Module) -> Iterator[Any]:
        def enter(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            self._at_work.append((module, {_key(x) for x in inputs if isinstance(x, Tensor)}))

        yield from super()._name_layer(name, module)
        yield module.register_forward_pre_hook(enter)

    def _leave_layer(self) -> None:
        super()._leave_layer()
        self._at_work.pop()

    def _keep(self, tensor: Tensor) -> Any:
        seen = len(self._changes)
        kept = super()._keep(tensor)
        for name, kept_bytes in self._changes[seen:]:
            layer, inputs = self._at_work[-1]
            reason = _reason(tensor, layer, is_input=_key(tensor) in inputs)
            before = self.rows.get((name, reason))
            total = kept_bytes + (before.kept_bytes if before else 0)
            self.rows[name, reason] = AuditRow(name, type(layer).__name__, total, reason, "")
        return kept


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
    return memory_of(tensor)[0]
