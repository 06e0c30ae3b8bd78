"""What all commands do around their work: errors, progress, JSON, threads."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import typer

from addapt._errors import AddaptError
from addapt._text import printable

if TYPE_CHECKING:
    from rich.table import Table

    from addapt.learning import OnProgress

INTERRUPTED = 130  # what a shell reports for SIGINT


@contextmanager
def command(*, as_json: bool, debug: bool, threads: int | None = None) -> Iterator[None]:
    """Run a command's body: errors become a sentence on standard error and exit code 2.

    With `as_json`, standard output holds the error as an object, too.
    """
    try:
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        yield
    except KeyboardInterrupt:
        say("Stopped.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except AddaptError as error:
        if debug:
            raise
        say(f"Error: {error}", err=True)
        if as_json:
            print_json({"error": str(error)})
        raise typer.Exit(error.exit_code) from None


def say(*lines: str, err: bool = False) -> None:
    """Print lines; nothing in them, such as a file's name, can command the terminal.

    Args:
        lines: a line break inside one of them is shown as its escape.
        err: on standard error instead of standard output.
    """
    for line in lines:
        typer.echo(printable(line), err=err)


def print_json(value: Any) -> None:
    """Print `value` as the only thing on standard output; all but ASCII is escaped."""
    typer.echo(json.dumps(value, default=str))


def print_table(table: "Table") -> None:
    """Print a table on standard output, as wide as the terminal allows."""
    from rich.console import Console

    Console().print(table)


def make_table(title: str | None, *columns: str) -> "Table":
    """Make an empty table; a column whose heading starts with ">" is right-aligned."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title and Text(printable(title)), box=box.SIMPLE_HEAD, title_justify="left")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.startswith(">") else "left"
        table.add_column(column.removeprefix(">"), justify=justify, overflow="fold")
    return table


def add_row(table: "Table", *cells: object) -> None:
    """Add a row of plain text: brackets in a class's name are not mark-up.

    A cell that is a list has a line for each of its elements.
    """
    from rich.text import Text

    lines = (cell if isinstance(cell, list) else [cell] for cell in cells)
    table.add_row(*(Text("\n".join(printable(str(line)) for line in cell)) for cell in lines))


def warn_unreadable(messages: Iterable[str]) -> None:
    """Tell which images were left out."""
    for message in messages:
        say(f"Left out: {message}", err=True)


@contextmanager
def progress_bar() -> "Iterator[OnProgress]":
    """Show a bar on standard error with time left and the current accuracy."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    from addapt.learning.progress import Progress as Event

    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeLeft(),
        TextColumn("{task.fields[accuracy]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, Any] = {}

        done: dict[str, int] = {}

        def show(event: Event) -> None:
            accuracy = "" if event.accuracy is None else f"accuracy {event.accuracy:.1%}"
            if event.phase not in tasks:
                tasks[event.phase] = bar.add_task(event.phase, total=event.total, accuracy="")
            elif event.done < done[event.phase]:  # the next domain of several
                bar.reset(tasks[event.phase])
            done[event.phase] = event.done
            bar.update(
                tasks[event.phase], completed=event.done, total=event.total, accuracy=accuracy
            )

        yield show
