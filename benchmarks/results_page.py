"""Make docs/RESULTS.md and the plots of docs/ from the committed results, and from nothing else.

python benchmarks/results_page.py
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import accuracy
import da3_parts
import domains
import engines_accuracy
import gates_page
import gates_torch
import gates_torch_table
import imbalance
import memory_tables
import own_networks
import published
import readme_tables
import sequence
import tuning
import watch_table
import which_domain_figures
from result_rows import ROOT, Row, read_rows
from results_claims import claims, reproducibility
from step_rows import DEFAULT, ENGINES, FOLDER, step_row, table, title
from step_rows import step_results as read_steps
from trial import BACKBONE

from addapt.bench.chart import draw_comparison
from addapt.bench.contender import DEVICE
from addapt.bench.step import StepRow
from addapt.methods import METHODS

PAGE = ROOT / "docs" / "RESULTS.md"
PLOT = ROOT / "docs" / "accuracy_against_memory.png"
CHARTED = "resnet50_batch_8"
STEP_CHART = ROOT / "docs" / f"step_{CHARTED}.png"
PLOTTED = BACKBONE
MEGABYTES = (100, 150, 200, 300, 400, 500, 700, 1000)  # marked in the plot
WITHOUT_PYTORCH = "da3, without PyTorch"
FEW_DOMAINS = [name for name in domains.DOMAINS if name != domains.FACES]

INTRODUCTION = """\
# Results

Made by `python benchmarks/results_page.py` from the committed files in
[benchmarks/results](../benchmarks/results); a test checks that it is current. Each row there
names its command, versions, machine and commit. How to run them:
[benchmarks/README.md](../benchmarks/README.md). What has no result says "not run here".

