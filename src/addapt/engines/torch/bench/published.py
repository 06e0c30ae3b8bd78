"""The paper's rivals as their authors run them: ordinary modules and optimisers of PyTorch.

No operation of ours is in them; `addapt.engines.torch.methods` has the same methods made lean. All
rest on the authors' code, and where that leaves room the choice is the one that takes less memory.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from addapt._errors import OptionError
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.backbones.conv_bn import ConvBn
from addapt.methods import Piggyback

IMAGE_CHANNELS = 3


def publish(backbone: Backbone, method: str, classes: int) -> nn.Sequential:
    """Make, from images to logits, the network of a rival, only whose own part asks for gradients.

    Args:
        backbone: plain; its layers become the rival's, so nothing else may use it.
        method: one of `addapt.bench.contender.PUBLISHED`.
        classes: the width of the logits.

    Raises:
        OptionError: the rival changes layers of addapt, and the backbone has others.
    """
    layers = nn.Sequential(backbone.stem, *backbone.blocks, backbone.tail)
    if method == "finetune":
        layers.requires_grad_(True)
    else:
        _change(layers, method, backbone.info.name)
    return layers.append(nn.Linear(backbone.info.features, classes)).to(
        next(backbone.parameters()).device
    )


def _change(layers: nn.Sequential, method: str, name: str) -> None:
    """Let a rival's own part be trained."""
    change = {
        "series_adapter": _adapt_in_series,
        "parallel_adapter": _adapt_in_parallel,
        "piggyback": _mask,
    }[method]
    own = [layer for layer in layers.modules() if isinstance(layer, ConvBn)]
    if not own:
        raise OptionError(
            f"'eager:{method}' changes layers that {name} does not have: leave it out, or give a "
            "backbone of `addapt backbones`."
        )
    for layer in own:
        change(layer)


def own_optimiser(network: nn.Module, method: str, lr: float) -> torch.optim.Optimizer:
    """Make the optimiser that the authors use: Adam for Piggyback, SGD with momentum for others."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if method == Piggyback.name:
        return torch.optim.Adam(trained, lr)
    return torch.optim.SGD(trained, lr, momentum=0.9)


def _adapt_in_series(layer: ConvBn) -> None:
    """Put an adapter after a k x k convolution; its batch norm is the domain's own.

    See `addapt.methods.SeriesAdapter`; the authors' code is that of srebuffi/residual_adapters.
    Their networks have no 1 x 1 convolution. As followers do with bottlenecks (such as Li, Liu,
    Bilen, "Cross-domain Few-shot Learning with Task-specific Adapters", CVPR 2022, whose adapters
    stand at convolutions of 3 x 3), these get none, only batch norms of their own. A depthwise
    convolution gets one over all its channels, as there is no other k x k convolution.
    """
    layer.bn.requires_grad_(True)
    if max(layer.conv.kernel_size) > 1:
        layer.add_module("conv", Series(layer.conv))


def _adapt_in_parallel(layer: ConvBn) -> None:
    """Put an adapter beside a k x k convolution, chosen as `_adapt_in_series` says.

    Where zeros are put around the map before the convolution, which is so at stride 2 in
    EfficientNet-Lite, the adapter reads the map without them, as a 1 x 1 convolution of that stride
    does: the first pixel of two, where `addapt.methods.ParallelAdapter` reads a window's middle.
    """
    layer.bn.requires_grad_(True)
    if max(layer.conv.kernel_size) > 1:
        pad = getattr(layer, "pad", None)
        if pad is not None:
            del layer.pad
        layer.add_module("conv", Parallel(layer.conv, pad))


def _mask(layer: ConvBn) -> None:
    """Mask the weight of every convolution; batch norms stay the backbone's, statistics included.

    The authors' code is that of arunmallya/piggyback; it, too, masks all convolutions. It computes
    gradients of batch norms and sets them to zero; here there are none.
    """
    layer.add_module("conv", Masked(layer.conv))


class Series(nn.Module):
    """y + adapter(norm(y)) for the convolution's y."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(conv.out_channels)
        self.adapter = nn.Conv2d(conv.out_channels, conv.out_channels, 1, bias=False)

    def forward(self, x: Float[Tensor, "n c_in h w"]) -> Float[Tensor, "n c_out h2 w2"]:
        """Compute the convolution and its adapter."""
        y = self.conv(x)
        adapted: Tensor = self.adapter(self.norm(y))
        adapted += y
        return adapted


class Parallel(nn.Module):
    """conv(pad(x)) + adapter(x)."""

    def __init__(self, conv: nn.Conv2d, pad: nn.Module | None) -> None:
        super().__init__()
        self.pad = nn.Identity() if pad is None else pad
        self.conv = conv
        channels = conv.in_channels, conv.out_channels
        self.adapter = nn.Conv2d(*channels, 1, conv.stride[0], bias=False)

    def forward(self, x: Float[Tensor, "n c_in h w"]) -> Float[Tensor, "n c_out h2 w2"]:
        """Compute the convolution and its adapter."""
        # On a processor without AVX-512 (AMD EPYC) PyTorch 2.13 writes past its memory in the
        # backward of a strided 1 x 1 convolution of images whose channels come last.
        read = x.contiguous() if x.shape[1] == IMAGE_CHANNELS else x
        y: Tensor = self.conv(self.pad(x)) + self.adapter(read)
        return y


class Masked(nn.Module):
    """The convolution by its weight where a real mask exceeds the threshold, else 0."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self.mask = nn.Parameter(torch.full_like(conv.weight, Piggyback.start))

    def forward(self, x: Float[Tensor, "n c_in h w"]) -> Float[Tensor, "n c_out h2 w2"]:
        """Compute the convolution with the masked weight."""
        binary = cast(Callable[[Tensor], Tensor], _Binarise.apply)(self.mask)
        conv, weight = self.conv, binary * self.conv.weight
        return F.conv2d(x, weight, None, conv.stride, conv.padding, conv.dilation, conv.groups)


class _Binarise(torch.autograd.Function):
    """1 above the threshold, else 0; its gradient is that of the identity."""

    @staticmethod
    def forward(ctx: Any, mask: Tensor) -> Tensor:
        return (mask > Piggyback.threshold).to(mask.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]
