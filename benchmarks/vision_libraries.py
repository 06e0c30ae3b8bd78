"""Import timm and torchvision beside a PyTorch that torchvision's operators were not built for.

The CPU build of PyTorch and the torchvision of the package index are such a pair: its compiled
operators cannot be loaded, and without two of them declared its import fails. Networks need none.
"""

import importlib
from types import ModuleType
from typing import Any

import torch

OPERATORS = ("nms", "qnms")  # which torchvision gives a shape function when it is imported
_library: Any = None  # the declarations live as long as it does


def import_library(name: str) -> ModuleType:
    """Import "timm" or "torchvision".

    Raises:
        ImportError: it is not installed.
    """
    global _library
    try:
        importlib.import_module("torchvision")
    except RuntimeError:  # operator torchvision::nms does not exist
        _library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for operator in OPERATORS:
            if not hasattr(torch.ops.torchvision, operator):
                _library.define(f"{operator}(Tensor dets, Tensor scores, float t) -> Tensor")
    return importlib.import_module(name)
