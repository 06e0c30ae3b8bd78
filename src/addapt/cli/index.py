"""`addapt index NAME FOLDER`: a signature for a domain whose file has none."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from addapt.cli import options
from addapt.cli.opening import open_learner
from addapt.cli.output import command, print_json, progress_bar, say, warn, warn_unreadable


def index(
    name: options.DomainName,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The images that it was learned from.")
    ],
    store: options.Store = options.DEFAULT_STORE,
    weights: options.Weights = None,
    engine: options.Engine = None,
    device: options.Device = "cpu",
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Give a domain of an older version a signature."""
    with command(as_json=as_json, debug=debug):
        from addapt.learning import Controls

        _, learner = open_learner(store, name, weights, engine, device, threads)
        with progress_bar() as show:
            report = learner.index(name, folder, controls=Controls(on_progress=show))
        warn_unreadable(report.unreadable)
        warn(report.warnings)
        if as_json:
            print_json(dataclasses.asdict(report))
            return
        say(
            f"{report.file} has a signature now, measured on {report.images} images held out. "
            f"`addapt predict IMAGE` finds {name} by itself."
        )
