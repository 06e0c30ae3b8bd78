"""`addapt bench gates`: what the gates of domains save here, and what they cost."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from addapt.cli import options
from addapt.cli.drawing import check_chart
from addapt.cli.opening import open_learner
from addapt.cli.output import (
    add_row,
    command,
    make_table,
    print_json,
    print_table,
    progress_bar,
    say,
)

if TYPE_CHECKING:
    from addapt.bench.gates import GatesRow


def gates(
    name: options.DomainName,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Class folders of images not learned from.")
    ],
    store: options.Store = options.DEFAULT_STORE,
    rounds: Annotated[int, typer.Option(min=1, help="How often each image is timed.")] = 7,
    gates_only: Annotated[
        bool, typer.Option("--gates-only", help="Leave out times: what the gates do, no more.")
    ] = False,
    chart: Annotated[
        Path | None, typer.Option(help="Draw which gates open to this .png, .svg or .pdf.")
    ] = None,
    weights: options.Weights = None,
    engine: options.Engine = None,
    device: options.Device = "cpu",
    threads: options.BenchThreads = 2,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure a domain with its gates and with all open, in turns."""
    with command(as_json=as_json, debug=debug):
        if chart is not None:
            check_chart(chart)
        _, learner = open_learner(store, name, weights, engine, device, threads)
        from addapt.bench.gates import bench_gates

        with progress_bar() as show:
            row = bench_gates(
                learner, name, folder, rounds, gates_only=gates_only, on_progress=show
            )
        if chart is not None:
            from addapt.bench.gates_chart import draw_gates

            draw_gates(row, chart)
        if as_json:
            print_json({"rows": [dataclasses.asdict(row)], "threads": threads, "rounds": rounds})
            return
        _print(row)
        if chart is not None:
            say(f"Wrote {chart}.")


def _print(row: "GatesRow") -> None:
    title = f"{row.domain}: {row.kind} gates of {row.unit}, {row.images} images"
    table = make_table(title, "", ">with gates", ">all open", ">times less")
    add_row(table, "accuracy", f"{row.accuracy:.1%}", f"{row.ungated_accuracy:.1%}", "")
    pairs = {
        "multiply-adds, millions": (row.multiply_adds / 1e6, row.ungated_multiply_adds / 1e6),
        "ms an image": (row.ms_batch1, row.ungated_ms_batch1),
        "ms a batch of 16": (row.ms_batch16, row.ungated_ms_batch16),
    }
    for label, (gated, ungated) in pairs.items():
        if gated is not None and ungated is not None:
            add_row(table, label, f"{gated:.1f}", f"{ungated:.1f}", f"{ungated / gated:.2f}x")
    print_table(table)
