"""Recognising, in a graph, the operations that a frozen network knows lean forms of."""

import operator
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import fx, nn

from addapt.engines.torch.freezing.trace import IN_PLACE_OPERATORS
from addapt.engines.torch.ops.activation import Activation
from addapt.engines.torch.ops.conv import ConvGeometry

Layer = TypeVar("Layer", bound=nn.Module)

CALLS = ("call_module", "call_function", "call_method")
RELU = {F.relu, F.relu_, torch.relu, torch.relu_}
RELU_METHODS = {"relu", "relu_"}
VIEWS = {
    *("chunk", "contiguous", "detach", "expand", "flatten", "getitem", "movedim", "narrow"),
    *("permute", "reshape", "select", "split", "squeeze", "swapaxes", "tensor_split", "to"),
    *("transpose", "unbind", "unflatten", "unsqueeze", "view", "dropout", "dropout2d"),
    *("Dropout", "Dropout2d", "Flatten", "Identity", "Unflatten"),
}
MULTIPLY = {operator.mul, operator.imul, torch.mul}
MULTIPLY_METHODS = {"mul", "mul_", "__mul__", "__imul__"}
ADD = {operator.add, operator.iadd, torch.add}
ADD_METHODS = {"add", "add_", "__add__", "__iadd__"}


def called_module(node: fx.Node) -> nn.Module:
    """Return the module that `node` calls."""
    owner = node.graph.owning_module
    assert owner is not None
    return owner.get_submodule(str(node.target))


def module_of(node: fx.Node, kind: type[Layer]) -> Layer | None:
    """Return the module that `node` calls with `x` alone, if it is exactly of that kind.

    A subclass may compute something else, and so may a module with hooks.
    """
    if node.op != "call_module":
        return None
    module = called_module(node)
    hooked = module._forward_hooks or module._forward_pre_hooks
    plain_call = len(node.args) == 1 and not node.kwargs
    return module if type(module) is kind and plain_call and not hooked else None


def activation_of(node: fx.Node) -> Activation | None:
    """Return "relu" or "relu6" if that is what `node` computes."""
    if node.op == "call_module":
        if module_of(node, nn.ReLU):
            return "relu"
        clip = module_of(node, nn.Hardtanh)
        is_relu6 = clip is not None and (clip.min_val, clip.max_val) == (0, 6)
        return "relu6" if is_relu6 or module_of(node, nn.ReLU6) else None
    if node.op == "call_method":
        return "relu" if node.target in RELU_METHODS else None
    if node.op == "call_function":
        if node.target in RELU:
            return "relu"
        if node.target is F.relu6 or (node.target is F.hardtanh and _limits(node) == (0, 6)):
            return "relu6"
    return None


def settings_of(
    node: fx.Node, kind: type[nn.Module], function: object, defaults: dict[str, Any]
) -> tuple[Any, ...] | None:
    """Return the settings with which `node` calls a layer or its function, if it calls either.

    Names of settings are as torch has them, in layers and functions alike, in the function's order.
    """
    layer = module_of(node, kind)
    if layer is not None:
        given = vars(layer)
    elif node.op == "call_function" and node.target is function:
        given = dict(zip(defaults, node.args[1:], strict=False)) | dict(node.kwargs)
    else:
        return None
    if given.get("return_indices"):
        return None
    return tuple(given.get(name, default) for name, default in defaults.items())


def factors_of(node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    """Return the two tensors that `node` multiplies, if it does that and nothing else."""
    multiplies = (node.op == "call_function" and node.target in MULTIPLY) or (
        node.op == "call_method" and node.target in MULTIPLY_METHODS
    )
    if not multiplies or node.kwargs or len(node.args) != 2:
        return None
    first, second = node.args
    both = isinstance(first, fx.Node) and isinstance(second, fx.Node)
    return (first, second) if both and first is not second else None  # type: ignore[return-value]


def is_parameter(node: object) -> bool:
    """Say whether something is a parameter or buffer of the network."""
    return isinstance(node, fx.Node) and node.op == "get_attr"


def name_of(node: fx.Node) -> str:
    """Return the class of the layer, or the name of the function or method, that `node` calls."""
    if node.op == "call_module":
        return type(called_module(node)).__name__
    return str(getattr(node.target, "__name__", node.target))


def path_of(node: fx.Node) -> str:
    """Return the path of the module whose code calls `node`."""
    stack = node.meta.get("nn_module_stack")
    return str(next(reversed(stack.values()))[0]) if stack else ""


def changes_its_input(node: fx.Node) -> bool:
    """Say whether `node` works in place, so that others may see its input changed."""
    if node.op == "call_module":
        return getattr(called_module(node), "inplace", False) is True
    name = name_of(node)
    by_name = name.endswith("_") and not name.endswith("__")
    by_option = node.kwargs.get("inplace") is True or "out" in node.kwargs
    return node.target in IN_PLACE_OPERATORS or name == "__iadd__" or by_name or by_option


def changes_what_others_see(node: fx.Node) -> bool:
    """Say whether `node` works in place on a map that has other users."""
    return changes_its_input(node) and any(map(_seen_by_others, node.all_input_nodes))


def _seen_by_others(node: fx.Node) -> bool:
    """Say whether the result of `node`, or the map that it is a view of, has several users."""
    if len(node.users) > 1:
        return True
    return name_of(node) in VIEWS and any(map(_seen_by_others, node.all_input_nodes))


def is_changed_later(node: fx.Node) -> bool:
    """Say whether something works in place on the result of `node`, or on a view of it."""
    return any(
        changes_its_input(user) or (name_of(user) in VIEWS and is_changed_later(user))
        for user in node.users
    )


def next_in_chain(chain: list[fx.Node]) -> fx.Node | None:
    """Return the one user of a chain's result, if the whole chain may be computed there.

    It may not if something in between works in place: it may change what the chain reads.
    """
    user = next(iter(chain[-1].users)) if len(chain[-1].users) == 1 else None
    between = chain[0].next
    while user is not None and between is not user:
        if between not in chain and changes_its_input(between):
            return None
        between = between.next
    return user


def summand_of(node: fx.Node, part: fx.Node) -> fx.Node | None:
    """Return what `node` adds to `part`, if it adds a tensor to it and does nothing else."""
    adds = (node.op == "call_function" and node.target in ADD) or (
        node.op == "call_method" and node.target in ADD_METHODS
    )
    if not adds or node.kwargs or len(node.args) != 2:
        return None
    first, second = node.args
    if not isinstance(first, fx.Node) or not isinstance(second, fx.Node) or first is second:
        return None
    if changes_its_input(node) and first is not part and _seen_by_others(first):
        return None
    return second if first is part else first


def geometry_of(conv: nn.Conv2d, activation: Activation) -> ConvGeometry | None:
    """Return how `conv` moves over a map, or None if its padding is not the same on both sides."""
    if conv.padding_mode != "zeros":
        return None
    padding = conv.padding
    if isinstance(padding, str):
        reach = [d * (k - 1) for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
        if padding == "same" and any(total % 2 for total in reach):
            return None
        padding = tuple(total // 2 if padding == "same" else 0 for total in reach)
    return ConvGeometry(
        _pair(conv.stride), _pair(padding), _pair(conv.dilation), conv.groups, activation
    )


def _pair(value: tuple[int, ...]) -> tuple[int, int]:
    height, width = value
    return height, width


def _limits(node: fx.Node) -> tuple[object, object]:
    low = node.args[1] if len(node.args) > 1 else node.kwargs.get("min_val", -1.0)
    high = node.args[2] if len(node.args) > 2 else node.kwargs.get("max_val", 1.0)
    return low, high
