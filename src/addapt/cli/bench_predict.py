"""`addapt bench predict`: what recognising takes on this machine, engine beside engine."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from addapt._errors import OptionError
from addapt.cli import options
from addapt.cli.bench_file import Save, check_saving, save_result, whole_result
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
    from addapt.bench.predict import ColdRow, PredictRow


def predict(
    backbone: options.Backbone = options.DEFAULT_BACKBONE,
    weights: options.Weights = None,
    image_px: Annotated[
        str, typer.Option("--image-px", help="Sides of the images, with commas between.")
    ] = "224,144,96",
    rounds: Annotated[int, typer.Option(min=1, help="How often each is timed, in turns.")] = 21,
    cold_rounds: Annotated[
        int, typer.Option("--cold-rounds", min=0, help="How often the command is timed.")
    ] = 7,
    threads: options.BenchThreads = 2,
    save: Save = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure time and memory of recognising, by all engines here.

    First 1 and 16 images that are in memory, with DA3; then `addapt predict one.jpg` from a cold
    shell. Close other programs for steady times.
    """
    with command(as_json=as_json, debug=debug):
        check_saving(save)
        sides = _parse_sides(image_px)
        from addapt.bench.answers import Recogniser
        from addapt.bench.predict import engines_for, run_cold, run_warm

        engines = engines_for(backbone)
        chosen = None if weights is None else str(weights)
        given = {
            "backbone": backbone,
            "weights": chosen,
            "image_px": image_px,
            "rounds": rounds,
            "cold_rounds": cold_rounds,
            "threads": threads,
        }
        recognisers = [
            Recogniser(engine, backbone, chosen, px, threads) for px in sides for engine in engines
        ]
        with progress_bar(between_steps=True) as show:
            warm = run_warm(recognisers, rounds, on_progress=show, debug=debug)
            cold = []
            if cold_rounds:
                cold = run_cold(engines, backbone, chosen, threads, cold_rounds, on_progress=show)
        rows = {
            "rows": [dataclasses.asdict(row) for row in warm],
            "cold_rows": [dataclasses.asdict(row) for row in cold],
        }
        result = whole_result(["addapt", "bench", "predict"], given, rows)
        save_result(save, result)
        if as_json:
            print_json(result)
            return
        _print(f"{backbone}, {threads} thread{'s' if threads > 1 else ''}", warm, cold)


def _parse_sides(text: str) -> list[int]:
    from addapt.learning.lesson import MAX_IMAGE_PX, MIN_IMAGE_PX

    sides = [int(word) if word.isdecimal() else 0 for word in options.parse_names(text)]
    if not sides or not all(MIN_IMAGE_PX <= side <= MAX_IMAGE_PX for side in sides):
        raise OptionError(
            f"`image_px` is {text!r}: give sides of {MIN_IMAGE_PX} to {MAX_IMAGE_PX} px with "
            "commas between, such as 224,96."
        )
    return sides


def _print(title: str, warm: "list[PredictRow]", cold: "list[ColdRow]") -> None:
    columns = (">px", ">images", ">process,\nMB", ">ms", ">least\nms", ">faster")
    table = make_table(title, "engine", *columns)
    for row in warm:
        add_row(
            table,
            row.engine,
            row.image_px,
            row.images,
            _megabytes(row.process_bytes),
            f"{row.ms:.1f}",
            f"{row.ms_min:.1f}",
            "-" if row.ratio_time is None else f"{row.ratio_time:.1f}x",
        )
    print_table(table)
    if not cold:
        return
    times = (">seconds", ">least\nseconds", ">CPU\nseconds")
    table = make_table("addapt predict one.jpg", "engine", ">process,\nMB", *times)
    for each in cold:
        cpu = "-" if each.cpu_s is None else f"{each.cpu_s:.2f}"
        process = _megabytes(each.process_bytes)
        add_row(table, each.engine, process, f"{each.wall_s:.2f}", f"{each.wall_s_min:.2f}", cpu)
    print_table(table)
    say("faster: than the engine on PyTorch. Times are medians of the rounds.")


def _megabytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e6:.0f}"
