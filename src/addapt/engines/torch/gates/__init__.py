"""Leaving out what an image, or a whole domain, does not need."""

from addapt.engines.torch.gates.block_gates import BlockGates, GatedBlock
from addapt.engines.torch.gates.model_gates import ModelGates
from addapt.engines.torch.gates.multiply_adds import count_multiply_adds

__all__ = [
    "BlockGates",
    "GatedBlock",
    "ModelGates",
    "count_multiply_adds",
]
