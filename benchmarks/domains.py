"""The five domains of the benchmarks, as folders of images with fixed splits.

    python benchmarks/domains.py fetch [--from FOLDER]   # Fashion-MNIST; apt-get and dpkg, no root
    python benchmarks/domains.py build                   # all five; the others need `.[demo]`

Each has NAME/train (1,000 images, faces 240), NAME/train-10 (the first ten of each class in an
order drawn once), NAME/test (500, faces 160) and NAME/spare (1,000, which are in neither: choices
about methods are made with these; faces have none). The same ones on every machine.
"""

import argparse
import random
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import fashion_mnist

from addapt._errors import AddaptError, MissingPackageError, UnknownNameError
from addapt.demo.images import SOURCES, build_images

IMAGES = Path(__file__).parents[1] / "demo" / "benchmark-images"
IMAGE_PX = 96
SPARE_IMAGES = 1000
FEW_A_CLASS = 10
SEED = 0

FASHION = "fashion-mnist"
FASHION_FILES = "fashion-mnist-files"
FACES = "faces"  # 6 training images a person: nothing to spare, and few in any case
DOMAINS = (*(source.name for source in SOURCES), FASHION)


@dataclass(frozen=True)
class DomainFolders:
    """Where a domain's images are; each folder holds class folders."""

    train: Path
    few: Path | None
    test: Path
    spare: Path | None


def domain_folders(name: str, images: Path = IMAGES) -> DomainFolders:
    """Return the folders of a domain; they are written when they are not there yet.

    Raises:
        UnknownNameError: there is no such domain.
        MissingPackageError: what holds the images is not installed.
    """
    if name not in DOMAINS:
        raise UnknownNameError("domain", name, DOMAINS)
    root = images / name
    if not root.exists():
        # Apart at first, so that a folder of the final name is a complete one.
        work = images / f".{name}"
        shutil.rmtree(work, ignore_errors=True)
        built = _build(name, work, images)
        if name != FACES:
            _choose_few(built / "train", built / "train-10")
        built.rename(root)
        shutil.rmtree(work, ignore_errors=True)
    few, spare = (path if path.exists() else None for path in (root / "train-10", root / "spare"))
    return DomainFolders(root / "train", few, root / "test", spare)


def available_domains(names: list[str], images: Path = IMAGES) -> list[str]:
    """Return those of `names` whose images can be had here; say of the others why not."""
    available = []
    for name in names:
        try:
            domain_folders(name, images)
        except MissingPackageError as error:
            print(f"{name} is left out. {error}", file=sys.stderr)
        else:
            available.append(name)
    return available


def _build(name: str, work: Path, images: Path) -> Path:
    built = work / name
    if name == FASHION:
        files = images / FASHION_FILES
        if not files.exists():
            raise MissingPackageError(
                "Fashion-MNIST is not here. Fetch it: python benchmarks/domains.py fetch"
            )
        fashion_mnist.build(files, built)
        return built
    source = next(source for source in SOURCES if source.name == name)
    build_images(source, work, 0 if name == FACES else SPARE_IMAGES)
    if (built / "val").exists():
        (built / "val").rename(built / "spare")
    return built


def _choose_few(train: Path, few: Path) -> None:
    """Copy the first images of each class, in an order drawn once."""
    for folder in sorted(train.iterdir()):
        paths = sorted(folder.iterdir())
        random.Random(f"{SEED} {folder.name}").shuffle(paths)
        (few / folder.name).mkdir(parents=True)
        for path in paths[:FEW_A_CLASS]:
            shutil.copyfile(path, few / folder.name / path.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("fetch", "build"))
    parser.add_argument("--from", dest="source", type=Path, help="a folder with the IDX gz files")
    parser.add_argument("--images", type=Path, default=IMAGES)
    options = parser.parse_args()
    try:
        if options.what == "fetch":
            fashion_mnist.fetch(options.images / FASHION_FILES, options.source)
            return
        for name in DOMAINS:
            folders = domain_folders(name, options.images)
            parts = (folders.train, folders.few, folders.test, folders.spare)
            counts = (f"{path.name} {_images(path):,}" for path in parts if path is not None)
            print(f"{name:14} {', '.join(counts)}")
    except AddaptError as error:
        sys.exit(f"error: {error}")


def _images(folder: Path) -> int:
    return sum(1 for path in folder.glob("*/*") if path.is_file())


if __name__ == "__main__":
    main()
