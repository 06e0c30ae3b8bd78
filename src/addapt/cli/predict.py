"""`addapt predict IMAGE... --domain NAME`: recognise images."""

from pathlib import Path
from typing import Annotated

import typer

from addapt._errors import DataError
from addapt.cli import options
from addapt.cli.opening import open_learner, say_gates
from addapt.cli.output import (
    add_row,
    command,
    make_table,
    print_json,
    print_table,
    warn_unreadable,
)


def predict(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    domain: Annotated[str, typer.Option(help="The domain that the images belong to.")],
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 3,
    store: options.Store = options.DEFAULT_STORE,
    gates: options.UseGates = None,
    weights: options.Weights = None,
    engine: options.Engine = None,
    device: options.Device = "cpu",
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Recognise images with a domain."""
    with command(as_json=as_json, debug=debug):
        info, learner = open_learner(store, domain, weights, engine, device, threads)
        unreadable: list[str] = []
        predictions = learner.predict(
            images, domain, top=top, gates=gates, on_unreadable=unreadable.append
        )
        warn_unreadable(unreadable)
        if not predictions:
            raise DataError("None of the images can be read: nothing was recognised.")
        if as_json:
            print_json(
                [
                    {
                        "image": str(p.image),
                        "label": p.label,
                        "probability": p.probability,
                        "gated": p.gated,
                        "top": [{"label": label, "probability": value} for label, value in p.top],
                    }
                    for p in predictions
                ]
            )
        else:
            others = len(predictions[0].top) - 1
            table = make_table(None, "image", "class", ">probability", *("next", ">%") * others)
            for p in predictions:
                cells = (cell for label, value in p.top for cell in (label, f"{value:.1%}"))
                add_row(table, p.image, *cells)
            print_table(table)
            say_gates(info, used=predictions[0].gated, wanted=gates)
        if unreadable:
            raise typer.Exit(DataError.exit_code)
