"""Reading a weights file that nobody vouches for.

No code in it is ever run, and what it claims to hold is checked before memory is taken for it.
"""

import stat
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import deserialize, safe_open

from addapt._disk import disk_reason
from addapt._errors import WeightsError
from addapt.backbones.tensor_pickle import Named, StoredTensor
from addapt.backbones.torch_file import MAX_LISTING_BYTES, from_bfloat16, open_torch_file

# Ten times the weights of ResNet-50, so that there is room for an optimiser's state, too.
MAX_FILE_BYTES = 1_000_000_000
MAX_NAME_LENGTH = 300

FORMATS = "Give a .safetensors file, or a .pth, .pt or .bin file written by torch.save"
SAVE = "Save the network's state with torch.save(network.state_dict(), path)."

_SAFETENSORS_TYPES = "F64 F32 F16 BF16 I64 I32 I16 I8 U64 U32 U16 U8 BOOL".split()


def read_state(path: Path) -> dict[str, NDArray[Any]]:
    """Read a file of named tensors; no code in it is ever run.

    A state dict may lie under "state_dict" or "model", and a "module." in front of
    all names is taken away. bfloat16 becomes float32.

    *Memory:* what torch.save wrote is not read but mapped, and given as views of the file that are
    not to be written to and may lie at any byte.

    Raises:
        WeightsError: the file is not there, cannot be read, or is not a state dict.
    """
    try:
        _check_file(path)
        if path.suffix.lower() == ".safetensors":
            _check_header(path)
            state = _state_dict(path, _read_safetensors(path))
        else:
            file = open_torch_file(path)
            state = {
                name: file.array(tensor) for name, tensor in _state_dict(path, file.content).items()
            }
    except WeightsError:
        raise
    except UnpicklingError:
        reason = "it holds code or objects besides tensors, which are never run, or is no such file"
        raise WeightsError(
            f"Weights file {path} was refused: {reason}. {FORMATS} that holds tensors only."
        ) from None
    except Exception as error:  # a damaged file makes the readers raise almost anything
        reason = str(error).split("\n", 1)[0].rstrip(".") or type(error).__name__
        raise WeightsError(f"Weights file {path} cannot be read: {reason}. {FORMATS}.") from error
    if all(name.startswith("module.") for name in state):
        return {name.removeprefix("module."): array for name, array in state.items()}
    return state


def _state_dict(path: Path, content: object) -> dict[str, Any]:
    """Find the dict of named tensors in what a file holds."""
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(
            f"Weights file {path} does not hold named tensors but {_kind(content)}. {SAVE}"
        )
    for name, tensor in content.items():
        if not isinstance(name, str) or len(name) > MAX_NAME_LENGTH:
            what = f"{name[:40]}..." if isinstance(name, str) else _kind(name)
            raise WeightsError(
                f"Weights file {path} is not a state dict: the name of an entry should be a text "
                f"of at most {MAX_NAME_LENGTH} characters, but is {what}. {SAVE}"
            )
        if not isinstance(tensor, StoredTensor | np.ndarray):
            raise WeightsError(
                f"Weights file {path} is not a state dict: its entry {name!r} is {_kind(tensor)}. "
                f"{SAVE}"
            )
    return dict(content)


def _read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    tensors: dict[str, NDArray[Any]] = {}
    with safe_open(path, framework="np") as file:
        types = {name: file.get_slice(name).get_dtype() for name in file.keys()}
        for name, found in types.items():
            if found not in _SAFETENSORS_TYPES:
                raise ValueError(
                    f"its tensor {name[:MAX_NAME_LENGTH]} holds numbers of type {found}"
                )
            if found != "BF16":
                tensors[name] = file.get_tensor(name)
    if "BF16" in types.values():  # which numpy lacks, so that the library gives bytes only
        for name, found in deserialize(path.read_bytes()):  # type: ignore[no-untyped-call]
            if found["dtype"] == "BF16":
                bits = np.frombuffer(found["data"], "<u2")
                tensors[name] = from_bfloat16(bits).reshape(found["shape"])
    return tensors


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise WeightsError(f"Weights file {path} does not exist. {FORMATS}.") from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read because {disk_reason(error)}") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a pipe or a device"
        raise WeightsError(f"Weights file {path} is {kind}, not a file. {FORMATS}.")
    if status.st_size > MAX_FILE_BYTES:
        raise WeightsError(
            f"Weights file {path} takes {status.st_size:,} bytes, and {MAX_FILE_BYTES:,} are the "
            f"limit. If it holds more than a network's weights, leave that out. {SAVE}"
        )


def _check_header(path: Path) -> None:
    """Look at a safetensors header's length; the reader checks what is in it before using it."""
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
    if header_bytes > MAX_LISTING_BYTES:
        raise ValueError(f"its header is longer than {MAX_LISTING_BYTES:,} bytes, or it is no such")


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "an empty dict" if not value else "a dict"
    if isinstance(value, StoredTensor):
        return "a value of type Tensor"
    name = value.name.split()[-1] if isinstance(value, Named) else type(value).__name__
    return f"a value of type {name}"
