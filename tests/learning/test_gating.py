"""Static gates of resolution: the size of the images."""

import re

import pytest

from addapt._errors import OptionError
from addapt.engines.torch.engine import TorchEngine
from addapt.learning.gating import static_px
from tests.engines.torch.gates.small_backbones import small_backbone


def test_the_largest_size_within_a_share() -> None:
    engine = TorchEngine(small_backbone())
    whole = engine.multiply_adds(100)
    for compute in (0.9, 0.5, 0.2):
        px = static_px(engine, 100, compute)
        assert engine.multiply_adds(px) <= compute * whole
        larger_fits = engine.multiply_adds(px + 8) <= compute * whole
        assert not larger_fits or (px + 8) ** 2 > compute * 100**2
    assert static_px(engine, 100, 1.0) == 100
    with pytest.raises(OptionError, match="of 100 px cannot be made so small that 1% .* 32 px"):
        static_px(engine, 100, 0.01)
    with pytest.raises(OptionError) as told:
        static_px(engine, 100, engine.multiply_adds(32) / whole - 1e-4)
    asked, least = re.findall(r"[\d.]+%", str(told.value))
    assert asked != least
