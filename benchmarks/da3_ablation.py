"""Ablation of DA3's defaults: one thing changed at a time, three domains, unseen pictures.

    python benchmarks/da3_ablation.py run [--domain digits] [--variant base] [--threads 1]
    python benchmarks/da3_ablation.py table

Each run learns through the same code as `addapt learn`, from the demo's 1,000 training pictures,
and is judged on 1,000 others that are neither in the demo's training nor in its test set (its
last epoch counts, so that nothing is chosen by what it is judged on). A run that is in
`results/da3_ablation.jsonl` already is not done again.
"""

import argparse
import dataclasses
import json
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import addapt
from addapt.demo.pictures import SOURCES, build_pictures
from addapt.methods import METHODS, Method

RESULTS = Path(__file__).parent / "results" / "da3_ablation.jsonl"
DOMAINS = ("digits", "silhouettes", "solar-cells")
VAL_IMAGES = 1000

# variant -> (method, its hyper-parameters, changes of its recipe, options of learn)
Variant = tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]
VARIANTS: dict[str, Variant] = {
    "base": ("da3", {}, {}, {}),
    "mirroring": ("da3", {}, {}, {"flip": True}),
    "lr 2e-3": ("da3", {}, {"lr": 2e-3}, {}),
    "head only": ("head", {}, {}, {}),
    "12 epochs": ("da3", {}, {}, {"epochs": 12}),
    "label smoothing 0.1": ("da3", {}, {"label_smoothing": 0.1}, {}),
    "stronger augmentation": ("da3", {}, {"augmentation": 2.0}, {}),
    "no biases": ("da3", {"biases": False}, {}, {}),
    "blocks from 6": ("da3", {"first_block": 6}, {}, {}),
    "reduction 4, kernel 3": ("da3", {"reduction": 4, "kernel": 3}, {}, {}),
    "no augmentation": ("da3", {}, {"augmentation": 0.0}, {}),
    "all blocks": ("da3", {"first_block": 0}, {}, {}),
    "kernel 3": ("da3", {"kernel": 3}, {}, {}),
    "grid 4": ("da3", {"grid": 4}, {}, {}),
    "base, seed 1": ("da3", {}, {}, {"seed": 1}),
    "lr 5e-4": ("da3", {}, {"lr": 5e-4}, {}),
    "batch 32, lr 2e-3": ("da3", {}, {"lr": 2e-3}, {"batch": 32}),
    "weight decay 0.05": ("da3", {}, {"weight_decay": 0.05}, {}),
    "head only, lr 1e-2": ("head", {}, {"lr": 1e-2}, {}),
    "reduction 16": ("da3", {"reduction": 16}, {}, {}),
    "fine-tuning": ("finetune", {}, {}, {}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--domain", choices=DOMAINS, action="append")
    parser.add_argument("--variant", choices=VARIANTS, action="append")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pictures", type=Path, default=Path("demo") / "ablation-pictures")
    args = parser.parse_args()
    if args.what == "table":
        print(table())
        return
    torch.set_num_threads(args.threads)
    backbone = addapt.load_backbone("efficientnet_lite0")
    for variant in args.variant or VARIANTS:
        for domain in args.domain or DOMAINS:
            if (variant, domain) not in {(row["variant"], row["domain"]) for row in rows()}:
                run(backbone, variant, domain, args.pictures)


def run(backbone: addapt.Backbone, variant: str, domain: str, pictures: Path) -> None:
    """Learn one domain with one variant and append the result."""
    name, hyperparameters, recipe, options = VARIANTS[variant]
    source = next(source for source in SOURCES if source.name == domain)
    folder = build_pictures(source, pictures, VAL_IMAGES)
    with tempfile.TemporaryDirectory() as store:
        learner = addapt.Learner(backbone, store)
        report = learner.learn(
            domain,
            folder,
            method=_with_recipe(METHODS[name], recipe)(**hyperparameters),
            **{"image_px": source.image_px, **options},
        )
        history = learner.store.history_path(domain).read_text().splitlines()
        info = dataclasses.asdict(learner.store.info(domain))
        parameters = sum(p.numel() for p in learner.load(domain)[1].domain_parameters())
    row = {
        "variant": variant,
        "domain": domain,
        "hyperparameters": info["hyperparameters"],
        "options": info["options"],
        "accuracy": json.loads(history[-1])["val_accuracy"],
        "best_accuracy": report.val_accuracy,
        "epochs": report.epochs,
        "flip": report.flip,
        "image_px": report.image_px,
        "parameters": parameters,
        "file_bytes": report.file_bytes,
        "learn_s": round(report.learn_s, 1),
        "threads": torch.get_num_threads(),
        "command": " ".join(["python", *sys.argv]),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "date": time.strftime("%Y-%m-%d"),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(f"{variant:24} {domain:12} {row['accuracy']:.3f}  {row['learn_s']:.0f} s", flush=True)


def _with_recipe(method: type[Method], changes: dict[str, Any]) -> type[Method]:
    recipe = dataclasses.replace(method.recipe, **changes)
    return type(method.__name__, (method,), {"recipe": recipe})


def rows() -> list[dict[str, Any]]:
    if not RESULTS.exists():
        return []
    return [json.loads(line) for line in RESULTS.read_text().splitlines()]


def table() -> str:
    """Render the results as Markdown, variants in their order here."""
    lines = [
        f"| variant | {' | '.join(DOMAINS)} | mean | parameters | seconds |",
        f"|---|{'---:|' * (len(DOMAINS) + 3)}",
    ]
    for variant in VARIANTS:
        found = {row["domain"]: row for row in rows() if row["variant"] == variant}
        if len(found) < len(DOMAINS):
            continue
        accuracies = [found[domain]["accuracy"] for domain in DOMAINS]
        cells = [f"{accuracy:.3f}" for accuracy in accuracies]
        seconds = sum(found[domain]["learn_s"] for domain in DOMAINS)
        lines.append(
            f"| {variant} | {' | '.join(cells)} | {statistics.mean(accuracies):.3f} "
            f"| {found['digits']['parameters']:,} | {seconds:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
