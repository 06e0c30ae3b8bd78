"""What docs/RESULTS.md and docs/GATES.md say of gates, from the committed results."""

from collections.abc import Callable
from pathlib import Path

import gates_table
import gates_torch
import gates_torch_table
from gates_sizes import Place
from gates_table import Point, Times
from result_rows import RESULTS, ROOT
from trial import BACKBONE

PAGE = ROOT / "docs" / "GATES.md"
PLOT = ROOT / "docs" / "gates.png"
STEPS = RESULTS / "gates_step.json"
README_ASKS = ((0.5, 1), (1.0, 1), (0.2, 2), (0.25, 2))  # points lost at most, and looks
SIZE_MATTERS = " and ".join(gates_table.SIZE_MATTERS)

WITHOUT_PYTORCH = f"""\
Smaller images and two looks at batch 1, without PyTorch (`python benchmarks/gates.py`);
[GATES.md](GATES.md) tells what they are. Each domain is learned once for each size, from images of
224 px made smaller, in five passes or as many as make 250 steps; two looks are any two of these
models, settled on the images held out. All is against one look at 224 px: *points lost* with the
standard error of the differences, image by image. *Above one size*: points by which two looks are
above a single size that is as fast, on all domains and on those *where size matters*
({SIZE_MATTERS}). In bold: nothing as fast loses less. Milliseconds of two looks are the sum
of what each takes, and of making images smaller for the first, times what two looks in use took of
such a sum: see below.
"""

CHECK = """\
What two looks take in use, at test images one by one, beside one look in full, in turns, as a share
of that; and the sum of their parts, each measured alone.
"""

IN_PYTORCH = """\
**On the PyTorch engine**, with another recipe (four passes) and five domains: means at 224 px, all
learned for as many steps; *points lost* against the same without gates. Its milliseconds are not
those above: a third of an image's time is dispatch there.
"""


def read() -> tuple[list[Point], list[Point], Times | None]:
    """Return the points of all domains, those of the domains where size matters, and the times."""
    place = Place()
    rows, times = gates_table.read_points(place.points), gates_table.read_times(place.times)
    detailed = gates_table.summary(rows, times, gates_table.SIZE_MATTERS)
    return gates_table.summary(rows, times), detailed, times


def parts() -> list[str]:
    """Return the section of docs/RESULTS.md."""
    found, detailed, times = read()
    in_torch = gates_torch_table.joined(gates_torch.FILE, gates_torch.TIMES)
    said = [
        WITHOUT_PYTORCH.replace("\n", " "),
        gates_table.table(found, detailed),
        "Test accuracy in %, by domain:",
        gates_table.domains_table(gates_table.shown_by_domain(found)),
        CHECK.replace("\n", " "),
        gates_table.check_table(times),
        f"![Mean accuracy against milliseconds an image]({PLOT.name})",
        IN_PYTORCH.replace("\n", " "),
        f"EfficientNet-Lite0:\n\n{gates_torch_table.table(in_torch, BACKBONE)}",
        "ResNet-50, random weights, one domain: about time only\n\n"
        f"{gates_torch_table.table(in_torch, gates_torch.RANDOM)}",
        "A training step with gates, batch 8, 224 px, a share of 60 % "
        f"(`python benchmarks/gates_step.py`):\n\n{gates_torch_table.steps_table(STEPS)}",
    ]
    return [part.strip() for part in said]


def fastest_table() -> str:
    """Return the table of docs/GATES.md that says what is fastest for what it loses."""
    return gates_table.fastest_table(read()[0]).strip()


def edge_table() -> str:
    """Return that of the points of which nothing as fast loses less."""
    found, detailed, _ = read()
    if not gates_table.timed(found):
        return gates_table.NOT_RUN.strip()
    return gates_table.table(found, detailed, gates_table.edge(found)).strip()


def readme_words() -> list[str]:
    """Return what the README says of gates without PyTorch; nothing if they were not run."""
    found, _, _ = read()
    best = [gates_table.fastest(found, *asked) for asked in README_ASKS]
    return [gates_table.gain_words(found, point) for point in best if point is not None]


TABLES: dict[str, Callable[[], str]] = {"fastest": fastest_table, "edge": edge_table}


def draw(path: Path) -> None:
    """Draw accuracy against milliseconds: without PyTorch if it was run, and PyTorch beside it."""
    from matplotlib.figure import Figure

    found = gates_table.timed(read()[0])
    figure = Figure(figsize=(13 if found else 8, 5.5), layout="constrained")
    axes = figure.subplots(1, 2 if found else 1, squeeze=False)[0]
    if found:
        gates_table.draw(found, axes[0])
        axes[0].set_title(f"without PyTorch, five passes, {len(found[0].accuracies)} domains")
    in_torch = gates_torch_table.joined(gates_torch.FILE, gates_torch.TIMES)
    gates_torch_table.draw(in_torch, BACKBONE, axes[-1])
    axes[-1].set_title("PyTorch engine, four passes, five domains")
    for each in axes:
        each.set_xlabel(f"milliseconds an image, batch 1 ({BACKBONE})")
        each.set_ylabel("mean test accuracy, %")
        each.spines[["top", "right"]].set_visible(False)
        each.grid(alpha=0.3)
        each.legend(loc="lower right", fontsize="small")
    figure.savefig(path, dpi=150)
