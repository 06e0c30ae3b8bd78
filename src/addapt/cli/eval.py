"""`addapt eval NAME FOLDER`: measure a domain's accuracy."""

from pathlib import Path
from typing import Annotated

import typer

from addapt.cli import options
from addapt.cli.opening import open_learner, say_gates
from addapt.cli.output import (
    add_row,
    command,
    make_table,
    print_json,
    print_table,
    progress_bar,
    say,
    warn_unreadable,
)


def evaluate(
    name: options.DomainName,
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="Folder of class folders; its test/ or val/ if it has such."
        ),
    ],
    store: options.Store = options.DEFAULT_STORE,
    confusion: Annotated[
        Path | None,
        typer.Option(help="Write the confusion matrix as an image to this .png, .svg or .pdf."),
    ] = None,
    gates: options.UseGates = None,
    weights: options.Weights = None,
    engine: options.Engine = None,
    device: options.Device = "cpu",
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Measure a domain's accuracy on a folder of images."""
    with command(as_json=as_json, debug=debug):
        from addapt.cli.confusion import check_drawing, draw_confusion
        from addapt.learning import Controls

        if confusion is not None:
            check_drawing(confusion)
        info, learner = open_learner(store, name, weights, engine, device, threads)
        with progress_bar() as show:
            evaluation = learner.evaluate(
                name, folder, gates=gates, controls=Controls(on_progress=show)
            )
        warn_unreadable(evaluation.unreadable)
        if confusion is not None:
            draw_confusion(evaluation, confusion)
        if as_json:
            print_json(
                {
                    "domain": name,
                    "accuracy": evaluation.accuracy,
                    "images": evaluation.images,
                    "gated": evaluation.gated,
                    "per_class": [vars(score) for score in evaluation.per_class],
                    "confusion": evaluation.confusion.tolist(),
                    "unreadable": list(evaluation.unreadable),
                }
            )
            return
        title = f"{name}: {evaluation.accuracy:.1%} of {evaluation.images} images recognised"
        table = make_table(title, "class", ">images", ">recognised", ">accuracy")
        for score in evaluation.per_class:
            accuracy = "–" if score.accuracy is None else f"{score.accuracy:.1%}"
            add_row(table, score.label, f"{score.images}", f"{score.correct}", accuracy)
        print_table(table)
        say_gates(info, used=evaluation.gated, wanted=gates)
        if confusion is not None:
            say(f"Wrote {confusion}.")
