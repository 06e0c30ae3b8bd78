"""What convolutions use up inside themselves: copies of weights in the order oneDNN wants."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from addapt.engines.torch.memory.live import LiveTensors, memory_of

CONVOLUTION = torch.ops.aten.convolution.default
CONVOLUTION_BACKWARD = torch.ops.aten.convolution_backward.default
BLOCK_CHANNELS = 16  # oneDNN pads channels to whole vectors of 16 floats
FORWARD = "forward"
NATIVE_ELEMENTS = 20480  # one image's map up to this size is not worth oneDNN's while to PyTorch


class Convolutions(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches the convolutions of a step on the device `meta` from below `live`.

    `peak_bytes` is the most that live tensors and the workspace of a running
    convolution took together, `kernels` the different convolutions there were
    (oneDNN compiles each), `multiply_adds` what they compute. `calls` counts all
    operations, `result_bytes` what they wrote.

    Args:
        live: entered after this and made before; it counts the tensors.
    """

    def __init__(self, live: LiveTensors) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._live = live
        self.peak_bytes = 0
        self.multiply_adds = 0
        self.calls = 0
        self.result_bytes = 0
        self.kernels: set[tuple[Any, ...]] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # see LiveTensors

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self.calls += 1
        if not func.is_view:
            results = out if isinstance(out, (tuple, list)) else (out,)
            self.result_bytes += sum(x.nbytes for x in results if isinstance(x, Tensor))
        if func is CONVOLUTION:
            self._see_convolution(out, args)
        elif func is CONVOLUTION_BACKWARD:
            self._see_backward(out, args)
        return out

    def _see_convolution(self, out: Tensor, args: tuple[Any, ...]) -> None:
        x, weight, _bias, stride, _padding, _dilation, transposed, _, groups = args
        small = x if transposed else out
        self.multiply_adds += small.numel() * math.prod(weight.shape[1:])
        if _is_native(x, weight, groups):
            return
        self._note("transposed" if transposed else FORWARD, x, weight, stride, groups)
        if _is_pointwise(weight, stride):
            workspace = _bytes(out) if transposed else 0
        elif groups == weight.shape[0]:
            workspace = weight.nbytes
        else:
            workspace = _blocked_bytes(weight, groups)
        self._take(_bytes(out) + workspace)

    def _see_backward(self, out: tuple[Tensor | None, ...], args: tuple[Any, ...]) -> None:
        grad, x, weight, _bias, stride, _padding, _dilation, _, _, groups, wanted = args
        forward = grad.numel() * math.prod(weight.shape[1:])
        for what in ("input", "weight")[not wanted[0] : 1 + wanted[1]]:
            self._note(what, x, weight, stride, groups)
            self.multiply_adds += forward
        workspace = 0
        depthwise = groups == weight.shape[0] == x.shape[1]
        if not _is_pointwise(weight, stride) and not (depthwise and max(weight.shape[2:]) <= 3):
            workspace = _blocked_bytes(weight, groups)
            if not weight.is_contiguous():
                workspace += weight.nbytes  # its gradient is copied once more
        self._take(sum(_bytes(each) for each in out if each is not None) + workspace)

    def _note(self, what: str, x: Tensor, weight: Tensor, stride: list[int], groups: int) -> None:
        self.kernels.add((what, x.shape, weight.shape, tuple(stride), groups))

    def _take(self, nbytes: int) -> None:
        self.peak_bytes = max(self.peak_bytes, self._live.live_bytes + nbytes)


def _is_native(x: Tensor, weight: Tensor, groups: int) -> bool:
    """Tell whether PyTorch computes this itself instead of asking oneDNN."""
    few = len(x) == 1 and x.numel() <= NATIVE_ELEMENTS
    return few and groups == 1 and min(weight.shape[2:]) <= 3


def _is_pointwise(weight: Tensor, stride: list[int]) -> bool:
    return weight.shape[2:].numel() == 1 and max(stride) == 1


def _blocked_bytes(weight: Tensor, groups: int) -> int:
    """Return the bytes of a weight whose channels are padded to whole blocks in each group."""
    c_out, c_in = weight.shape[0] // groups, weight.shape[1]
    elements = groups * _padded(c_out) * _padded(c_in) * weight.shape[2:].numel()
    return elements * weight.element_size()


def _padded(channels: int) -> int:
    return math.ceil(channels / BLOCK_CHANNELS) * BLOCK_CHANNELS


def _bytes(tensor: Tensor) -> int:
    return memory_of(tensor)[2]
