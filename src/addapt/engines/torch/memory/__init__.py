"""What a training step takes, measured: kept bytes, and the process."""

from addapt.engines.torch.memory.audits import audit_backbone, audit_method
from addapt.engines.torch.memory.kept import KeptTensors, kept_bytes
from addapt.engines.torch.memory.meter import StepMemory, measure
from addapt.engines.torch.memory.micro_batches import accumulate_gradients, add_gradient

__all__ = [
    "KeptTensors",
    "StepMemory",
    "accumulate_gradients",
    "add_gradient",
    "audit_backbone",
    "audit_method",
    "kept_bytes",
    "measure",
]
