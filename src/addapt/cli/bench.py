"""`addapt bench step`: what a training step takes on this machine."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from addapt.cli import options
from addapt.cli.bench_file import Save, check_saving, save_result, whole_result
from addapt.cli.drawing import check_chart
from addapt.cli.flags import with_flags
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
from addapt.memory.allocator import Allocator

if TYPE_CHECKING:
    from addapt.bench.contender import Workload
    from addapt.bench.step import StepRow

bench = typer.Typer(help="Measure on this machine.", no_args_is_help=True)

NOISY = 0.2  # times spread by more tell about other programs, too

LEGEND = """\
x: how many times less than fine-tuning.
at once: images in memory at a time; *: weights in the processor's own order.
process: most that the whole process ever holds, Python and libraries included.
memory: most that three steps take above the loaded model, with the optimiser.
kept: what autograd keeps for backward; - where that cannot be known."""


@bench.callback()
def _group() -> None:
    """Measure on this machine."""


@bench.command()
def step(
    backbone: options.Backbone = options.DEFAULT_BACKBONE,
    weights: options.Weights = None,
    methods: options.Methods = "finetune,da3,eager:bias,eager:bias+checkpointing",
    batch: options.Batch = 8,
    image_px: options.ImagePx = None,
    rounds: Annotated[int, typer.Option(help="Timed steps of each, taking turns.")] = 7,
    threads: options.BenchThreads = 2,
    device: options.Device = "cpu",
    allocator: Annotated[
        Allocator,
        typer.Option(
            help="lean gives freed memory back at once, as learn --budget does; system keeps it."
        ),
    ] = Allocator.lean,
    save: Save = None,
    chart: Annotated[
        Path | None, typer.Option(help="Draw memory and time to this .png, .svg or .pdf.")
    ] = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure memory and time of a training step, beside fine-tuning.

    Every method runs in a process of its own, fine-tuning in plain PyTorch. "eager:bias" and
    "eager:bias+checkpointing" train the biases in plain PyTorch, as one would without addapt;
    "bias" is addapt's own way. "eager:finetune", "eager:series_adapter", "eager:parallel_adapter"
    and "eager:piggyback" are the paper's rivals as their authors run them. A method has up to
    four rows: "da3:device" is the engine without PyTorch, "da3:smallest", "da3:default" and
    "da3:fastest" are that on PyTorch, "da3" is all.
    Close other programs for steady times.
    """
    with command(as_json=as_json, debug=debug):
        if chart is not None:
            check_chart(chart)
        check_saving(save)
        from addapt.bench.contender import Workload, check_comparison
        from addapt.bench.step import run_comparison
        from addapt.engines import native_px

        names = options.parse_names(methods)
        workload = Workload(
            backbone=backbone,
            weights=None if weights is None else str(weights),
            batch=batch,
            image_px=image_px or native_px(backbone),
            threads=threads,
            device=device,
            allocator=allocator.value,
        )
        check_comparison(names, workload, rounds)
        with progress_bar(between_steps=True) as show:
            rows = run_comparison(names, workload, rounds, on_progress=show, debug=debug)
        result = _result(rows, names, workload, rounds)
        save_result(save, result)
        if chart is not None:
            from addapt.bench.chart import draw_comparison

            draw_comparison(rows, _title(workload), chart)
        for row in rows:
            if row.error is not None:
                say(f"{row.method} ({row.setting}) failed: {with_flags(row.error)}.", err=True)
        if as_json:
            print_json(result)
            return
        print_table(_table(rows, _title(workload)))
        say(*LEGEND.splitlines())
        say(*_spread_words(rows).splitlines())


def _title(workload: "Workload") -> str:
    return (
        f"{workload.backbone}, {workload.image_px} px, batch {workload.batch}, "
        f"{workload.device}, {workload.threads} thread{'s' if workload.threads > 1 else ''}"
    )


def _table(rows: "list[StepRow]", title: str) -> Table:
    from addapt.bench.contender import WHOLE_BATCH

    numbers = (">at\nonce", ">process,\nMB", ">memory,\nMB", ">kept,\nMB", ">ms a\nstep")
    table = make_table(title, "method", "engine", *numbers)
    for row in rows:
        setting = "" if row.setting == WHOLE_BATCH else f" {row.setting}"
        add_row(
            table,
            row.method.replace("+", " + ") + setting,
            row.engine,
            f"{row.micro_batch}{'*' if row.packed else ''}",
            _cell(row.process_bytes, 1e6, row.ratio_process),
            _cell(row.peak_bytes, 1e6, row.ratio_memory),
            _cell(row.kept_bytes, 1e6, row.ratio_kept),
            _cell(row.step_s, 1e-3, row.ratio_time),
        )
    return table


def _cell(value: float | None, unit: float, ratio: float | None) -> str:
    """Write a number and, if it is known, the ratio: "25.1 6.2x"."""
    if value is None:
        return "-"
    amount = value / unit
    words = f"{amount:.{2 if amount < 10 else 1 if amount < 100 else 0}f}"
    if ratio is None:
        return words
    factor = f"{ratio:.{1 if ratio < 10 else 0}f}x"
    return f"{words} {factor:>4}"


def _spread_words(rows: "list[StepRow]") -> str:
    """Say how far the times of the rounds lie apart, in the worst row."""
    spreads = [
        row.step_s_spread / row.step_s
        for row in rows
        if row.step_s and row.step_s_spread is not None
    ]
    if not spreads:
        return "No time could be measured."
    return (
        f"ms a step: the median; a row's middle half spreads over up to {max(spreads):.0%} of it"
        + (":\nclose other programs and try again." if max(spreads) > NOISY else ".")
    )


def _result(
    rows: "list[StepRow]", names: list[str], workload: "Workload", rounds: int
) -> dict[str, Any]:
    from addapt.bench.remote import ALLOCATORS

    return whole_result(
        ["addapt", "bench", "step", "--methods", ",".join(names)],
        {**dataclasses.asdict(workload), "rounds": rounds},
        {
            "rows": [dataclasses.asdict(row) for row in rows],
            "environment": ALLOCATORS[workload.allocator],
        },
    )
