"""The backbones by name: what the catalogue says of each."""

import pytest

from addapt._errors import UnknownNameError
from addapt.backbones import BACKBONES, backbone_entry


def test_what_is_said_of_each_fits_together() -> None:
    for entry in BACKBONES.values():
        assert entry.summary.startswith(f"{entry.input.px} px, ")
        assert (entry.package is None) == (entry.weights_sha256 is None)


def test_an_unknown_backbone_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'resnet18'"):
        backbone_entry("resnet_18")
