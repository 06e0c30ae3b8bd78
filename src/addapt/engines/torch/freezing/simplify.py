"""A recorded graph, simplified: constants computed, layers made of functions, no-ops left out.

Libraries write the same network in several ways; what comes after knows the plainest of them.
"""

from operator import attrgetter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from addapt.engines.torch.freezing.as_layers import erase_unused, free_name, make_layers
from addapt.engines.torch.freezing.patterns import (
    CALLS,
    VIEWS,
    changes_its_input,
    module_of,
    name_of,
)

NO_OPS = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
DROPOUT = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout)
RANDOM = ("dropout", "rand", "bernoulli", "uniform", "multinomial")
OF_SIZES = {"shape", "ndim", "dtype", "device"}
SIZE_METHODS = {"size", "dim", "numel", "type"}


def simplify(graph_module: fx.GraphModule) -> None:
    """Bring a graph into the plainest form that computes the same in evaluation mode.

    Left out are checks of sizes by `torch._assert`, and layers that do nothing. Tensors that are
    computed from parameters alone become parameters; functions that are given parameters become
    layers.
    """
    _leave_out(graph_module)
    _fold_constants(graph_module)
    make_layers(graph_module)


def _leave_out(graph_module: fx.GraphModule) -> None:
    """Erase checks of sizes, and what passes its input on."""
    for node in list(graph_module.graph.nodes):
        checks = node.target is torch._assert and _is_of_sizes(node.args[0])
        if checks or (node.op in CALLS and not node.users and _is_of_sizes(node)):
            erase_unused(node)
        elif any(module_of(node, kind) for kind in NO_OPS) or (
            node.target in DROPOUT and not _trains(node)
        ):
            source = node.args[0] if node.args else None
            if isinstance(source, fx.Node):
                node.replace_all_uses_with(source)
                graph_module.graph.erase_node(node)


def _trains(node: fx.Node) -> bool:
    return bool(node.kwargs.get("training", node.args[2] if len(node.args) > 2 else True))


def _is_of_sizes(value: object) -> bool:
    """Say whether a value depends on shapes and types alone."""
    if not isinstance(value, fx.Node):
        return True
    if value.op == "call_method" and value.target in SIZE_METHODS:
        return True
    if value.target is getattr and value.args[1] in OF_SIZES:
        return True
    inputs = value.all_input_nodes
    return value.op == "call_function" and bool(inputs) and all(map(_is_of_sizes, inputs))


def _fold_constants(graph_module: fx.GraphModule) -> None:
    """Compute what depends on parameters alone, such as standardised weights, once and for all."""
    changed = _changed_in_place(graph_module)
    tensors = (*graph_module.parameters(), *graph_module.buffers())
    own = {tensor.untyped_storage()._cdata for tensor in tensors}
    values: dict[fx.Node, Any] = {}

    def value_of(argument: Any) -> Any:
        return fx.node.map_arg(argument, values.__getitem__)

    for node in graph_module.graph.nodes:
        if node.op == "get_attr":
            value = attrgetter(str(node.target))(graph_module)
            if isinstance(value, Tensor):
                values[node] = value.detach()
        elif (
            node.op in CALLS
            and node.all_input_nodes
            and all(source in values for source in node.all_input_nodes)
            and node not in changed
            and not any(word in name_of(node).lower() for word in RANDOM)
        ):
            run = getattr(fx.Interpreter(graph_module), node.op)
            with torch.no_grad():
                values[node] = run(node.target, value_of(node.args), value_of(node.kwargs))
    for node, value in values.items():
        if node.op == "get_attr" or all(user in values for user in node.users):
            continue
        if isinstance(value, Tensor):
            if value.untyped_storage()._cdata in own:  # folding within it must not change others
                value = value.clone()
            name = free_name(graph_module, f"constant_{node.name}")
            graph_module.register_buffer(name, value)
            with graph_module.graph.inserting_before(node):
                constant = graph_module.graph.get_attr(name)
            constant.meta = dict(node.meta)
            node.replace_all_uses_with(constant)
        else:
            for user in list(node.users):
                _put_in(user, node, value)
    for node in reversed(list(values)):
        if not node.users:
            graph_module.graph.erase_node(node)


def _changed_in_place(graph_module: fx.GraphModule) -> set[fx.Node]:
    """Return what is changed in place, and the maps that it is a view of."""
    changed: set[fx.Node] = set()
    for node in graph_module.graph.nodes:
        if node.op in CALLS and changes_its_input(node):
            front = [node, *node.all_input_nodes]
            while front:
                changed.add(found := front.pop())
                if name_of(found) in VIEWS:
                    front += found.all_input_nodes
    return changed


def _put_in(user: fx.Node, node: fx.Node, value: Any) -> None:
    """Write a number, or a size, in the place of a node among a user's arguments."""

    def swap(other: fx.Node) -> Any:
        return value if other is node else other

    user.args = fx.node.map_arg(user.args, swap)
    user.kwargs = fx.node.map_arg(user.kwargs, swap)
