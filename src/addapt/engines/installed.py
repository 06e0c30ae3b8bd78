"""Whether what engines compute with is installed, and new enough; nothing is imported for it."""

import re
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from addapt._errors import MissingPackageError

MINIMUM_RUNTIME = "1.20"


def require_runtime() -> None:
    """Refuse to go on without an ONNX Runtime that reads our graphs.

    Raises:
        MissingPackageError: that is so.
    """
    if find_spec("onnxruntime") is None:
        raise MissingPackageError(
            "The engine 'onnx' needs ONNX Runtime, which is not installed: pip install onnxruntime."
        )
    with suppress(PackageNotFoundError):  # it has other names, such as onnxruntime-gpu
        found = version("onnxruntime")
        if _first_two(found) < _first_two(MINIMUM_RUNTIME):
            raise MissingPackageError(
                f"The engine 'onnx' needs ONNX Runtime {MINIMUM_RUNTIME} or newer, and {found} is "
                "installed: pip install --upgrade onnxruntime."
            )


def require_torch(what: str) -> None:
    """Refuse what computes with PyTorch where that is not installed.

    Raises:
        MissingPackageError: that is so.
    """
    if find_spec("torch") is None:
        raise MissingPackageError(
            f"PyTorch, which is not installed, is needed for {what}: pip install 'addapt[torch]'."
        )


def _first_two(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)[:2]))
