"""The paper's own benchmark, ImageNet-to-Sketch, for whoever has its images and weights.

    python benchmarks/imagenet_to_sketch.py check ROOT
    python benchmarks/imagenet_to_sketch.py run ROOT --weights FILE [--method da3] [--name cubs]
    python benchmarks/imagenet_to_sketch.py table

ROOT/NAME/train/CLASS/*.jpg and ROOT/NAME/test/CLASS/*.jpg for each NAME of cubs, cars, flowers,
wikiart, sketch, with the splits of Mallya et al. (Piggyback, ECCV 2018). The weights are
torchvision's or timm's of a ResNet-50. Rows go to `results/imagenet_to_sketch.jsonl`; what
is there already is not run again. A whole run is days of a processor: take `--device cuda`.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import tuning
from result_rows import (
    RESULTS,
    Row,
    append_row,
    latest,
    read_rows,
    same,
    spell_command,
    surroundings,
)
from trial import Settings, hyperparameters, learn_and_judge

import addapt
from addapt._errors import AddaptError, DataError, OptionError
from addapt.engines.torch.methods import METHODS
from addapt.images import scan_classes, scan_folder

FILE = RESULTS / "imagenet_to_sketch.jsonl"
BACKBONE = "resnet50"
IMAGE_PX = 224


@dataclass(frozen=True)
class Published:
    """A domain of the benchmark as it was published, and Piggyback's accuracy on it, in %."""

    classes: int
    train_images: int
    test_images: int
    piggyback: float


PUBLISHED = {
    "cubs": Published(200, 5_994, 5_794, 80.50),
    "cars": Published(196, 8_144, 8_041, 89.62),
    "flowers": Published(102, 2_040, 6_149, 94.77),
    "wikiart": Published(195, 42_129, 10_628, 71.33),
    "sketch": Published(250, 16_000, 4_000, 79.91),
}


def check_layout(root: Path, names: Sequence[str]) -> list[str]:
    """Check all folders before any is learned from; return what differs from the publication.

    Raises:
        DataError: a folder is missing, or cannot be learned from or judged with.
    """
    layout = f"Wanted: {root}/NAME/train/CLASS/*.jpg and {root}/NAME/test/CLASS/*.jpg"
    if missing := [name for name in names if not (root / name).is_dir()]:
        raise DataError(
            f"There is no folder {root / missing[0]}. {layout} for each NAME of "
            f"{', '.join(names)}; or choose some of them with --name."
        )
    differences = []
    for name in names:
        for part in ("train", "test"):
            if not (root / name / part).is_dir():
                raise DataError(f"There is no folder {root / name / part}. {layout}.")
        train = scan_folder(root / name / "train")
        test = scan_classes(root / name / "test", train.classes)
        untested = set(range(len(train.classes))) - {sample.label for sample in test}
        if untested:
            raise DataError(
                f"{root / name / 'test'} has no image of the class "
                f"{train.classes[min(untested)]!r}, which {root / name / 'train'} has. {layout}."
            )
        found = (len(train.classes), len(train.train), len(test))
        published = PUBLISHED[name]
        wanted = (published.classes, published.train_images, published.test_images)
        if found != wanted:
            differences.append(
                f"{name} has {found[0]:,} classes, {found[1]:,} training and {found[2]:,} test "
                f"images, but {wanted[0]:,}, {wanted[1]:,} and {wanted[2]:,} were published: "
                "accuracies cannot be compared."
            )
    return differences


def settings_of(method: str, epochs: int | None) -> Settings:
    """Return the rates that won on our own domains, with the epochs asked for."""
    settings, _ = tuning.chosen_settings(read_rows(tuning.FILE), method)
    if epochs is None:
        return settings
    if epochs < 1:
        raise OptionError(f"--epochs is {epochs}: give at least 1.")
    return dataclasses.replace(settings, epochs=epochs, min_steps=1)


def run(options: argparse.Namespace) -> None:
    """Learn and judge what is not in the file yet."""
    names = options.name or list(PUBLISHED)
    for difference in check_layout(options.root, names):
        print(f"warning: {difference}", file=sys.stderr)
    if options.what == "check":
        print(f"{options.root} has the layout that is needed.")
        return
    backbone = addapt.load_backbone(options.backbone, options.weights, device=options.device)
    for name in names:
        folder = options.root / name
        trained = not backbone.info.weights.startswith("random")
        comparable = trained and not check_layout(options.root, [name])
        for method in options.method or ["da3", "head", "finetune", "piggyback"]:
            settings = settings_of(method, options.epochs)
            identity = {
                "method": method,
                "settings": dataclasses.asdict(settings),
                "hyperparameters": hyperparameters(method),
                "weights_sha256": backbone.info.weights_sha256,
                "domain": name,
                "comparable": comparable,
                "asked_image_px": options.image_px,
                "seed": options.seed,
            }
            before = read_rows(options.results)
            if any(same({key: row.get(key) for key in identity}, identity) for row in before):
                continue
            row = learn_and_judge(
                backbone,
                method,
                settings,
                folder / "train",
                folder / "test",
                seed=options.seed,
                image_px=options.image_px,
            )
            words = ["run", "ROOT", "--name", name, "--method", method]
            words += ["--backbone", options.backbone, "--weights", "FILE"]
            command = spell_command("imagenet_to_sketch", *words, device=options.device)
            append_row(options.results, row | identity | surroundings(command, options.device))
            print(f"{name:8} {method:18} {row['accuracy']}  {row['wall_s']:.0f} s", flush=True)


def table(rows: Sequence[Row]) -> str:
    """Render ours beside the published figures as Markdown; only what can be compared counts."""
    lines = [f"| | {' | '.join(PUBLISHED)} |", f"|---|{'---:|' * len(PUBLISHED)}"]
    figures = " | ".join(f"{published.piggyback:.2f}" for published in PUBLISHED.values())
    lines.append(f"| Piggyback, ResNet-50, as published | {figures} |")
    counted = [row for row in rows if row["comparable"] and row["backbone"] == BACKBONE]
    found = latest([row for row in counted if row["seed"] == 0], "method", "domain")
    for method in METHODS:
        shares = [found.get((method, name), {}).get("accuracy") for name in PUBLISHED]
        cells = ["not run here" if share is None else f"{100 * share:.2f}" for share in shares]
        lines.append(f"| {method}, ours | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("check", "run", "table"))
    parser.add_argument("root", type=Path, nargs="?", help="holds cubs, cars, flowers, ...")
    parser.add_argument("--name", choices=PUBLISHED, action="append")
    parser.add_argument("--method", choices=METHODS, action="append")
    parser.add_argument("--backbone", default=BACKBONE)
    parser.add_argument("--weights", help='a weights file, or "random" to try things out')
    parser.add_argument("--epochs", type=int, help="by default those of benchmarks/tuning.py")
    parser.add_argument("--image-px", type=int, default=IMAGE_PX)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--results", type=Path, default=FILE)
    options = parser.parse_args()
    if options.what == "table":
        print(table(read_rows(options.results)))
        return
    if options.root is None:
        parser.error("give ROOT, the folder that holds cubs, cars, flowers, wikiart and sketch")
    if options.what == "run" and options.weights is None:
        parser.error('give --weights FILE, a ResNet-50 of torchvision or timm, or "random"')
    torch.set_num_threads(options.threads)
    try:
        run(options)
    except AddaptError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
