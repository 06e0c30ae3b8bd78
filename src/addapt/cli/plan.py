"""`addapt plan`: what learning will take, before anything is read."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from addapt._errors import OptionError
from addapt.cli import options
from addapt.cli.output import (
    Table,
    add_row,
    command,
    make_table,
    print_json,
    print_table,
    progress_bar,
    say,
)

if TYPE_CHECKING:
    from addapt.learning.plan import PlanRow


def plan(
    backbone: options.Backbone = options.DEFAULT_BACKBONE,
    method: options.Methods = "da3",
    batch: options.Batch = 16,
    image_px: Annotated[int, typer.Option("--image-px", help="Side of the images.")] = 224,
    classes: Annotated[int, typer.Option(min=1, help="Classes of the domain.")] = 10,
    budget: options.Budget = None,
    weights: options.Weights = None,
    engine: options.Engine = None,
    device: options.Device = "cpu",
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Try some steps and say what learning takes, and what fits. One line is one micro-batch."""
    with command(as_json=as_json, debug=debug):
        from addapt.engines.choosing import choose_engine
        from addapt.learning import Progress
        from addapt.learning.controls import CACHE_BYTES
        from addapt.learning.plan import plan as make_plan
        from addapt.learning.plan import require_fit
        from addapt.learning.trial import Question
        from addapt.memory import format_bytes, machine_bytes
        from addapt.methods import build_method

        budget_bytes = options.parse_budget(budget)
        methods = [build_method(name) for name in options.parse_names(method)]
        if not methods:
            raise OptionError("--method is empty: give names such as da3,head.")
        rows: list[PlanRow] = []
        with progress_bar() as show:
            for done, each in enumerate(methods):
                show(Progress("trying steps", done, len(methods)))
                question = Question(each, classes, image_px, batch)
                order = {
                    "engine": choose_engine(engine, backbone=backbone, method=each, device=device),
                    "backbone": backbone,
                    "weights": None if weights is None else str(weights),
                    "device": device,
                    "threads": threads,
                }
                rows += make_plan(order, question, budget_bytes)
            show(Progress("trying steps", len(methods), len(methods)))
        require_fit(rows)
        smallest_bytes = min(row.process_bytes for row in rows)
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
        say(
            f"{backbone}, {image_px} px, {batch} images a step. "
            f"The smallest budget that would do: {format_bytes(smallest_bytes, round_up=True)}.",
            "above the model: what learning adds; process: all that a device must have free, and "
            f"up to {format_bytes(CACHE_BYTES)} more for decoded images (learn --cache-mb).",
        )


def _table(rows: "list[PlanRow]", *, budgeted: bool) -> Table:
    columns = (">at once", ">above the\nmodel, MB", ">process,\nMB", ">s a step,\nroughly")
    table = make_table(None, "method", *columns, *(["fits"] if budgeted else []))
    for row in rows:
        add_row(
            table,
            row.method,
            row.micro_batch,
            f"{row.above_bytes / 1e6:.1f}",
            f"{row.process_bytes / 1e6:.1f}",
            f"{row.step_s:.2g}",
            *(["yes" if row.fits else "no"] if budgeted else []),
        )
    return table
