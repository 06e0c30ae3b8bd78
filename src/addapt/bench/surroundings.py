"""Where a measurement was made: versions and machine."""

import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from addapt.memory import machine_bytes

CPU_INFO = Path("/proc/cpuinfo")
PACKAGES = ("addapt", "onnxruntime", "torch", "numpy", "pillow")


def versions() -> dict[str, str]:
    """Return the versions that a measurement depends on."""
    kernel = platform.release().split("-")[0]  # without what a distributor appends
    found = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):  # PyTorch is only there where it is wanted
            found[package] = version(package)
    return {
        **found,
        "python": platform.python_version(),
        "libc": " ".join(platform.libc_ver()).strip(),
        "system": f"{platform.system()} {kernel}",
    }


def machine() -> dict[str, str | int | None]:
    """Describe the processor and the memory of this machine."""
    return {"cpu": _cpu_model(), "cores": os.cpu_count(), "memory_bytes": machine_bytes()}


def _cpu_model() -> str:
    try:
        lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()
