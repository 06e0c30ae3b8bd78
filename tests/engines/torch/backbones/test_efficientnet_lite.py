"""EfficientNet-Lite against a plain network, and the names of its weights."""

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from addapt.backbones import backbone_entry
from addapt.engines.torch.backbones.efficientnet_lite import (
    _conv_bn,
    efficientnet_lite,
    efficientnet_lite_names,
)
from addapt.engines.torch.backbones.fitting import load_weights
from tests.engines.torch.backbones.reference_networks import (
    LITE0_STAGES,
    TimmNetwork,
    images,
    randomised,
    sorted_state,
)

INPUT = backbone_entry("efficientnet_lite0").input
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
    layer = _conv_bn(4, 8, k, stride, groups, activation=False).eval()
    x = torch.randn(2, 4, h, w)
    rows, columns = (SAME_PADDING[k, stride, side % 2 == 0] for side in (h, w))
    padded = F.pad(x, (*columns, *rows))
    expected = layer.bn(F.conv2d(padded, layer.conv.weight, None, stride, groups=groups))
    assert layer(x).shape[2:] == (-(-h // stride), -(-w // stride))
    torch.testing.assert_close(layer(x), expected)


def test_timm_names_and_weights_give_the_same_features() -> None:
    reference = randomised(TimmNetwork(LITE0_STAGES, same=True, eps=1e-3))
    backbone = efficientnet_lite("lite0", width=1.0, depth=1.0, input=INPUT)
    rest = load_weights(backbone, sorted_state(reference), efficientnet_lite_names(1.0), "timm")
    assert sorted(rest) == ["classifier.bias", "classifier.weight"]
    assert torch.equal(backbone(images()), reference(images()))


def test_deeper_networks_count_timm_blocks_by_their_own_stages() -> None:
    # repeats 1, 3, 3, 4, 4, 5, 1: stages in the middle grow, the first and the last do not
    rename = efficientnet_lite_names(depth=1.1)
    assert rename("blocks.1.2.conv_dw.weight") == "blocks.3.depthwise.conv.weight"
    assert rename("blocks.2.0.bn3.bias") == "blocks.4.project.bn.bias"
    assert rename("blocks.6.0.conv_pw.weight") == "blocks.20.expand.conv.weight"
    # a block that the stage does not have stays unknown, and does not become another's
    assert rename("blocks.1.3.conv_dw.weight") == "blocks.1.3.conv_dw.weight"
    assert rename("blocks.7.0.conv_dw.weight") == "blocks.7.0.conv_dw.weight"


def test_package_names() -> None:
    ours = {
        "_conv_stem.weight": "stem.conv.weight",
        "_bn0.running_mean": "stem.bn.running_mean",
        "_blocks.0._depthwise_conv.weight": "blocks.0.depthwise.conv.weight",
        "_blocks.0._bn1.bias": "blocks.0.depthwise.bn.bias",
        "_blocks.0._project_conv.weight": "blocks.0.project.conv.weight",
        "_blocks.0._bn2.running_var": "blocks.0.project.bn.running_var",
        "_blocks.12._expand_conv.weight": "blocks.12.expand.conv.weight",
        "_blocks.12._bn0.weight": "blocks.12.expand.bn.weight",
        "_conv_head.weight": "tail.0.conv.weight",
        "_bn1.weight": "tail.0.bn.weight",
        "_fc.weight": None,
        "_fc.bias": None,
    }
    rename = efficientnet_lite_names(1.0)
    assert {name: rename(name) for name in ours} == ours
