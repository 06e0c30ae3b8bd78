"""A domain as one ONNX file: compared with the domain, and put in place whole or not at all."""

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from addapt._disk import disk_reason, move_atomically
from addapt._errors import DomainError, OptionError
from addapt._text import printable
from addapt.domains import DomainInfo, Signature
from addapt.engines.base import Distances, Images, Probabilities, Recogniser
from addapt.gates import gates_from
from addapt.images import ValueRange
from addapt.learning.description import date
from addapt.learning.evaluation import softmax
from addapt.learning.known_domains import KnownDomain
from addapt.learning.reports import ExportReport

SUFFIX = ".onnx"
COMPARED_IMAGES = 3
LARGEST_DIFFERENCE = 1e-5  # of probabilities
LARGEST_DISTANCE_ERROR = 1e-3
TOLD_SHARES = (0.9, 0.95, 0.99)
WORDS = (
    "The domain '{domain}' of addapt. `images` are bytes (n, {px}, {px}, 3) of values 0..255, red, "
    "green and blue: each image whole, resized to {px} x {px} pixels by {resizing}. "
    "`probabilities` (n, {classes}) are in the order of the metadata's `classes`."
)
DISTANCE_WORDS = " `distance` (n,) is above 1 where an image is probably none of this domain."


def check_place(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that may not be written.

    Raises:
        OptionError: its name does not end in .onnx, its folder is missing, or it is there already.
    """
    if path.suffix.lower() != SUFFIX:
        raise OptionError(f"The file {path} must end in {SUFFIX}, such as {path.stem}{SUFFIX}.")
    try:
        has_folder, is_folder = path.parent.is_dir(), path.is_dir()
        is_there = path.exists() or path.is_symlink()
    except OSError as error:  # such as a name that is too long
        raise OptionError(_unwritten(path, error)) from error
    if not has_folder:
        raise OptionError(f"The folder of the file {path} does not exist: make it first.")
    if is_folder:
        raise OptionError(f"{path} is a folder: choose another name.")
    if is_there and not overwrite:
        raise OptionError(
            f"There is a file {path} already: choose another name, or replace it with "
            "`overwrite=True`."
        )


def check_exportable(domain: str, info: DomainInfo) -> None:
    """Refuse a domain that cannot be exported, before its tensors are read.

    Raises:
        OptionError: it has gates that no file can have.
    """
    gates = gates_from(info)
    if gates is not None and not gates.shrinks_images:
        raise OptionError(
            f"The domain {domain!r} cannot be exported, as it has {gates.kind} gates of "
            f"{gates.unit}. Domains with static gates of resolution can be, or without gates."
        )


def export_domain(
    known: KnownDomain, model: Recogniser, path: Path, *, overwrite: bool
) -> ExportReport:
    """Write a domain's ONNX file, see `Learner.export`, after the checks above.

    Raises:
        DomainError: the disk refused, or the file computes something else than the domain.
        OptionError: the engine cannot write this domain.
        MissingPackageError: what writes it is not installed.
    """
    domain, info, signature = known.name, known.info, known.signature
    texts = _texts(domain, info) | _distance_texts(signature)
    try:
        with TemporaryDirectory(
            prefix=".addapt-", dir=path.parent, ignore_cleanup_errors=True
        ) as folder:
            file = Path(folder) / f"model{SUFFIX}"
            description = _description(known)
            compute = model.write_onnx(file, info.image_px, description, texts, signature)
            difference = _largest_difference(compute, model, signature, info.image_px)
            if not difference <= LARGEST_DIFFERENCE:
                raise DomainError(
                    f"{path} was not written: ONNX Runtime computes something else with it than "
                    f"the domain {domain!r} does, and probabilities differ by {difference:.1e}. "
                    "Install a newer runtime: pip install --upgrade onnxruntime"
                )
            file_bytes = file.stat().st_size
            check_place(path, overwrite=overwrite)  # another program may have been quicker
            move_atomically(file, path)
    except OSError as error:
        raise DomainError(_unwritten(path, error)) from error
    return ExportReport(
        domain=domain,
        file=path,
        file_bytes=file_bytes,
        classes=info.classes,
        image_px=info.image_px,
        interpolation=info.interpolation,
        difference=difference,
    )


def _unwritten(path: Path, error: OSError) -> str:
    return f"{path} could not be written because {disk_reason(error)}"


def _largest_difference(
    compute: Callable[[Images], tuple[Probabilities, Distances | None]],
    model: Recogniser,
    signature: Signature | None,
    image_px: int,
) -> float:
    """Compare the probabilities of some random images, together and one alone; distances likewise.

    What is returned is the difference of probabilities, or not a number if distances differ.
    """
    shape = (COMPARED_IMAGES, image_px, image_px, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    logits, features = model.answers(images)
    expected, differences = softmax(logits), []
    for count in (COMPARED_IMAGES, 1):
        probabilities, distances = compute(images[:count])
        differences.append(np.abs(probabilities - expected[:count]).max())
        if signature is not None:
            assert distances is not None
            off = np.abs(distances - signature.relative(features[:count])).max()
            differences.append(0 if off <= LARGEST_DISTANCE_ERROR else np.nan)
    return float(np.max(differences))  # not a number if one is not


def _description(known: KnownDomain) -> str:
    info = known.info
    words = WORDS.format(
        domain=known.name,
        px=info.image_px,
        resizing=_resizing(info.interpolation),
        classes=len(info.classes),
    )
    return words if known.signature is None else words + DISTANCE_WORDS


def _distance_texts(signature: Signature | None) -> dict[str, str]:
    """Return the distances above which an image is refused, by the share of own images accepted."""
    if signature is None:
        return {}
    bars = {str(share): round(signature.spread.bar(share), 4) for share in TOLD_SHARES}
    return {"distance_limits": json.dumps(bars)}


def exported_words(interpolation: str) -> dict[str, str]:
    """Return what an exported file says of images of 8 bits, with words in braces to fill in."""
    return {
        "words": WORDS,
        "distance_words": DISTANCE_WORDS,
        "resizing": _resizing(interpolation),
        "whole": _whole(interpolation),
        "scaling": _scaling(()),
    }


def _resizing(interpolation: str) -> str:
    """Say how images are resized."""
    return f"{interpolation} interpolation with antialiasing, as Pillow's Image.resize does"


def _whole(interpolation: str) -> str:
    return f"the whole image, whatever its shape, by {_resizing(interpolation)}"


def _scaling(value_range: ValueRange) -> str:
    if not value_range:
        return "of grey values deeper than 8 bits the domain has learned none"
    low, high = value_range
    return (
        f"grey values deeper than 8 bits are scaled so that {low:g} becomes 0 and {high:g} becomes "
        "255, cut off at both ends and rounded, before the image is resized"
    )


def _texts(domain: str, info: DomainInfo) -> dict[str, str]:
    return {
        "domain": domain,
        "classes": json.dumps(info.classes),
        "image_px": str(info.image_px),
        "interpolation": info.interpolation,
        "resizing": _whole(info.interpolation),
        "value_range": json.dumps(info.value_range),
        "scaling": _scaling(info.value_range),
        "method": info.method,
        "backbone": info.backbone,
        "weights_sha256": info.weights_sha256,
        "val_accuracy": str(info.val_accuracy),
        "learned": printable(info.date),
        "created": date(),
        "addapt_version": version("addapt"),
    }
