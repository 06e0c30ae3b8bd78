"""`addapt export NAME FILE.onnx`: a domain as one model for any ONNX runtime."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from addapt.cli import options
from addapt.cli.output import command, print_json, say


def export(
    name: options.DomainName,
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="The model to write.")],
    store: options.Store = options.DEFAULT_STORE,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an older file.")] = False,
    weights: options.Weights = None,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Write a domain as one model for any ONNX runtime."""
    with command(as_json=as_json, debug=debug):
        from addapt.cli.opening import open_learner

        _, learner = open_learner(store, name, weights, None, "cpu", threads)
        report = learner.export(name, file, overwrite=overwrite)
        if as_json:
            print_json(dataclasses.asdict(report))
            return
        say(
            f"Exported {name}: {len(report.classes)} classes, images of {report.image_px} px, "
            f"{report.file_bytes / 1e6:.1f} MB in {file}.",
            f"Its probabilities are those of the domain, within {report.difference:.0e}. "
            "docs/EXPORT.md shows how to run it.",
        )
