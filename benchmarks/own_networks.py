"""A step of DA3 on networks of timm, beside fine-tuning them in plain PyTorch.

    python benchmarks/own_networks.py run [--rounds 5] [--backbone NAME ...]
    python benchmarks/own_networks.py table

Needs timm. Runs `addapt bench step` for each, a file of `results/own_networks` each; those that
are there are not measured again. EfficientNet-Lite0 is measured twice, as timm has it and as addapt
does: both should take the same.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import published
from result_rows import RESULTS, Row
from step_rows import DEFAULT, ratio, spread, step_results, step_row, times, title

from addapt.bench.contender import AS_PUBLISHED

FOLDER = RESULTS / "own_networks"
NAMES = (
    *("mobilenetv3_large_100", "resnet18", "regnetx_004", "mobilenetv4_conv_small"),
    *("convnext_atto", "densenet121"),
)
BUILT_IN, OF_TIMM = "efficientnet_lite0", "timm:tf_efficientnet_lite0"
BACKBONES = (*(f"timm:{name}" for name in NAMES), OF_TIMM, BUILT_IN)
METHODS = ("eager:finetune", "da3:default")
BATCH = 8
MEASURES = (*published.MEASURES[:1], ("kept_bytes", 1e6), *published.MEASURES[1:])
SAME = ("kept_bytes", "peak_bytes", "step_s")  # on both EfficientNet-Lite0
NOT_RUN = "Not run here yet: `python benchmarks/own_networks.py run`."
Results = Sequence[dict[str, Any]]


def table(results: Results) -> str:
    """Compare fine-tuning with DA3: memory above the model, kept bytes, whole process, time."""
    names = ("memory, MB", "kept, MB", "process, MB", "s a step")
    heading = " | ".join(f"{name} | DA³ | less" for name in names)
    lines = [f"| step | {heading} |", f"|---|{'---:|' * 3 * len(names)}"]
    for result in results:
        theirs, ours = _rows(result)
        cells = [title(result)]
        for name, unit in MEASURES:
            cells += [published.amount_of(row, name, unit) for row in (theirs, ours)]
            cells.append(times(ratio(theirs, ours, name)))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def parts(results: Results) -> list[str]:
    """Return the table and what it says, or that there is none."""
    return [table(results), words(results)] if results else [NOT_RUN]


def words(results: Results) -> str:
    """Say in sentences what the table shows."""
    pairs = [_rows(result) for result in results if result["backbone"] != BUILT_IN]
    memory, time = (
        spread([ratio(*pair, name) for pair in pairs]) for name in ("peak_bytes", "step_s")
    )
    said = f"On networks of timm {memory} less memory above the model, {time} less time."
    ours = {result["backbone"]: _rows(result)[1] for result in results}
    shares = [_share(ours.get(OF_TIMM), ours.get(BUILT_IN), name) for name in SAME]
    if None not in shares:
        kept, peak, step = shares
        said += (
            f" EfficientNet-Lite0 of timm, beside addapt's own: {kept} of the kept bytes, {peak} "
            f"of the memory and {step} of the time."
        )
    return f"{said} {results[0]['threads']} threads of {results[0]['machine']['cpu']}."


def _share(row: Row | None, of: Row | None, name: str) -> str | None:
    """Return how much a step takes of what another one does, each in its own run: "101 %"."""
    if row is None or of is None or not row[name] or not of[name]:
        return None
    return f"{100 * row[name] / of[name]:.0f} %"


def _rows(result: dict[str, Any]) -> tuple[Row | None, Row | None]:
    """Return the rows of fine-tuning and of DA3 that were measured."""
    rivals = (
        row
        for row in result["rows"]
        if row["setting"] == AS_PUBLISHED and row["peak_bytes"] is not None
    )
    return next(rivals, None), step_row(result, published.DA3, DEFAULT)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--backbone", choices=BACKBONES, action="append")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.what == "run":
        published.run(options.backbone or BACKBONES, (BATCH,), options.rounds, FOLDER, METHODS)
    print(*parts(step_results(FOLDER)), sep="\n")


if __name__ == "__main__":
    main()
