"""Memory of the process: what it holds, what it gives back, and amounts of it in words."""

from addapt.memory.allocator import configure_allocator, lean_allocator, trim
from addapt.memory.amount import format_bytes, parse_bytes
from addapt.memory.machine import machine_bytes
from addapt.memory.process import (
    ProcessPeak,
    measure_process_peak,
    process_peak_bytes,
    reset_process_peak,
    rss_bytes,
)

__all__ = [
    "ProcessPeak",
    "configure_allocator",
    "format_bytes",
    "lean_allocator",
    "machine_bytes",
    "measure_process_peak",
    "parse_bytes",
    "process_peak_bytes",
    "reset_process_peak",
    "rss_bytes",
    "trim",
]
