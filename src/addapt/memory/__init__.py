"""What a training step takes: measured by the meter, and amounts of memory in words."""

from addapt._allocator import configure_allocator, trim
from addapt.memory.amount import format_bytes, parse_bytes
from addapt.memory.kept import KeptTensors, kept_bytes
from addapt.memory.live import LiveTensors
from addapt.memory.machine import machine_bytes
from addapt.memory.meter import StepMemory, measure
from addapt.memory.method_audit import audit_method
from addapt.memory.micro_batches import accumulate_gradients, add_gradient
from addapt.memory.plan import Plan, PlanRow, plan, too_small_budget
from addapt.memory.process import (
    ProcessPeak,
    measure_process_peak,
    process_peak_bytes,
    rss_bytes,
)

__all__ = [
    "KeptTensors",
    "LiveTensors",
    "Plan",
    "PlanRow",
    "ProcessPeak",
    "StepMemory",
    "accumulate_gradients",
    "add_gradient",
    "audit_method",
    "configure_allocator",
    "format_bytes",
    "kept_bytes",
    "machine_bytes",
    "measure",
    "measure_process_peak",
    "parse_bytes",
    "plan",
    "process_peak_bytes",
    "rss_bytes",
    "too_small_budget",
    "trim",
]
