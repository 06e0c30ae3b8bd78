"""What a network keeps for backward, operation by operation, and why."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, fx, nn
from torch.autograd.graph import saved_tensors_hooks

from addapt.engines.torch.freezing.fold import refuse_unfoldable
from addapt.engines.torch.freezing.layers import FrozenAffine, FrozenConv2d
from addapt.engines.torch.freezing.patterns import (
    MULTIPLY,
    MULTIPLY_METHODS,
    activation_of,
    called_module,
    changes_what_others_see,
    factors_of,
    geometry_of,
    module_of,
    name_of,
    path_of,
)
from addapt.engines.torch.freezing.replace import KEEP_THEIR_RESULT, lean_call, smooth_name
from addapt.engines.torch.freezing.trace import trace
from addapt.engines.torch.ops.activation import relu, relu6, smooth_8bit
from addapt.engines.torch.ops.gated import gated, gated_8bit
from addapt.engines.torch.ops.pad import pad_edges
from addapt.engines.torch.ops.pool import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from addapt.engines.torch.ops.two_slopes import hardsigmoid, hardtanh, leaky_relu, prelu

FREEZE = "freeze the network"
CODES = 'codes="8bit"'
ONE_BIT = "1 bit an element"
FROZEN: dict[Any, str] = {
    FrozenConv2d: ONE_BIT,
    FrozenAffine: ONE_BIT,
    relu: ONE_BIT,
    relu6: ONE_BIT,
    leaky_relu: ONE_BIT,
    prelu: ONE_BIT,
    hardtanh: ONE_BIT,
    hardsigmoid: ONE_BIT,
    max_pool2d: "1 byte an output element",
    smooth_8bit: "1 byte an element",
    gated: "the gate, and what the map was computed from",
    gated_8bit: "1 byte an element of a map, and the gate",
}


@dataclass(frozen=True)
class AuditRow:
    """What one operation of a network keeps for backward.

    `kind` is the class of the layer or the name of the function; `remedy` is empty where none
    is known. A map that two operations need is kept once and counted at the first of them.
    """

    name: str
    kind: str
    kept_bytes: int
    reason: str
    remedy: str


def audit(module: nn.Module, example: Float[Tensor, "n c h w"]) -> tuple[AuditRow, ...]:
    """Run a network once and say what each of its operations keeps for backward, and why.

    Parameters and buffers do not count: they are there anyhow.

    Args:
        module: plain or frozen, in evaluation mode.
        example: an input; if it and the network are on the device "meta", nothing is computed.

    Raises:
        FreezeError: the network cannot be recorded, or a batch norm is in training mode.
    """
    refuse_unfoldable(module)
    auditor = _Auditor(module if isinstance(module, fx.GraphModule) else trace(module, example))
    with torch.enable_grad():
        # Its clone may be changed in place, as a map inside a network may.
        auditor.run(example.detach().requires_grad_().clone())
    return tuple(auditor.rows)


class _Auditor(fx.Interpreter):
    """Runs a graph and writes a row for each operation."""

    def __init__(self, graph_module: fx.GraphModule) -> None:
        super().__init__(graph_module)
        self.rows: list[AuditRow] = []
        tensors = (*graph_module.parameters(), *graph_module.buffers())
        self._own = {_key(tensor) for tensor in tensors}
        # Who keeps which storage; the tensor is held so that its key stays its own.
        self._keepers: dict[int, tuple[str, Tensor]] = {}

    def run_node(self, n: fx.Node) -> Any:
        if n.op not in ("call_module", "call_function", "call_method"):
            return super().run_node(n)
        saved: dict[int, Tensor] = {}

        def save(x: Tensor) -> Tensor:
            if _key(x) not in self._own:
                saved[_key(x)] = x.detach()
            return x

        with saved_tensors_hooks(save, lambda x: x):
            result = super().run_node(n)
        if saved or isinstance(result, Tensor):
            self.rows.append(self._row(n, saved))
        return result

    def _row(self, node: fx.Node, saved: dict[int, Tensor]) -> AuditRow:
        name = _name(node)
        fresh = [x for key, x in saved.items() if key not in self._keepers]
        elsewhere = {self._keepers[key][0]: None for key in saved if key in self._keepers}
        reason, remedy = _explain(node, len(saved)) if saved else ("nothing", "")
        if elsewhere:
            reason += f" ({'' if not fresh else 'partly '}counted at {' and '.join(elsewhere)})"
        self._keepers |= {_key(x): (name, x) for x in fresh}
        kept_bytes = sum(x.untyped_storage().nbytes() for x in fresh)
        return AuditRow(name, name_of(node), kept_bytes, reason, remedy)


def _explain(node: fx.Node, saved: int) -> tuple[str, str]:
    """Return why `node` keeps something, and what can be done about it."""
    called = called_module(node) if node.op == "call_module" else None
    frozen = FROZEN.get(node.target if called is None else type(called))
    if frozen is not None:
        return frozen, ""
    if lean_call(node, "8bit") is not None and changes_what_others_see(node):
        return "works in place on a map that others use", "let it work out of place"
    if (conv := module_of(node, nn.Conv2d)) is not None:
        if geometry_of(conv, "none") is None:
            return "its input: padding of a kind not known to addapt", "pad in a layer before it"
        trained = conv.weight.requires_grad
        return (
            f"its input, {'for its weight' if trained else 'although its weight is frozen'}",
            FREEZE,
        )
    if (bn := module_of(node, nn.BatchNorm2d)) is not None:
        if bn.running_var is None:
            return "its input: it has no statistics but those of the batch", ""
        return "its input, although its statistics are fixed", FREEZE
    if activation_of(node) is not None:
        return "its result, of which 1 bit an element would do", FREEZE
    smooth = smooth_name(node)
    if smooth is not None:
        return f"needs its {'result' if smooth in KEEP_THEIR_RESULT else 'input'}", CODES
    if factors_of(node) is not None and (coded := lean_call(node, "8bit")) is not None:
        exact = lean_call(node, None) or coded
        return "both factors", FREEZE if exact[0] is gated else CODES
    if (lean := lean_call(node, None)) is not None:
        return POOLING.get(lean[0], "its input, of which 1 bit an element would do"), FREEZE
    if node.target is F.batch_norm:
        return "its input, although its statistics may be fixed", FREEZE
    if node.target is F.conv2d:
        return "its input, for a weight that is computed or trained", FREEZE
    if node.target in MULTIPLY | MULTIPLY_METHODS:
        return ("both factors" if saved > 1 else "one of its factors"), ""
    if (known := NEEDED.get(name_of(node))) is not None:
        return known, ""
    if called is not None and any(p.requires_grad for p in called.parameters()):
        return "its input, for its weight", FREEZE
    return "not known to addapt: left as it is", ""


OF_EACH_IMAGE = "its input: its statistics are those of each image"
# What no lean form is known for, by name.
NEEDED = {
    **dict.fromkeys(("layer_norm", "group_norm", "instance_norm", "rms_norm"), OF_EACH_IMAGE),
    **dict.fromkeys(("LayerNorm", "GroupNorm", "InstanceNorm2d", "RMSNorm"), OF_EACH_IMAGE),
    **dict.fromkeys(("matmul", "bmm", "baddbmm", "einsum"), "both factors"),
    **dict.fromkeys(("softmax", "Softmax", "log_softmax"), "its result"),
    "scaled_dot_product_attention": "queries, keys, values and its result",
}
POOLING: dict[Any, str] = {
    max_pool2d: "its input, and 8 bytes an output element",
    avg_pool2d: "its input, of which the shape would do",
    pad_edges: "its input, of which the shape would do",
    adaptive_avg_pool2d: "its input, of which the shape would do",
}


def _name(node: fx.Node) -> str:
    """Return the layer's path, or the path of the module that calls the function."""
    if node.op == "call_module":
        return str(node.target)
    path = path_of(node)
    return f"{path}.{node.name}" if path else node.name


def _key(x: Tensor) -> int:
    return int(x.untyped_storage()._cdata)
