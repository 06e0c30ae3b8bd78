"""Ablation of DA3's defaults: one thing changed at a time, four domains, unseen images.

    python benchmarks/da3_ablation.py run [--domain digits] [--variant base] [--threads 1]
    python benchmarks/da3_ablation.py table

Each run trains with the loop of `addapt learn` on the demo's 1,000 training images and is judged,
after its last epoch, on 1,000 others that are neither in the demo's training nor in its test set
(faces: trains on 160 and is judged on 80 of the 240). A run that is in
`results/da3_ablation.jsonl` already is not done again.
"""

import argparse
import dataclasses
import json
import platform
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import addapt
from addapt.demo.images import SOURCES, build_images
from addapt.engines.torch.methods import METHODS, Method
from addapt.images import auto_image_px, load_images, scan_folder
from addapt.learning.loop import evaluate, train
from addapt.learning.run import training_options
from addapt.learning.state import TrainingState

RESULTS = Path(__file__).parent / "results" / "da3_ablation.jsonl"
DOMAINS = ("digits", "silhouettes", "solar-cells", "faces")
# Few images, nearly all recognised by any method: shown, but no part of the mean.
SATURATED = "faces"
VAL_IMAGES = 1000

# What variants are compared with, spelt out, so that rows keep their meaning when defaults change.
BASE: dict[str, Any] = {
    "reduction": 4,
    "width": 32,
    "kernel": 5,
    "groups": 4,
    "grid": 8,
    "biases": True,
    "first_block": 5,
}
BASE_RECIPE: dict[str, Any] = {
    "lr": 1e-3,
    "epochs": 5,
    "min_steps": 250,
    "batch": 16,
    "label_smoothing": 0.1,
}

