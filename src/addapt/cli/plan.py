"""`addapt plan`: what learning will take, before anything is read."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from addapt.cli import options
from addapt.cli.output import add_row, command, make_table, print_json, print_table, say

if TYPE_CHECKING:
    from addapt.engines.torch.memory import PlanRow


def plan(
    backbone: options.Backbone = options.DEFAULT_BACKBONE,
    method: options.Methods = "da3",
    batch: options.Batch = 16,
    image_px: Annotated[int, typer.Option("--image-px", help="Side of the images.")] = 224,
    classes: Annotated[int, typer.Option(min=1, help="Classes of the domain.")] = 10,
    budget: options.Budget = None,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Predict the memory of a training step for each micro-batch, and say what fits."""
    with command(as_json=as_json, debug=debug, threads=threads):
        import addapt.learning  # noqa: F401  # what learning imports is part of its process
        from addapt.engines.torch.memory import plan as make_plan
        from addapt.engines.torch.memory import too_small_budget
        from addapt.memory import format_bytes, machine_bytes

        budget_bytes = options.parse_budget(budget)
        names = list(dict.fromkeys(name.strip() for name in method.split(",")))
        plans = [
            make_plan(backbone, name, batch, image_px, classes, budget_bytes) for name in names
        ]
        rows = [row for each in plans for row in each.rows]
        smallest_bytes = min(each.smallest_budget_bytes for each in plans)
        if not any(row.fits for row in rows):
            raise too_small_budget(smallest_bytes)
        if as_json:
            print_json(
                {
                    "backbone": backbone,
                    "batch": batch,
                    "image_px": image_px,
                    "classes": classes,
                    "budget_bytes": budget_bytes,
                    "rows": [dataclasses.asdict(row) for row in rows],
                    "smallest_budget_bytes": smallest_bytes,
                    "machine_bytes": machine_bytes(),
                }
            )
            return
        print_table(_table(rows, budgeted=budget_bytes is not None))
        smallest = format_bytes(smallest_bytes, round_up=True)
        say(
            f"{backbone}, {image_px} px, {batch} images a step. "
            f"The smallest budget that would do: {smallest}.",
            "above the model: of a step, the optimiser included; process: all that a device must "
            "have free. Times are rough guesses.",
        )


def _table(rows: "list[PlanRow]", *, budgeted: bool) -> Any:
    columns = (
        ">at once",
        ">above the model, MB",
        ">process, MB",
        ">kept, MB",
        ">s a step, roughly",
    )
    table = make_table(None, "method", *columns, *(["fits"] if budgeted else []))
    for row in rows:
        megabytes = (row.predicted_peak_bytes, row.predicted_process_bytes, row.kept_bytes)
        add_row(
            table,
            row.method,
            row.micro_batch,
            *(f"{each / 1e6:.1f}" for each in megabytes),
            f"{row.step_s:.2g}",
            *(["yes" if row.fits else "no"] if budgeted else []),
        )
    return table
