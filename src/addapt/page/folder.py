"""The page as a folder of static files: what was built of it, and a backbone's graphs."""

import dataclasses
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from addapt._disk import disk_reason, make_folder, write_atomically
from addapt._errors import OptionError
from addapt.domains import SCHEMA
from addapt.engines.base import Engine
from addapt.engines.graph_files import SEED, GraphFiles, WritesGraphs
from addapt.images import Augmentation
from addapt.learning.exporting import exported_words
from addapt.learning.job import VAL_FRACTION
from addapt.learning.lesson import check_image_px
from addapt.learning.signing import ANSWER_IMAGES, HELD_OUT_IMAGES, LOOK_IMAGES
from addapt.methods import Method, Recipe

BUILT = Path(__file__).parent / "built"  # made of web/ by `make page`
DESCRIPTION = "page.json"
SIZES = (96, 160, 224)


@dataclass(frozen=True)
class PageReport:
    """What was written: the folder, its bytes, and the sizes of images that it can learn from."""

    folder: Path
    page_bytes: int
    sizes: tuple[int, ...]


def require_built() -> None:
    """Refuse to go on without the page's own code.

    Raises:
        OptionError: it was not built.
    """
    if not (BUILT / "index.html").is_file():
        raise OptionError(
            f"The page was not built: there is no {BUILT / 'index.html'}. Where the source of "
            "addapt is, with Node.js 20 or newer, run: make page"
        )


def write_page(
    engine: Engine, method: Method, folder: Path, sizes: Sequence[int] = SIZES
) -> PageReport:
    """Write the page into a folder, whole or not at all.

    Args:
        engine: of the backbone that the page teaches.
        method: spelt out for the backbone.
        folder: a new or empty one.
        sizes: sides of the images that can be learned from; the first is proposed.

    Raises:
        OptionError: something is there, the page was not built, there is no such size, or the
            engine cannot do this.
        TrainingError: the graphs cannot be made.
    """
    for px in sizes:
        check_image_px(px)
    if not sizes or len(set(sizes)) < len(sizes):
        raise OptionError(f"The sizes {list(sizes)} have none, or one twice: give each once.")
    if not isinstance(engine, WritesGraphs):
        raise OptionError(
            f'The engine {engine.name!r} writes no graphs for a page: give `engine="onnx"`.'
        )
    require_built()
    try:
        _require_room(folder)
        make_folder(folder.parent)
        with tempfile.TemporaryDirectory(prefix=".addapt-page-", dir=folder.parent) as beside:
            new = Path(beside) / "page"
            shutil.copytree(BUILT, new)
            graphs = engine.write_graphs(new, method, sizes)
            description = json.dumps(describe(engine, method, graphs), sort_keys=True)
            write_atomically(new / DESCRIPTION, description.encode())
            page_bytes = sum(file.stat().st_size for file in new.rglob("*") if file.is_file())
            with suppress(FileNotFoundError):
                folder.rmdir()  # an empty one
            new.rename(folder)
    except OSError as error:
        raise OptionError(
            f"The page could not be written to {folder} because {disk_reason(error)}"
        ) from error
    return PageReport(folder, page_bytes, tuple(sizes))


def describe(engine: Engine, method: Method, graphs: GraphFiles) -> dict[str, Any]:
    """Return what the page's code has to know, as JSON values."""
    backbone, recipe = engine.backbone, method.recipe
    return {
        "backbone": {
            "name": backbone.name,
            "weights": backbone.weights,
            "weights_sha256": backbone.weights_sha256,
            "features": backbone.features,
            "mean": backbone.input.mean,
            "std": backbone.input.std,
            "interpolation": backbone.input.interpolation,
        },
        "method": method.name,
        "hyperparameters": dataclasses.asdict(method),
        "schema": SCHEMA,
        "seed": SEED,
        "recipe": _recipe(recipe),
        "signature": {
            "look_images": LOOK_IMAGES,
            "answer_images": ANSWER_IMAGES,
            "held_out_images": HELD_OUT_IMAGES,
        },
        "exported": exported_words(backbone.input.interpolation),
        "graphs": dataclasses.asdict(graphs),
        "versions": {"addapt": version("addapt")},
    }


def _recipe(recipe: Recipe) -> dict[str, Any]:
    augmentation = Augmentation.of_strength(recipe.augmentation, flip=False)
    return {
        **{
            name: getattr(recipe, name)
            for name in (
                *("lr", "epochs", "min_steps", "batch", "weight_decay"),
                *("label_smoothing", "patience", "backbone_lr"),
            )
        },
        "augmentation": dataclasses.asdict(augmentation),
        "val_fraction": VAL_FRACTION,
    }


def _require_room(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        raise OptionError(
            f"The folder {folder} is not empty: give a new one for the page, or empty it."
        )
    if not folder.is_dir() and (folder.exists() or folder.is_symlink()):
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))