# variant -> (method, its hyper-parameters, changes of its recipe, options of learn)
Variant = tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]
VARIANTS: dict[str, Variant] = {
    "base": ("da3", {}, {}, {}),
    "base, seed 1": ("da3", {}, {}, {"seed": 1}),
    "no label smoothing": ("da3", {}, {"label_smoothing": 0.0}, {}),
    "mirroring": ("da3", {}, {}, {"flip": True}),
    "no biases": ("da3", {"biases": False}, {}, {}),
    "all blocks": ("da3", {"first_block": 0}, {}, {}),
    "blocks from 3": ("da3", {"first_block": 3}, {}, {}),
    "blocks from 8": ("da3", {"first_block": 8}, {}, {}),
    "blocks from 11": ("da3", {"first_block": 11}, {}, {}),
    "kernel 3": ("da3", {"kernel": 3}, {}, {}),
    "reduction 8": ("da3", {"reduction": 8}, {}, {}),
    "width 48": ("da3", {"width": 48}, {}, {}),
    "lr 2e-3": ("da3", {}, {"lr": 2e-3}, {}),
    "lr 5e-4": ("da3", {}, {"lr": 5e-4}, {}),
    "stronger augmentation": ("da3", {}, {"augmentation": 2.0}, {}),
    "no augmentation": ("da3", {}, {"augmentation": 0.0}, {}),
    "grid 4": ("da3", {"grid": 4}, {}, {}),
    "weight decay 0.1": ("da3", {}, {"weight_decay": 0.1}, {}),
    "batch 32, lr 2e-3": ("da3", {}, {"lr": 2e-3}, {"batch": 32}),
    "10 epochs": ("da3", {}, {}, {"epochs": 10}),
    "10 epochs, augmentation 2": ("da3", {}, {"augmentation": 2.0}, {"epochs": 10}),
    "head only": ("head", {}, {}, {}),
    "head only, lr 1e-2": ("head", {}, {"lr": 1e-2}, {}),
    "fine-tuning": ("finetune", {}, {}, {}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--domain", choices=DOMAINS, action="append")
    parser.add_argument("--variant", choices=VARIANTS, action="append")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=Path, default=Path("demo") / "ablation-images")
    args = parser.parse_args()
    if args.what == "table":
        print(table())
        return
    torch.set_num_threads(args.threads)
    backbone = addapt.load_backbone("efficientnet_lite0")
    for variant in args.variant or VARIANTS:
        for domain in args.domain or DOMAINS:
            if (variant, domain) not in {(row["variant"], row["domain"]) for row in rows()}:
                run(backbone, variant, domain, args.images)


def run(backbone: addapt.Backbone, variant: str, domain: str, images: Path) -> None:
    """Learn one domain with one variant and append the result."""
    name, hyperparameters, recipe, changes = VARIANTS[variant]
    method = _build(name, hyperparameters, recipe)
    source = next(source for source in SOURCES if source.name == domain)
    contents = scan_folder(build_images(source, images, VAL_IMAGES))
    px = source.image_px or auto_image_px(contents.train, backbone.info.input.px)
    train_set, _ = load_images(contents.train, px, backbone.info.input.interpolation)
    val_set, _ = load_images(contents.val, px, backbone.info.input.interpolation)
    given: dict[str, Any] = {
        "epochs": None,
        "batch": None,
        "lr": None,
        "seed": 0,
        "flip": False,
    } | changes
    options = training_options(method, train_images=len(train_set), micro_batch=None, **given)
    torch.manual_seed(options.seed)
    model = addapt.attach(backbone, method, len(contents.classes))
    started = time.perf_counter()
    # The loop validates every epoch; a few images do, since only the end counts here.
    few = val_set.select(range(min(32, len(val_set))))
    train(model, train_set, few, replace(options, patience=options.epochs), TrainingState())
    train_s = time.perf_counter() - started
    accuracy, _ = evaluate(model, val_set)
    row = {
        "variant": variant,
        "domain": domain,
        "accuracy": accuracy,
        "method": name,
        "hyperparameters": dataclasses.asdict(method),
        "options": dataclasses.asdict(options),
        "image_px": px,
        "parameters": sum(p.numel() for p in model.domain_parameters()),
        "train_s": round(train_s, 1),
        "threads": torch.get_num_threads(),
        "command": " ".join(["python", *sys.argv]),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "date": time.strftime("%Y-%m-%d"),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(f"{variant:24} {domain:12} {accuracy:.3f}  {train_s:.0f} s", flush=True)


def _build(name: str, hyperparameters: dict[str, Any], recipe: dict[str, Any]) -> Method:
    method = METHODS[name]
    if name == "da3":
        hyperparameters, recipe = BASE | hyperparameters, BASE_RECIPE | recipe
    changed = dataclasses.replace(method.recipe, **recipe)
    variant: type[Method] = type(method.__name__, (method,), {"recipe": changed})
    return variant(**hyperparameters)


def rows() -> list[dict[str, Any]]:
    if not RESULTS.exists():
        return []
    return [json.loads(line) for line in RESULTS.read_text().splitlines()]


def table() -> str:
    """Render the results as Markdown, variants in their order here, where all were run."""
    lines = [
        f"| variant | {' | '.join(DOMAINS)} | mean | parameters | seconds |",
        f"|---|{'---:|' * (len(DOMAINS) + 3)}",
    ]
    for variant in VARIANTS:
        found = {row["domain"]: row for row in rows() if row["variant"] == variant}
        judged = [found[domain] for domain in DOMAINS if domain in found and domain != SATURATED]
        if len(judged) < len(DOMAINS) - 1:
            continue
        cells = [f"{found[d]['accuracy']:.3f}" if d in found else "–" for d in DOMAINS]
        mean = statistics.mean(row["accuracy"] for row in judged)
        seconds = sum(row["train_s"] for row in judged)
        lines.append(
            f"| {variant} | {' | '.join(cells)} | {mean:.3f} "
            f"| {found['digits']['parameters']:,} | {seconds:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
