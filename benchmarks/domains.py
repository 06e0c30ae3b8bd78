"""The domains of the benchmarks, as folders of images with fixed splits.

    python benchmarks/domains.py fetch [--domain cifar-10] [--from FOLDER]  # what pip does not have
    python benchmarks/domains.py build [--domain digits]    # all; the others need `.[demo]`

Fashion-MNIST is fetched with apt-get and dpkg, without root, and CIFAR-10 with npm. Each domain
has NAME/train (1,000 images, faces 240), NAME/train-10 (the first ten of each class in an
order drawn once), NAME/test (500, faces 160) and NAME/spare (1,000, which are in neither: choices
about methods are made with these; faces have none). The same ones on every machine.
"""

import argparse
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cifar_10
import fashion_mnist

from addapt._errors import AddaptError, MissingPackageError, UnknownNameError
from addapt.demo.images import SOURCES, build_images

IMAGES = Path(__file__).parents[1] / "demo" / "benchmark-images"
IMAGE_PX = 96
SPARE_IMAGES = 1000
FEW_A_CLASS = 10
SEED = 0

FACES = "faces"  # 6 training images a person: nothing to spare, and few in any case


@dataclass(frozen=True)
class FetchedSource:
    """Where the images of a domain come from that no Python package has.

    `fetch` puts its files into a folder, from another one if that is given; `build` makes class
    folders of the files.
    """

    title: str
    fetch: Callable[[Path, Path | None], None]
    build: Callable[[Path, Path], None]


FETCHED = {
    "fashion-mnist": FetchedSource("Fashion-MNIST", fashion_mnist.fetch, fashion_mnist.build),
    "cifar-10": FetchedSource("CIFAR-10", cifar_10.fetch, cifar_10.build),
}
GREY = (*(source.name for source in SOURCES), "fashion-mnist")
DOMAINS = (*GREY, "cifar-10")


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


def files_folder(name: str, images: Path = IMAGES) -> Path:
    """Return where a fetched domain's files are kept."""
    return images / f"{name}-files"


def _build(name: str, work: Path, images: Path) -> Path:
    built = work / name
    if name in FETCHED:
        files, fetched = files_folder(name, images), FETCHED[name]
        if not files.exists():
            raise MissingPackageError(
                f"{fetched.title} is not here. Fetch it: "
                f"python benchmarks/domains.py fetch --domain {name}"
            )
        fetched.build(files, built)
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
    parser.add_argument("--domain", choices=DOMAINS, action="append", help="by default all")
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="FOLDER", help="that has the files"
    )
    parser.add_argument("--images", type=Path, default=IMAGES)
    options = parser.parse_args()
    fetch = options.what == "fetch"
    names = options.domain or (FETCHED if fetch else DOMAINS)
    if fetch and (installed := [name for name in names if name not in FETCHED]):
        parser.error(f"{', '.join(installed)}: nothing to fetch, `.[demo]` has the images")
    if options.source is not None and not fetch:
        parser.error("--from is for fetch: build takes what was fetched")
    try:
        for name in names:
            if fetch:
                FETCHED[name].fetch(files_folder(name, options.images), options.source)
                print(f"{name:14} fetched", flush=True)
                continue
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
