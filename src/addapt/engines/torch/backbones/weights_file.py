"""Reading a weights file that nobody vouches for.

No code in it is ever run, and what it claims to hold is checked before memory is taken for it.
"""

import io
import pickletools
import stat
import tarfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors.torch import load_file
from torch import Tensor

from addapt._disk import disk_reason
from addapt._errors import WeightsError

# Ten times the weights of ResNet-50, so that there is room for an optimiser's state, too.
MAX_FILE_BYTES = 1_000_000_000
# What says which tensors there are: a safetensors header, the pickle of a .pth file, or the
# directory of its archive. It takes some 130 bytes a tensor, but can be written so that each
# byte of it costs dozens when it is read.
MAX_LISTING_BYTES = 500_000
MAX_NAME_LENGTH = 300

FORMATS = "Give a .safetensors file, or a .pth, .pt or .bin file written by torch.save"
SAVE = "Save the network's state with torch.save(network.state_dict(), path)."

_ARCHIVE_START = b"PK\x03\x04"
_TAR_BLOCK_BYTES = 512
_OLD_PICKLES = 5  # magic number, protocol, system, the state itself, order of its numbers

# What the pickle of a state dict refers to. PyTorch itself lets more pass, and some of that
# takes as much memory as the file wishes, such as a bytearray.
_STORAGES = "Float Double Half BFloat16 Long Int Short Char Byte Bool".split()
_DTYPES = "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()
_ALLOWED = frozenset(
    {
        "collections OrderedDict",
        "collections Counter",  # in the state of a learning rate's schedule
        "torch Size",
        "torch device",
        "torch._utils _rebuild_tensor",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        *(f"torch {name}Storage" for name in _STORAGES),
        *(f"torch {name}" for name in _DTYPES),
    }
)
# Other ways in which a pickle can name something; torch.save does not use them.
_OTHER_GLOBALS = frozenset("STACK_GLOBAL INST OBJ NEWOBJ_EX EXT1 EXT2 EXT4".split())


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a file of named tensors; no code in it is ever run.

    A state dict may lie under "state_dict" or "model", and a "module." in front of
    all names is taken away.

    Raises:
        WeightsError: the file is not there, cannot be read, or is not a state dict.
    """
    content = _read(path)
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
        if not isinstance(tensor, Tensor):
            raise WeightsError(
                f"Weights file {path} is not a state dict: its entry {name!r} is {_kind(tensor)}. "
                f"{SAVE}"
            )
    if all(name.startswith("module.") for name in content):
        return {name.removeprefix("module."): tensor for name, tensor in content.items()}
    return dict(content)


def _read(path: Path) -> object:
    try:
        _check_file(path)
        if path.suffix.lower() == ".safetensors":
            _check_header(path)
            return load_file(path)
        with path.open("rb") as file:
            archived = file.read(len(_ARCHIVE_START)) == _ARCHIVE_START
        (_check_archive if archived else _check_old_file)(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns before it refuses
            # only an archive can be mapped into memory; torch before 1.6 wrote another format
            return torch.load(path, map_location="cpu", weights_only=True, mmap=archived)
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


def _check_archive(path: Path) -> None:
    """Refuse an archive that unpacks to more than there is, or whose pickle does more than tell."""
    file_bytes = path.stat().st_size
    with _ShortReads(path) as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        # PyTorch's own reader takes names of either case for the same and may take the other one
        if len({member.filename.lower() for member in members}) < len(members):
            raise ValueError("two parts of it have the same name")
        # PyTorch packs nothing, and a part that is packed can unpack to any size
        packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
        if packed or sum(member.file_size for member in members) > file_bytes:
            raise ValueError("it is compressed, or claims to hold more bytes than it has")
        pickles = [member for member in members if member.filename.lower().endswith("/data.pkl")]
        if len(pickles) != 1 or pickles[0].file_size > MAX_LISTING_BYTES:
            raise ValueError("it has no list of tensors, or one that is too long")
        _check_pickles(archive.read(pickles[0]), 1)


def _check_old_file(path: Path) -> None:
    """Check a file of torch before 1.6: pickles, then plain numbers, which take what they take."""
    with path.open("rb") as file:
        head = file.read(MAX_LISTING_BYTES)
    try:
        tarfile.TarInfo.frombuf(head[:_TAR_BLOCK_BYTES], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        _check_pickles(head, _OLD_PICKLES)
    else:  # PyTorch would unpack it, and up to 2.5 that could run code
        raise UnpicklingError("a tar archive")


def _check_pickles(data: bytes, count: int) -> None:
    """Refuse pickles that refer to anything but what tensors are made of."""
    stream = io.BytesIO(data)
    for _ in range(count):
        for opcode, argument, _ in pickletools.genops(stream):
            foreign = opcode.name == "GLOBAL" and argument not in _ALLOWED
            if foreign or opcode.name in _OTHER_GLOBALS:
                raise UnpicklingError(f"{opcode.name} {argument}")


class _ShortReads(io.FileIO):
    """A file of which no long piece can be read at once, as the directory of an archive is."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_LISTING_BYTES:
            raise ValueError(f"a part of it that should be short takes {size:,} bytes")
        return super().read(size) or b""


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "an empty dict" if not value else "a dict"
    return f"a value of type {type(value).__name__}"