The backbone is EfficientNet-Lite0 with ImageNet weights unless something else is said. All
methods run in the product's own loop, on the same images, each with the rate that won its own
small search. A tenth of the training images is held out; test images were looked at once for each
form of a method.
"""


def page() -> str:
    """Return the whole page."""
    rows, at_96_px = accuracy.main_rows(), read_rows(accuracy.SMALL_FILE)
    tuned = read_rows(tuning.FILE)
    order = json.loads(sequence.FILE.read_text()) if sequence.FILE.exists() else {}
    steps, as_published = read_steps(), read_steps(published.FOLDER)
    gated = gates_torch_table.summary(
        gates_torch_table.joined(gates_torch.FILE, gates_torch.TIMES), PLOTTED
    )
    names, methods = list(domains.DOMAINS), ordered_methods()
    parts = [
        INTRODUCTION,
        "## Accuracy, 1,000 training images",
        "As `addapt learn` does it: five passes over the images, or as many as make 250 steps, at "
        "the size that it chooses (160 px, solar cells 224). Test accuracy in %, ± standard "
        "deviation over seeds; faces have 240 training images. *Mean* is over the domains that "
        "all methods were run on. *Parameters* are trained ones, *stored* is the domain's file, "
        "from the fewest classes to the most. Time belongs to the step tables below: these runs "
        "shared their machine.",
        accuracy.table(accuracy.of_shared_seeds(rows), accuracy.ALL, names, methods),
        "What the demo compares, with five seeds:",
        accuracy.table(
            rows, accuracy.ALL, list(accuracy.DEMO_DOMAINS), list(accuracy.DEMO_METHODS)
        ),
        "DA³ once more on another processor, and with another number of threads; their sums differ "
        "in the last bits. At 160 px one thread and two learn the very same domain, though, so "
        "that only solar cells, at 224 px, were learned with two:",
        accuracy.machines_table(
            [*read_rows(accuracy.FILE), *read_rows(accuracy.ELSEWHERE_FILE)], names
        ),
        "## Accuracy, 10 training images a class",
        "One of the ten is held out. Solar cells have two classes, so 20 images; faces have six "
        "images a person above already.",
        accuracy.table(rows, accuracy.FEW, FEW_DOMAINS, methods),
        "## Accuracy at 96 px, all methods",
        "An earlier recipe: all images at 96 px, ten passes or five as the search below found "
        "better, and an earlier epoch was kept when it was better by one standard error.",
        accuracy.table(at_96_px, accuracy.ALL, names, methods),
        plot_words(points(at_96_px, steps)),
        "With 10 training images a class:",
        accuracy.table(at_96_px, accuracy.FEW, FEW_DOMAINS, methods),
        "## Accuracy of both engines",
        "DA³ learned with and without PyTorch, at 96 px in ten passes, in %, ± standard deviation "
        "over seeds; *s a run* is the median, and includes neither reading nor validation.",
        engines_accuracy.table(read_rows(engines_accuracy.FILE)),
        "## What each part gives",
        "DA³ as it is by default (*base*) and with one thing changed at a time, or both kinds of "
        "attention left out, learned without PyTorch by the method's recipe, in the size of images "
        "that `addapt learn` chooses (`python benchmarks/da3_parts.py run`). Accuracy in % on the "
        "1,000 spare images of each domain, ± standard deviation over two seeds; test images were "
        "not looked at. *To the base*: points more or less, mean of the pairs of one domain and "
        "one seed, ± its standard error; what is within twice that is noise.",
        da3_parts.table(read_rows(da3_parts.FILE)),
        "## Learned one after another",
        "Test accuracy in % after each step. *finetune*: one network for all, which each domain "
        "goes on training, a head each. *da3*: an adaptor each. *Changed logits*: numbers that are "
        "not bit-identical to those right after learning, over all test images of all "
        "domains so far.",
        sequence.table(order or {"domains": list(domains.GREY)}),
        "## Rare classes",
        "Half of the classes, or one of two, have fewer images than the others. *Balanced* is the "
        "mean accuracy of the classes, *natural* weighs them as they were in learning, in % and "
        "over seeds. *before*: rare classes get no more weight, and the plain accuracy chooses the "
        "epoch; *now*: `balance` is on.",
        imbalance.table(read_rows(imbalance.FILE)),
        "## Memory and time of a training step",
        "By `addapt bench step`; [MEMORY.md](MEMORY.md) tells how to read it. In brackets how many "
        "times less than fine-tuning.",
        *step_tables(steps),
        "## A step on both engines",
        "Fine-tuning and DA³ on each engine, in one run: `da3 device` is ONNX Runtime, with one "
        "image at a time at 224 px and five at 96 px, the others the PyTorch engine.",
        *step_tables(read_steps(ENGINES), all_methods=False),
        "## The paper's comparison",
        "The paper reports 19 to 37 times less training memory (its workshop version 5 to 37) and "
        "half the time against "
        "fine-tuning, series and parallel residual adapters and Piggyback, on a Jetson Nano. "
        "Here a rival runs in the same setting as DA³ where it has one, and with the whole "
        "batch otherwise, on the lean operations of the PyTorch engine: what may run in "
        "micro-batches here needs less memory than its authors published.",
        claims(steps),
        "## The paper's comparison, as published",
        "The four as their authors run them: ordinary modules and optimisers of PyTorch, whole "
        "batches, batch norms with statistics of the batch (Piggyback's are fixed), SGD with "
        "momentum (Piggyback: Adam). DA³ by `addapt` as it comes, without PyTorch. Each in a "
        "process of its own, their steps in turns (`python benchmarks/published.py run`). "
        "*Memory* is above the loaded model.",
        published.table(as_published),
        published.words(as_published),
        "## Networks of timm",
        "DA³ on the PyTorch engine in its default setting, beside fine-tuning in plain PyTorch "
        "(`python benchmarks/own_networks.py run`; [OWN_NETWORKS.md](OWN_NETWORKS.md)).",
        *own_networks.parts(read_steps(own_networks.FOLDER)),
        "## Watching",
        "`addapt watch` on a still scene, a moving one and real clips, beside the same without its "
        "gate (`python benchmarks/watch.py`). The still scene shows one photograph after another, "
        "with noise and light that drifts. *Answered in time*: changes whose right answer was "
        f"there within {watch_table.ANSWERED_S} s. *Time*: of that without the gate, which "
        "recognises every frame.",
        *watch_table.parts(watch_table.read()),
        "## Which domain, or none",
        "All six domains in one store, their test images mixed, in percent "
        "(`python benchmarks/which_domain.py`). *Chosen*: the domain is the right one. *End to "
        "end*: domain and class are right, refused or not. *Oracle*: the class is right where the "
        "domain is named. *Asked*: domains that answered, for each image. Below, each domain is "
        "cut into parts of two classes, learned one by one, and the part has to be the right one: "
        "two of them were never told apart by learning.",
        which_domain_part(),
        "## Gates",
        *gates_page.parts(),
        "## What was reproduced",
        "Memory and time are those of ResNet-50 with random weights on a processor, in the default "
        "settings; accuracy is that at 96 px. Not run here: the paper's board, a "
        "Jetson Nano, and its own five domains, ImageNet-to-Sketch.",
        reproducibility(at_96_px, steps, as_published, order, gated),
        "## The search",
        f"Accuracy on 1,000 spare images of {' and '.join(tuning.TUNED_ON)}, at 96 px; the rate "
        "of the winner, in bold, is used everywhere. "
        + "; ".join(
            f"*{name}*: {epochs} epochs, or as many as make {steps_} steps"
            for name, (epochs, steps_) in tuning.SCHEDULES.items()
        )
        + ".",
        tuning.table(tuned),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def which_domain_part() -> str:
    """Return its tables, if it was run."""
    result = which_domain_figures.read()
    return which_domain_figures.table(result) if result else published.NOT_RUN


def ordered_methods() -> list[str]:
    """Return all methods, those with several seeds first."""
    first = [method for method in accuracy.SEEDED if method in METHODS]
    return first + [method for method in METHODS if method not in first]


def step_tables(steps: Sequence[dict[str, Any]], *, all_methods: bool = True) -> list[str]:
    tables = []
    for result in steps:
        missing = [m for m in METHODS if step_row(result, m, DEFAULT) is None]
        tables.append(
            f"**{title(result)}**, {result['threads']} threads, {result['rounds']} rounds"
        )
        tables.append(table(result["rows"]))
        if missing and all_methods:
            tables.append(f"Not run here: {', '.join(missing)}.")
    return tables


def points(
    rows: Sequence[Row], steps: Sequence[dict[str, Any]]
) -> tuple[str, dict[str, tuple[float, float]]]:
    """Return the step's title, and each method's MB of a whole process and mean accuracy in %."""
    of_backbone = [result for result in steps if result["backbone"] == PLOTTED]
    if not of_backbone:
        return "", {}
    result = of_backbone[0]
    last = [row for row in accuracy.counted(rows) if row["amount"] == accuracy.ALL]
    common = accuracy.common_domains(last)
    found = {}
    for method in METHODS:
        mean = accuracy.mean_accuracy([r for r in last if r["method"] == method], common)
        step = step_row(result, method, DEFAULT)
        if mean is not None and step is not None:
            found[method] = step["process_bytes"] / 1e6, 100 * mean
    of_engines = [r for r in read_steps(ENGINES) if r["backbone"] == PLOTTED]
    same = [r for r in of_engines if title(r) == title(result)]
    without = step_row(same[0], "da3", DEVICE) if same else None
    mean = engines_accuracy.engine_means(read_rows(engines_accuracy.FILE))["onnx"]
    if without is not None and mean is not None:
        found[WITHOUT_PYTORCH] = without["process_bytes"] / 1e6, 100 * mean
    return title(result), found


def plot_words(found: tuple[str, dict[str, tuple[float, float]]]) -> str:
    if len(found[1]) < 2:
        return "Accuracy against memory: not run here."
    return (
        f"![Mean accuracy against the whole process of a training step]({PLOT.name})\n\n"
        f"The same mean against the whole process of a step ({found[0]}, "
        "PyTorch engine in its default settings unless something else is said)."
    )


def draw(found: tuple[str, dict[str, tuple[float, float]]], path: Path) -> None:
    """Draw accuracy against memory."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    places = list(found[1].values())
    for method, (megabytes, percent) in found[1].items():
        color = "tab:red" if method in ("da3", WITHOUT_PYTORCH) else "tab:gray"
        axes.plot(megabytes, percent, "o", color=color)
        crowded = any(1 < x / megabytes < 2 and abs(y - percent) < 0.2 for x, y in places)
        axes.annotate(
            method,
            (megabytes, percent),
            (-5 if crowded else 5, 4),
            textcoords="offset points",
            ha="right" if crowded else "left",  # away from the next point
            color=color,
        )
    axes.set_xscale("log")
    axes.set_xticks(MEGABYTES, map(str, MEGABYTES))
    axes.minorticks_off()
    axes.margins(x=0.2, y=0.1)
    axes.set_xlabel(f"whole process of a training step, MB ({found[0]})")
    axes.set_ylabel("mean test accuracy, %")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3, which="both")
    figure.savefig(path, dpi=150)


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    found = points(read_rows(accuracy.SMALL_FILE), read_steps())
    if len(found[1]) >= 2:
        draw(found, PLOT)
        print(f"wrote {PLOT.relative_to(ROOT)}")
    gates_page.draw(gates_page.PLOT)
    gates = gates_page.PAGE.read_text(encoding="utf-8")
    gates_page.PAGE.write_text(memory_tables.fill(gates, gates_page.TABLES), encoding="utf-8")
    print(f"wrote {gates_page.PLOT.relative_to(ROOT)} and {gates_page.PAGE.relative_to(ROOT)}")
    readme_tables.main()
    step = json.loads((FOLDER / f"{CHARTED}.json").read_text(encoding="utf-8"))
    draw_comparison([StepRow(**row) for row in step["rows"]], title(step), STEP_CHART)
    print(f"wrote {STEP_CHART.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
