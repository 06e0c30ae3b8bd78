"""The unit of all networks: how it pads."""

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from addapt.backbones import ConvLayer
from addapt.engines.torch.backbones.conv_bn import ConvBn

# (kernel, stride, whether the side is even) -> zeros (before, after), as TensorFlow pads
SAME_PADDING = {
    **{(k, stride, False): (k // 2, k // 2) for k in (1, 3, 5) for stride in (1, 2)},
    **{(k, 1, True): (k // 2, k // 2) for k in (1, 3, 5)},
    **{(3, 2, True): (0, 1), (5, 2, True): (1, 2)},
}


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([(1, 1), (3, 1), (3, 2), (5, 1), (5, 2)]),
    st.integers(1, 13),
    st.integers(1, 13),
    st.booleans(),
)
def test_same_convolution_is_explicit_padding(
    kernel_and_stride: tuple[int, int], h: int, w: int, depthwise: bool
) -> None:
    k, stride = kernel_and_stride
    groups = 4 if depthwise else 1
    layer = ConvBn(ConvLayer("layer", 4, 8, k, stride, groups, "same", "none", 1e-3)).eval()
    x = torch.randn(2, 4, h, w)
    rows, columns = (SAME_PADDING[k, stride, side % 2 == 0] for side in (h, w))
    padded = F.pad(x, (*columns, *rows))
    expected = layer.bn(F.conv2d(padded, layer.conv.weight, None, stride, groups=groups))
    assert layer(x).shape[2:] == (-(-h // stride), -(-w // stride))
    torch.testing.assert_close(layer(x), expected)
