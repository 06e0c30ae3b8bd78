"""How near the planner's predictions come to what steps measurably take.

    python benchmarks/plan_accuracy.py [--threads 1] [--restart]

Every combination runs in processes of its own, the worker of `addapt bench step`: the peak is
that of the first three steps above the loaded model, which has answered one image. From process
to process it differs by up to a sixth, as the heap falls out: the median of three is taken. Writes
`results/plan_accuracy.json` after each combination and goes on there when started again.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import addapt.learning  # noqa: F401  # what learning imports is part of its process
from addapt.bench.contender import Contender, Workload
from addapt.bench.remote import ALLOCATORS, RemoteStep
from addapt.bench.surroundings import machine, versions
from addapt.engines.torch.memory import PlanRow, plan

PROCESSES = 3
RESULT = Path(__file__).parent / "results" / "plan_accuracy.json"
LITE0, LITE1 = "efficientnet_lite0", "efficientnet_lite1"
# The constants in memory/plan.py were chosen by both parts; the second was held out at first.
# Backbone, method, batch, micro-batch, image_px.
COMBINATIONS = [
    (LITE0, "da3", 8, 1, 96),
    (LITE0, "da3", 8, 4, 96),
    (LITE0, "da3", 8, 8, 96),
    (LITE0, "da3", 4, 1, 224),
    (LITE0, "da3", 4, 2, 224),
    (LITE0, "da3", 8, 4, 224),
    (LITE0, "head", 8, 4, 128),
    (LITE0, "head", 8, 8, 224),
    (LITE0, "finetune", 4, 4, 96),
    (LITE0, "finetune", 8, 8, 128),
    (LITE1, "da3", 4, 2, 128),
    (LITE1, "da3", 8, 4, 160),
    (LITE1, "finetune", 4, 4, 128),
    ("mobilenet_v2", "da3", 8, 1, 128),
    ("mobilenet_v2", "da3", 8, 4, 160),
    ("mobilenet_v2", "da3", 4, 2, 224),
    ("mobilenet_v2", "head", 8, 4, 128),
    ("mobilenet_v2", "finetune", 4, 4, 128),
    ("resnet18", "da3", 4, 1, 224),
    ("resnet18", "da3", 8, 4, 128),
    ("resnet18", "da3", 8, 8, 160),
    ("resnet18", "head", 8, 8, 128),
    ("resnet18", "finetune", 4, 4, 128),
    ("resnet26", "da3", 4, 1, 224),
    ("resnet26", "da3", 8, 4, 128),
    ("resnet26", "finetune", 4, 4, 96),
    ("resnet50", "da3", 4, 1, 224),
    ("resnet50", "da3", 4, 4, 128),
    ("resnet50", "da3", 4, 2, 224),
    ("resnet50", "finetune", 2, 2, 128),
]
HELD_OUT = [
    (LITE0, "da3", 6, 3, 192),
    (LITE0, "finetune", 6, 6, 112),
    (LITE1, "da3", 4, 1, 192),
    (LITE1, "head", 8, 4, 192),
    ("mobilenet_v2", "da3", 8, 8, 112),
    ("mobilenet_v2", "finetune", 8, 8, 96),
    ("resnet18", "da3", 6, 2, 192),
    ("resnet26", "da3", 4, 2, 160),
    ("resnet50", "da3", 8, 8, 112),
    ("resnet50", "head", 4, 4, 192),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--restart", action="store_true", help="measure everything anew")
    options = parser.parse_args()
    measured: dict[str, Any] = {}
    if RESULT.exists() and not options.restart:
        measured = {_key(row): row for row in json.loads(RESULT.read_text())["rows"]}
    rows = []
    for combination in (*COMBINATIONS, *HELD_OUT):
        backbone, method, batch, micro_batch, image_px = combination
        row = {
            "backbone": backbone,
            "method": method,
            "batch": batch,
            "micro_batch": micro_batch,
            "image_px": image_px,
            "threads": options.threads,
            "held_out": combination in HELD_OUT,
        }
        started = time.perf_counter()
        if _key(row) in measured:
            row["measured_peak_bytes"] = measured[_key(row)]["measured_peak_bytes"]
            row["measured_process_bytes"] = measured[_key(row)]["measured_process_bytes"]
        else:
            row |= _median([_measure(*combination, options.threads) for _ in range(PROCESSES)])
        # Predictions are made anew each time: they take no time.
        predicted = _predict(*combination)
        row["predicted_peak_bytes"] = predicted.predicted_peak_bytes
        row["predicted_process_bytes"] = predicted.predicted_process_bytes
        for what in ("peak", "process"):
            real = row[f"measured_{what}_bytes"]
            if real:
                row[f"{what}_error"] = round(row[f"predicted_{what}_bytes"] / real - 1, 4)
        rows.append(row)
        rest = [old for key, old in measured.items() if key not in map(_key, rows)]
        _save(rows + rest)
        print(_line(row), f"{time.perf_counter() - started:5.1f} s", flush=True)
    for held_out in (False, True):
        errors = [abs(row["peak_error"]) for row in rows if row["held_out"] is held_out]
        print(
            f"{'held out' if held_out else 'chosen by'}: {len(errors)} combinations, error of the "
            f"peak: median {statistics.median(errors):.1%}, largest {max(errors):.1%}"
        )


def _measure(
    backbone: str, method: str, batch: int, micro_batch: int, image_px: int, threads: int
) -> dict[str, Any]:
    # The worker fine-tunes without the product's second copy of the weights.
    eager = method == "finetune"
    contender = Contender(method, "eager" if eager else "addapt", "", micro_batch, packed=False)
    workload = Workload(backbone, "random", batch, image_px, threads, "cpu")
    worker = RemoteStep(contender, workload)
    try:
        memory = worker.measure_memory()
    finally:
        worker.close()
    return {
        "measured_peak_bytes": memory["peak_bytes"],
        "measured_process_bytes": None if eager else memory["process_bytes"],
    }


def _median(measured: list[dict[str, Any]]) -> dict[str, Any]:
    middle = {}
    for name, first in measured[0].items():
        values = [each[name] for each in measured]
        middle[name] = None if first is None else int(statistics.median(values))
    return middle


def _predict(backbone: str, method: str, batch: int, micro_batch: int, image_px: int) -> PlanRow:
    rows = plan(backbone, method, batch, image_px, micro_batches=[micro_batch]).rows
    return rows[0]


def _key(row: dict[str, Any]) -> str:
    names = ("backbone", "method", "batch", "micro_batch", "image_px", "threads")
    return " ".join(str(row[name]) for name in names)


def _line(row: dict[str, Any]) -> str:
    what = f"{row['backbone']} {row['method']} {row['batch']}/{row['micro_batch']}"
    cells = [
        f"{row['predicted_peak_bytes'] / 1e6:7.1f} of {row['measured_peak_bytes'] / 1e6:7.1f} MB"
        f" ({row['peak_error']:+.1%})"
    ]
    if row["measured_process_bytes"]:
        cells.append(
            f"process {row['predicted_process_bytes'] / 1e6:6.1f} of "
            f"{row['measured_process_bytes'] / 1e6:6.1f} MB ({row['process_error']:+.1%})"
        )
    return f"{what:32s} {row['image_px']:4d} px  {'  '.join(cells)}"


def _save(rows: list[dict[str, Any]]) -> None:
    result = {
        "rows": rows,
        "environment": ALLOCATORS["lean"],
        "versions": versions(),
        "machine": machine(),
        "command": " ".join(["python", *sys.argv]),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
