"""`addapt demo`: four real domains, one after another, and then their images mixed."""

from pathlib import Path
from typing import Annotated

import typer

from addapt._errors import DomainError
from addapt.cli import options
from addapt.cli.output import (
    NONE,
    add_row,
    command,
    make_table,
    print_json,
    print_table,
    progress_bar,
    say,
)
from addapt.cli.stopping import StopOnSignal


def demo(
    folder: Annotated[
        Path, typer.Option(help="Gets the images, the domains and report.html.")
    ] = Path("demo"),
    store: Annotated[
        Path | None,
        typer.Option("--store", help="Folder that keeps the domains; FOLDER/domains by default."),
    ] = None,
    engine: options.Engine = None,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Learn four real domains in turn and show that none changes."""
    with command(as_json=as_json, debug=debug), StopOnSignal():
        from addapt.demo.mixed import went_where
        from addapt.demo.report import check_packages, places_of, write_report
        from addapt.demo.run import run_demo, run_mixed, summary
        from addapt.engines import open_engine
        from addapt.learning import use_fastest_threads

        check_packages()
        if store is not None:
            _refuse_taken_names(store)
        opened = open_engine("efficientnet_lite0", engine=engine)
        if threads is None:
            use_fastest_threads(opened)
        else:
            opened.threads = threads
        with progress_bar() as show:
            domains = run_demo(
                opened,
                folder,
                store or folder / "domains",
                announce=lambda text: say(text, err=True),
                on_progress=show,
            )
        say("a mixed folder: which domain each image is of, or none", err=True)
        mixed = run_mixed(opened, domains, folder, store or folder / "domains")
        write_report(domains, mixed, opened, folder / "report.html")
        result = summary(domains, mixed, opened.threads)
        changed = result["changed_logits"]
        if as_json:
            print_json(result)
            raise typer.Exit(1 if changed else 0)
        table = make_table(
            None,
            "domain",
            ">classes",
            ">px",
            ">head only",
            ">DA3",
            ">expected",
            ">file, MB",
            ">seconds",
        )
        for domain in domains:
            add_row(
                table,
                domain.source.name,
                len(domain.report.classes),
                domain.report.image_px,
                f"{domain.head_accuracy:.1%}",
                f"{domain.da3_accuracy:.1%}",
                domain.source.expected_words,
                f"{domain.report.file_bytes / 1e6:.2f}",
                f"{domain.report.learn_s:.0f}",
            )
        print_table(table)
        say("Expected: DA3's lowest and highest of five runs with different seeds.")
        places = places_of(domains, mixed)
        titles = (f">{place or NONE}" for place in places)
        table = make_table("Mixed: what went where", "images of", *titles, ">right")
        for row in went_where(mixed):
            counts = (row.went_to.get(place, 0) for place in places)
            add_row(table, row.name, *counts, f"{row.right} of {row.images}")
        print_table(table)
        say(f"Try it: addapt predict {folder / 'mixed'} --store {store or folder / 'domains'}")
        say(f"Logits of earlier domains that changed: {changed}")
        say(f"Report: {folder / 'report.html'}")
        raise typer.Exit(1 if changed else 0)  # it never should: see the report


def _refuse_taken_names(store: Path) -> None:
    """Refuse to learn the demo's domains over the user's own of the same names."""
    from addapt.demo.images import SOURCES
    from addapt.domains import Store

    taken = {source.name for source in SOURCES} & set(Store(store).names())
    if taken:
        raise DomainError(
            f"The store {store} has domains that the demo would replace: "
            f"{', '.join(sorted(taken))}. Give another --store, or none."
        )
