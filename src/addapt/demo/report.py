"""The demo's report: one self-contained page with the table, the curves and example images."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from addapt._disk import disk_reason, write_atomically
from addapt._errors import DataError, MissingPackageError
from addapt._text import printable
from addapt.cli.per_class import weakest_first
from addapt.demo.mixed import Sorted, went_where
from addapt.engines.base import Engine
from addapt.images import ImageSet
from addapt.learning.evaluation import softmax

if TYPE_CHECKING:
    from addapt.demo.run import DemoDomain

EXAMPLES = 12
THUMBNAIL_PX = 96


@dataclass(frozen=True)
class Example:
    """A test image with what was recognised in it."""

    image: str
    label: str
    predicted: str
    probability: float


@dataclass(frozen=True)
class Group:
    """The images of the mixed folder that went to one domain; None: to none of these."""

    name: str | None
    images: list[tuple[str, Sorted]]


def check_packages() -> None:
    """Refuse before minutes of learning what could not be drawn after them.

    Raises:
        MissingPackageError: a package for the report is not installed.
    """
    for package in ("matplotlib", "jinja2"):
        if find_spec(package) is None:
            raise MissingPackageError(
                f"The demo's report needs {package}, which is not installed: "
                "pip install 'addapt[demo]'."
            )


def write_report(
    domains: "list[DemoDomain]", mixed: Sequence[Sorted], engine: Engine, path: Path
) -> None:
    """Write the page, which refers to nothing outside itself; `engine` is what has learned."""
    import jinja2

    template = files("addapt.demo").joinpath("report.html.j2").read_text(encoding="utf-8")
    # mark-up and control characters in the names of files and classes stay texts
    page = jinja2.Environment(autoescape=True, finalize=_shown).from_string(template)
    html = page.render(
        domains=domains,
        curves=_curves(domains),
        per_class={domain.source.name: weakest_first(domain.per_class) for domain in domains},
        examples={domain.source.name: _examples(domain) for domain in domains},
        went_where=went_where(mixed),
        places=places_of(domains, mixed),
        groups=_groups(domains, mixed),
        backbone_bytes=engine.weights_bytes,
        changed_logits=sum(domain.changed_logits for domain in domains),
        checked_logits=sum(domain.logits.size * len(domain.later_accuracy) for domain in domains),
        versions=domains[0].versions,
        threads=engine.threads,
    )
    try:
        write_atomically(path, html.encode())
    except OSError as error:
        raise DataError(f"{path} could not be written because {disk_reason(error)}") from error


def _shown(value: object) -> object:
    return printable(value) if isinstance(value, str) else value


def _curves(domains: "list[DemoDomain]") -> str:
    """Draw validation accuracy by epoch, one line a domain, as an SVG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for domain in domains:
        epochs = [record["epoch"] for record in domain.history]
        accuracy = [100 * record["val_accuracy"] for record in domain.history]
        axes.plot(epochs, accuracy, marker="o", markersize=3, label=domain.source.name)
    axes.set(xlabel="epoch", ylabel="accuracy on held-out images, %")
    axes.grid(alpha=0.3)
    axes.legend()
    drawing = io.BytesIO()
    figure.savefig(drawing, format="svg")
    return _data_uri(drawing.getvalue(), "image/svg+xml")


def _examples(domain: "DemoDomain") -> list[Example]:
    """Choose images spread over the fixed ones, mistakes first: they teach most."""
    probabilities = softmax(domain.logits)
    predicted = probabilities.argmax(1)
    wrong = np.flatnonzero(predicted != domain.fixed.labels).tolist()
    right = [i for i in range(len(domain.fixed)) if i not in set(wrong)]
    wrong = wrong[: EXAMPLES // 3]
    places = np.linspace(0, len(right) - 1, min(EXAMPLES - len(wrong), len(right))).astype(int)
    classes = domain.report.classes
    return [
        Example(
            image=_thumbnail(domain.fixed, i),
            label=classes[int(domain.fixed.labels[i])],
            predicted=classes[int(predicted[i])],
            probability=float(probabilities[i].max()),
        )
        for i in wrong + [right[place] for place in places.tolist()]
    ]


def places_of(domains: "list[DemoDomain]", mixed: Sequence[Sorted]) -> list[str | None]:
    """Return where images may have gone: the demo's domains, others of the store, and none."""
    names = [domain.source.name for domain in domains]
    others = {one.found.domain for one in mixed} - {*names, None}
    return [*names, *sorted(filter(None, others)), None]


def _groups(domains: "list[DemoDomain]", mixed: Sequence[Sorted]) -> list[Group]:
    """Show where images went, the wrong ones first."""
    groups = []
    for place in places_of(domains, mixed):
        there = sorted((one for one in mixed if one.found.domain == place), key=_is_right)
        groups.append(Group(place, [(_file_thumbnail(one), one) for one in there]))
    return groups


def _is_right(image: Sorted) -> bool:
    return image.is_right


def _file_thumbnail(image: Sorted) -> str:
    with Image.open(Path(image.found.image)) as opened:  # type: ignore[arg-type]
        return _png(np.asarray(opened.convert("RGB")))


def _thumbnail(images: ImageSet, index: int) -> str:
    return _png(images.batch([index])[0])


def _png(pixels: npt.NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((THUMBNAIL_PX, THUMBNAIL_PX)).save(buffer, format="PNG")
    return _data_uri(buffer.getvalue(), "image/png")


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
