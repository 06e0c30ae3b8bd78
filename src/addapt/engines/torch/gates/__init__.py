"""Leaving out what an image, or a whole domain, does not need."""

from addapt.engines.torch.gates.block_gates import BlockGates, GatedBlock
from addapt.engines.torch.gates.gates import BLOCKS, CHANNELS, RESOLUTION, UNITS, Gates
from addapt.engines.torch.gates.looks import TwoLooks, static_px
from addapt.engines.torch.gates.measure import (
    measure_block_gates,
    refit_block_gates,
    settle_block_gates,
)
from addapt.engines.torch.gates.multiply_adds import count_multiply_adds

__all__ = [
    "BLOCKS",
    "CHANNELS",
    "RESOLUTION",
    "UNITS",
    "BlockGates",
    "GatedBlock",
    "Gates",
    "TwoLooks",
    "count_multiply_adds",
    "measure_block_gates",
    "refit_block_gates",
    "settle_block_gates",
    "static_px",
]
