"""Whether a domain's pictures may be mirrored in training, found by trying.

A flower stays that flower in a mirror, a 3 is no digit any more. So classes are told apart by
their mean frozen features, and mirrored pictures must fare nearly as well as plain ones.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from addapt.backbones import Backbone
from addapt.data import ImageSet, normalise

LOSS_ALLOWED = 0.1  # share of the pictures; mirror images of other classes cost far more
MAX_PICTURES = 500  # of either set: enough to tell, and quickly done
BATCH = 32


def survives_mirroring(backbone: Backbone, train: ImageSet, val: ImageSet) -> bool:
    """Say whether `val` is still recognised when mirrored, by what is known from `train`."""
    means = class_means(frozen_features(backbone, train), _labels(train))
    labels = _labels(val)
    correct = []
    for mirrored in (False, True):
        features = frozen_features(backbone, val, mirrored)
        correct.append(int((torch.cdist(features, means).argmin(1) == labels).sum()))
    return correct[1] >= correct[0] - LOSS_ALLOWED * len(labels)


@torch.no_grad()
def frozen_features(
    backbone: Backbone, pictures: ImageSet, mirrored: bool = False
) -> Float[Tensor, "n f"]:
    """Compute the backbone's own features, on the CPU, of some pictures spread over the set."""
    reference = next(backbone.parameters())
    info = backbone.info.input
    features = []
    for indices in torch.split(_places(pictures), BATCH):
        x = pictures.batch(indices)
        x = normalise(x.flip(3) if mirrored else x, info.mean, info.std)
        features.append(backbone(x.to(reference.device, reference.dtype)).float().cpu())
    return torch.cat(features)


def class_means(features: Float[Tensor, "n f"], labels: Int[Tensor, " n"]) -> Float[Tensor, "c f"]:
    """Average the features of each class; a class without any gets infinity, never nearest."""
    classes = int(labels.max()) + 1
    sums = torch.zeros(classes, features.shape[1]).index_add_(0, labels, features)
    counts = torch.bincount(labels, minlength=classes)[:, None]
    return torch.where(counts > 0, sums / counts.clamp(min=1), torch.inf)


def _places(pictures: ImageSet) -> Int[Tensor, " n"]:
    return torch.linspace(0, len(pictures) - 1, min(len(pictures), MAX_PICTURES)).long()


def _labels(pictures: ImageSet) -> Int[Tensor, " n"]:
    return pictures.labels[_places(pictures)]
