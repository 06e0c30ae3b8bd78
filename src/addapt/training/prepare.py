"""From a folder to what a run needs: pictures decoded, split, and recognisable later."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from addapt._errors import OptionError
from addapt.backbones import Backbone
from addapt.data import (
    ImageSet,
    Sample,
    auto_image_px,
    load_images,
    scan_folder,
    split_validation,
)
from addapt.training.progress import OnProgress, Progress

MIN_IMAGE_PX = 32


@dataclass(frozen=True)
class Lesson:
    """The pictures of one run. `fingerprint` tells them from any others without reading them."""

    classes: tuple[str, ...]
    train: ImageSet
    val: ImageSet
    image_px: int
    fingerprint: str
    unreadable: tuple[str, ...]


def prepare_lesson(
    folder: Path,
    backbone: Backbone,
    *,
    image_px: int | None,
    val_fraction: float,
    seed: int,
    cache_bytes: int,
    on_progress: OnProgress,
) -> Lesson:
    """Scan `folder`, hold out validation pictures unless it has some, and decode everything.

    Raises:
        DataError: the folder cannot be learned from.
        OptionError: the size or the fraction makes no sense.
    """
    if image_px is not None and image_px < MIN_IMAGE_PX:
        raise OptionError(f"Image size {image_px} px is too small: give {MIN_IMAGE_PX} or more.")
    contents = scan_folder(folder)
    train, val = contents.train, contents.val
    if not val:
        train, val = split_validation(train, val_fraction, seed)
    info = backbone.info.input
    px = image_px or auto_image_px(train, info.px)
    total = len(train) + len(val)

    def report(done: int, _: int, offset: int = 0) -> None:
        on_progress(Progress("reading pictures", offset + done, total))

    def report_val(done: int, part: int) -> None:
        report(done, part, len(train))

    train_set, unreadable = load_images(train, px, info.interpolation, cache_bytes, report)
    left = max(0, cache_bytes - 3 * px * px * len(train_set))
    val_set, unreadable_val = load_images(val, px, info.interpolation, left, report_val)
    return Lesson(
        classes=contents.classes,
        train=train_set,
        val=val_set,
        image_px=px,
        fingerprint=_fingerprint(contents.root, (*train, *val)),
        unreadable=unreadable + unreadable_val,
    )


def _fingerprint(root: Path, samples: tuple[Sample, ...]) -> str:
    digest = hashlib.sha256()
    for sample in samples:
        try:
            size = sample.path.stat().st_size
        except OSError:  # unreadable pictures are left out, and that is told elsewhere
            size = -1
        digest.update(f"{sample.path.relative_to(root)}\0{sample.label}\0{size}\n".encode())
    return digest.hexdigest()
