"""`addapt eval NAME FOLDER`: measure a domain's accuracy."""

from pathlib import Path
from typing import Annotated

import typer

from addapt.cli import options
from addapt.cli.accuracies import evaluation_lines
from addapt.cli.opening import open_learner, say_gates
from addapt.cli.output import (
    command,
    passed_over_lines,
    print_json,
    progress_bar,
    say,
    warn,
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
    mistakes: Annotated[
        int | None, typer.Option(min=1, help="List so many mistakes, the most confident first.")
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Write thumbnails of them, else of 20, to this .png or .html."),
    ] = None,
    all_classes: Annotated[
        bool, typer.Option("--all-classes", help="Show all classes, not only the weakest of many.")
    ] = False,
    per_class: Annotated[
        Path | None,
        typer.Option(help="Draw a bar for each class in this .png, .svg or .pdf."),
    ] = None,
    confusion: Annotated[
        Path | None,
        typer.Option(help="Draw the confusion matrix in this .png, .svg or .pdf."),
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
        from addapt.cli.confusion import draw_confusion
        from addapt.cli.drawing import check_chart
        from addapt.cli.mistakes import image_fields, print_mistakes
        from addapt.cli.per_class import draw_per_class, print_classes
        from addapt.cli.sheet import MISTAKES, check_sheet, draw_sheet
        from addapt.learning import Controls

        for chart in (per_class, confusion):
            if chart is not None:
                check_chart(chart)
        if sheet is not None:
            check_sheet(sheet)
        info, learner = open_learner(store, name, weights, engine, device, threads)
        with progress_bar() as show:
            evaluation = learner.evaluate(
                name, folder, gates=gates, controls=Controls(on_progress=show)
            )
        warn_unreadable(evaluation.unreadable)
        warn(evaluation.warnings)
        if per_class is not None:
            draw_per_class(evaluation, per_class)
        if confusion is not None:
            draw_confusion(evaluation, confusion)
        if sheet is not None:
            draw_sheet(evaluation, mistakes or MISTAKES, sheet)
        if as_json:
            print_json(
                {
                    "domain": name,
                    "accuracy": evaluation.accuracy,
                    "balanced_accuracy": evaluation.balanced_accuracy,
                    "weakest": vars(evaluation.weakest),
                    "interval": list(evaluation.interval),
                    "images": evaluation.images,
                    "calibration_error": evaluation.calibration_error,
                    "accepted": evaluation.accepted,
                    "gated": evaluation.gated,
                    "per_class": [vars(score) for score in evaluation.per_class],
                    "per_image": image_fields(evaluation.per_image),
                    "mistakes": mistakes and image_fields(evaluation.mistakes(mistakes)),
                    "confusion": evaluation.confusion.tolist(),
                    "unreadable": list(evaluation.unreadable),
                    "passed_over": evaluation.passed_over,
                    "copies": evaluation.copies,
                    "warnings": list(evaluation.warnings),
                }
            )
            return
        print_classes(evaluation, every=all_classes)
        say(*evaluation_lines(evaluation))
        say(*passed_over_lines(evaluation.passed_over))
        say_gates(info, used=evaluation.gated, wanted=gates)
        if mistakes is not None:
            print_mistakes(evaluation, mistakes)
        say(*(f"Wrote {path}." for path in (per_class, confusion, sheet) if path is not None))
