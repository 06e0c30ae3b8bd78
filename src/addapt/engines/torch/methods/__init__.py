"""How PyTorch computes the methods that `addapt.methods` describes: one file each."""

from addapt.engines.torch.methods.base import AdaptedModel, Adaptor
from addapt.engines.torch.methods.lora import merged_backbone
from addapt.engines.torch.methods.registry import attach, check_gate_unit

__all__ = [
    "merged_backbone",
    "AdaptedModel",
    "Adaptor",
    "attach",
    "check_gate_unit",
]
