"""Names of backbones, for tests of one of each kind and for tests of all."""

import pytest

from addapt.backbones import BACKBONES

# More of the same blocks than one of the others has.
LARGER = ("efficientnet_lite1", "efficientnet_lite2", "resnet50")
FAMILIES = tuple(sorted(set(BACKBONES) - set(LARGER)))
EVERY = [
    *FAMILIES,
    *(pytest.param(name, marks=pytest.mark.slow) for name in LARGER),
]
