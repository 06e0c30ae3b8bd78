"""What a training step takes, measured: kept bytes, live tensors, the process."""

from addapt.engines.torch.memory.kept import KeptTensors, kept_bytes
from addapt.engines.torch.memory.live import LiveTensors
from addapt.engines.torch.memory.meter import StepMemory, measure
from addapt.engines.torch.memory.method_audit import audit_method
from addapt.engines.torch.memory.micro_batches import accumulate_gradients, add_gradient
from addapt.engines.torch.memory.plan import Plan, PlanRow, plan, too_small_budget

__all__ = [
    "KeptTensors",
    "LiveTensors",
    "Plan",
    "PlanRow",
    "StepMemory",
    "accumulate_gradients",
    "add_gradient",
    "audit_method",
    "kept_bytes",
    "measure",
    "plan",
    "too_small_budget",
]
