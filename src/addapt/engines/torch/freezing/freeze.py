"""Turning a network into a frozen one, made of operations that keep almost nothing."""

import copy
from collections import Counter
from operator import attrgetter
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from addapt._errors import FreezeError
from addapt.engines.torch.freezing.fold import fold, refuse_unfoldable, scale_and_shift
from addapt.engines.torch.freezing.layers import FrozenAffine, FrozenConv2d
from addapt.engines.torch.freezing.patterns import (
    activation_of,
    called_module,
    changes_what_others_see,
    geometry_of,
    module_of,
    next_in_chain,
    summand_of,
)
from addapt.engines.torch.freezing.replace import Codes, check_codes, lean_call
from addapt.engines.torch.freezing.simplify import simplify
from addapt.engines.torch.freezing.trace import FrozenNetwork, trace
from addapt.engines.torch.ops.activation import Activation


def freeze(
    module: nn.Module,
    *,
    example: Float[Tensor, "n c h w"] | None = None,
    codes: Codes | None = None,
    consume: bool = False,
) -> FrozenNetwork:
    """Return a frozen network that computes the same and keeps almost nothing for backward.

    Batch norms are folded into the convolutions before them, which are fused with the residual
    sum and the ReLU or ReLU6 after them; pooling, gates and lone activations get lean forms. Batch
    norms and convolutions may be called as functions, and weights computed from weights are
    computed once. Checks of shapes are left out. What is not known is left as it is; `audit` lists
    it. What behaves otherwise in training, such as dropout, stays in evaluation mode for good.

    Args:
        module: any network of plain PyTorch that torch.fx can record, in evaluation mode.
        example: an input, needed where the network's code decides by the sizes of maps, as "SAME"
            padding does; the frozen network then takes images of that size alone, any number.
        codes: "8bit" lets SiLU, GELU, sigmoid and their like keep one byte an element, a code of
            their derivative, instead of their input, and maps that are multiplied by a gate or by
            each other be kept rounded to a byte; by default all stays exact.
        consume: fold within the memory of `module`, which makes it unusable; by default it
            stays as it is, and the weights with a batch norm behind them are copied.

    Raises:
        FreezeError: the network cannot be recorded, a batch norm is in training mode, or a weight
            is not a number.
        OptionError: there are no such codes.
    """
    check_codes(codes)
    graph_module = record(module, example, share_buffers=consume)
    uses = _count_uses(graph_module)
    for node in list(graph_module.graph.nodes):
        conv = module_of(node, nn.Conv2d)
        if conv is not None:
            once = uses[conv] == 1
            alone = once and uses[conv.weight] == 1
            _freeze_conv(graph_module, node, conv, once=once, consume=consume and alone)
    for node in list(graph_module.graph.nodes):
        bn = module_of(node, nn.BatchNorm2d)
        if bn is not None and bn.running_var is not None:
            _freeze_batch_norm(graph_module, node, bn, once=uses[bn] == 1)
        elif node.op in ("call_module", "call_function", "call_method") and node.users:
            _replace_lone(graph_module, node, codes)
    graph_module.delete_all_unused_submodules()
    graph_module.graph.lint()
    graph_module.recompile()
    return graph_module.requires_grad_(False).eval()


def record(
    module: nn.Module,
    example: Float[Tensor, "n c h w"] | None = None,
    *,
    share_buffers: bool = False,
) -> FrozenNetwork:
    """Record a network in its plainest form: with layers of its own, and its parameters' memory.

    Raises:
        FreezeError: as `freeze`.
    """
    _refuse_broken_weights(module)
    refuse_unfoldable(module)
    graph_module = _with_own_layers(trace(module, example), share_buffers=share_buffers)
    simplify(graph_module)
    return graph_module


