"""Training steps with gates beside steps without: time in turns, memory in processes of their own.

    python benchmarks/gates_step.py [--backbone resnet50] [--threads 2]

Batches of 8 digits at 224 px, whole; gates as before the first epoch, for a share of 60 %. What
fitting them takes before each epoch is told, too. The peak of so small a step, `process_bytes`,
differs by some MB from process to process.
Writes `results/gates_step.json`.
"""

import argparse
import json
import multiprocessing
import statistics
import time
from typing import Any

import domains
import torch
import torch.nn.functional as F
from gates_torch import PX, RANDOM
from result_rows import RESULTS, spell_command, surroundings

import addapt
from addapt.engines.torch.adamw import AdamW, ParameterGroup
from addapt.engines.torch.arrays import backbone_input
from addapt.engines.torch.methods import AdaptedModel
from addapt.gates import BLOCKS, GateConfig
from addapt.images import load_images, scan_classes
from addapt.memory import configure_allocator

FILE = RESULTS / "gates_step.json"
BATCH = 8
CLASSES = 10
ROUNDS = 9
COMPUTE = 0.6
LR = 1e-4
FITTED_IMAGES = 64
KINDS = [(BLOCKS, False), (BLOCKS, True)]  # resolution is smaller images, and no other step

Row = dict[str, Any]


class Step:
    """A model and its optimiser, ready to make steps on one batch."""

    def __init__(self, backbone: addapt.Backbone, gates: GateConfig | None) -> None:
        torch.manual_seed(0)
        self.model = addapt.attach(backbone, addapt.DA3(), CLASSES, gates)
        self.images = _images(self.model)
        self.batches = torch.split(self.images, BATCH)
        self.labels = torch.arange(BATCH) % CLASSES
        started = time.perf_counter()
        if self.model.gates is not None:
            self.model.gates.measure(self.batches)
        self.measure_s = time.perf_counter() - started
        self.optimiser = AdamW([ParameterGroup(list(self.model.domain_parameters()), LR)])
        self.model.train()

    def __call__(self) -> None:
        """Make one step."""
        self.optimiser.zero_grad()
        F.cross_entropy(self.model(self.batches[0]), self.labels).backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()

    def time(self) -> float:
        """Make one step and return its seconds."""
        started = time.perf_counter()
        self()
        return time.perf_counter() - started


def _images(model: AdaptedModel) -> torch.Tensor:
    folder = domains.domain_folders("digits").train
    classes = tuple(sorted(path.name for path in folder.iterdir()))
    samples = scan_classes(folder, classes).samples
    some = samples[:: len(samples) // FITTED_IMAGES][:FITTED_IMAGES]
    images, _ = load_images(some, PX, model.backbone.info.input.interpolation)
    return backbone_input(model.backbone, images.batch(range(len(images))))


def memory(name: str, gates: GateConfig | None, threads: int) -> Row:
    """Measure one kind of step; in a process of its own."""
    torch.set_num_threads(threads)
    configure_allocator()
    step = Step(_backbone(name), gates)
    found = addapt.measure(step, step.model)
    return {
        "process_bytes": found.peak_process_bytes,
        "kept_bytes": found.kept_bytes,
    }


def times(name: str, gates: GateConfig, threads: int) -> Row:
    """Time steps with gates and without, in turns; the freed memory is kept for the next."""
    torch.set_num_threads(threads)
    backbone = _backbone(name)
    gated, ungated = Step(backbone, gates), Step(backbone, None)
    pairs = [(gated.time(), ungated.time()) for _ in range(ROUNDS + 1)][1:]
    started = time.perf_counter()
    assert gated.model.gates is not None
    gated.model.gates.refit(gated.batches)
    return {
        "step_s": statistics.median(pair[0] for pair in pairs),
        "ungated_step_s": statistics.median(pair[1] for pair in pairs),
        "ratio_time": statistics.median(pair[1] / pair[0] for pair in pairs),
        "fit_s": time.perf_counter() - started,
        "measure_s": gated.measure_s,
    }


def _backbone(name: str) -> addapt.Backbone:
    return addapt.load_backbone(name, "random" if name == RANDOM else None)


def in_own_process(function: Any, *arguments: Any) -> Row:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found: Row = pool.apply(function, arguments)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backbone", choices=("efficientnet_lite0", RANDOM), action="append")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for name in options.backbone or ("efficientnet_lite0", RANDOM):
        plain = in_own_process(memory, name, None, options.threads)
        for unit, dynamic in KINDS:
            gates = GateConfig(unit, dynamic, COMPUTE)
            row: Row = {
                "backbone": name,
                "unit": unit,
                "kind": gates.kind,
                "compute_target": COMPUTE,
            }
            row |= in_own_process(memory, name, gates, options.threads)
            row |= {f"ungated_{field}": value for field, value in plain.items()}
            row |= in_own_process(times, name, gates, options.threads)
            rows.append(row)
            print(
                f"{name:18} {unit:10} {gates.kind:7} {row['ratio_time']:.2f}x faster, "
                f"kept {row['kept_bytes'] / row['ungated_kept_bytes']:.2f} of ungated",
                flush=True,
            )
            command = spell_command("gates_step", device="cpu")
            result = {"rows": rows, "batch": BATCH, "image_px": PX, "rounds": ROUNDS}
            FILE.write_text(json.dumps(result | surroundings(command)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
