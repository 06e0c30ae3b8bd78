"""Import timm and torchvision beside a PyTorch that torchvision's operators were not built for.

PyTorch from its index of CPU builds and torchvision from the package index are such a pair. Then
the compiled operators cannot be loaded, and without two of them torchvision cannot be imported, nor
timm, which needs it for images and datasets. No network of theirs uses any.
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
        return importlib.import_module(name)
    except RuntimeError:  # operator torchvision::nms does not exist
        if _library is not None:
            raise
    _library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for operator in OPERATORS:
        if not hasattr(torch.ops.torchvision, operator):
            _library.define(f"{operator}(Tensor dets, Tensor scores, float t) -> Tensor")
    return importlib.import_module(name)