def _freeze_conv(
    graph_module: fx.GraphModule, node: fx.Node, conv: nn.Conv2d, *, once: bool, consume: bool
) -> None:
    """Put one fused module in the place of `node` and what follows it."""
    if geometry_of(conv, "none") is None:
        return
    chain = [node]
    bn = None
    user = next_in_chain(chain)
    if user is not None:
        found = module_of(user, nn.BatchNorm2d)
        if found is not None and found.running_var is not None:
            bn = found
            chain.append(user)
    args = node.args
    user = next_in_chain(chain)
    if user is not None and (residual := summand_of(user, chain[-1])) is not None:
        args = (*args, residual)
        chain.append(user)
    activation = _absorb_activation(chain)
    geometry = geometry_of(conv, activation)
    assert geometry is not None
    layer = FrozenConv2d(*fold(conv, bn, consume=consume), geometry)
    _put(graph_module, chain, layer, args, keep_name=once)


def _freeze_batch_norm(
    graph_module: fx.GraphModule, node: fx.Node, bn: nn.BatchNorm2d, *, once: bool
) -> None:
    """Put an affine map in the place of a batch norm that follows no convolution."""
    chain = [node]
    activation = _absorb_activation(chain)
    assert bn.running_var is not None
    scale, shift = (value.to(bn.running_var.dtype) for value in scale_and_shift(bn))
    _put(graph_module, chain, FrozenAffine(scale, shift, activation), node.args, keep_name=once)


def _absorb_activation(chain: list[fx.Node]) -> Activation:
    """Append to `chain` the activation after it, if it is the only one to use its result."""
    user = next_in_chain(chain)
    activation = None if user is None else activation_of(user)
    if user is None or activation is None:
        return "none"
    chain.append(user)
    return activation


def _replace_lone(graph_module: fx.GraphModule, node: fx.Node, codes: Codes | None) -> None:
    """Put the lean form of one operation in its place, if there is one."""
    call = lean_call(node, codes)
    if call is None or changes_what_others_see(node):
        return
    with graph_module.graph.inserting_before(node):
        lean = graph_module.graph.call_function(*call)
    lean.meta = dict(node.meta)
    node.replace_all_uses_with(lean)
    graph_module.graph.erase_node(node)


def _put(
    graph_module: fx.GraphModule,
    chain: list[fx.Node],
    layer: nn.Module,
    args: tuple[Any, ...],
    *,
    keep_name: bool,
) -> None:
    """Replace a chain of nodes by one call of `layer`, where the last of them stood."""
    first, last = chain[0], chain[-1]
    name = str(first.target) if keep_name else f"{first.target}_{first.name}"
    graph_module.add_submodule(name, layer)
    with graph_module.graph.inserting_before(last):
        call = graph_module.graph.call_module(name, args)
    last.replace_all_uses_with(call)
    for node in reversed(chain):
        graph_module.graph.erase_node(node)


def _with_own_layers(graph_module: FrozenNetwork, *, share_buffers: bool) -> FrozenNetwork:
    """Copy the layers, so that changing their state leaves the original; share the parameters."""
    memory: dict[int, Any] = {
        id(parameter): nn.Parameter(parameter.detach(), requires_grad=False)
        for parameter in graph_module.parameters()
    }
    if share_buffers:
        memory |= {id(buffer): buffer for buffer in graph_module.buffers()}
    return copy.deepcopy(graph_module, memory)


def _count_uses(graph_module: fx.GraphModule) -> Counter[nn.Module | Tensor]:
    """Count how often each layer is called and each parameter is used."""
    uses: Counter[nn.Module | Tensor] = Counter()
    for node in graph_module.graph.nodes:
        if node.op == "call_module":
            layer = called_module(node)
            uses.update((layer, *layer.parameters()))
        elif node.op == "get_attr":
            uses[attrgetter(node.target)(graph_module)] += 1
    return uses


def _refuse_broken_weights(module: nn.Module) -> None:
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not tensor.is_meta and not torch.isfinite(tensor).all():
            raise FreezeError(
                f"The tensor {name!r} of {type(module).__name__} holds a value that is not finite "
                "(NaN or infinity): the network is broken. Load its weights again."
            )
