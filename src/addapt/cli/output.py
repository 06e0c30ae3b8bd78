"""What all commands do around their work: errors, progress, tables, JSON, threads."""

import csv
import io
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from addapt._errors import AddaptError
from addapt._text import printable
from addapt.cli.flags import with_flags

if TYPE_CHECKING:
    from addapt.learning import OnProgress, Progress

INTERRUPTED = 130  # what a shell reports for SIGINT
NONE = "none of these"  # domains, of an image that is refused
LOG_EVERY_S = 30.0  # between two lines about progress, where no bar can be drawn


@dataclass(frozen=True)
class Share:
    """A cell with a share from 0 to 1: a number and, in a terminal, a bar; None: there is none."""

    value: float | None

    def __str__(self) -> str:
        return "–" if self.value is None else f"{self.value:.1%}"


Cell = Path | Share | list[str]  # a list holds lines that are safe to show


@contextmanager
def command(*, as_json: bool, debug: bool) -> Iterator[None]:
    """Run a command's body: errors become a sentence on standard error and exit code 2.

    With `as_json`, standard output holds the error as an object, too.
    """
    try:
        yield
    except KeyboardInterrupt:
        say("Stopped.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except AddaptError as error:
        if debug:
            raise
        message = with_flags(str(error))
        say(f"Error: {message}", err=True)
        if as_json:
            print_json({"error": message})
        raise typer.Exit(error.exit_code) from None


def say(*lines: str, err: bool = False) -> None:
    """Print lines, with `err` on standard error; nothing in them can command the terminal.

    A line break inside one of them, such as in a file's name, is shown as its escape.
    """
    for line in lines:
        typer.echo(printable(line), err=err)


def print_json(value: Any) -> None:
    """Print `value` on a line of standard output; all but ASCII is escaped."""
    typer.echo(json.dumps(value, default=str))


def print_csv(*cells: object) -> None:
    """Print comma-separated values (RFC 4180, UTF-8); names are as `printable` writes them."""
    line = io.StringIO()
    csv.writer(line).writerow([printable(str(cell)) for cell in cells])
    typer.echo(line.getvalue().encode(), nl=False)  # bytes: its line ends stay as they are


@dataclass
class Table:
    """Rows under headings; a line break in a heading is where it breaks in a terminal.

    Columns in `right` are right-aligned and never break, such as numbers.
    """

    title: str | None
    headings: list[str]
    right: list[bool]
    rows: list[list[Cell]] = field(default_factory=list)


def make_table(title: str | None, *columns: str) -> Table:
    """Make an empty table; a column whose heading starts with ">" is right-aligned."""
    right = [column.startswith(">") for column in columns]
    return Table(title, [column.removeprefix(">") for column in columns], right)


def add_row(table: Table, *cells: object) -> None:
    """Add a row; in a narrow terminal a path is shortened and other text wraps at its spaces.

    A cell that is a list has a line for each of its elements.
    """
    table.rows.append(_row(cells))


def _row(cells: Sequence[object]) -> list[Cell]:
    row: list[Cell] = []
    for cell in cells:
        if isinstance(cell, Path | Share):
            row.append(cell)
            continue
        lines = cell if isinstance(cell, list) else [cell]
        row.append([printable(str(line)) for line in lines])
    return row


def print_table(table: Table) -> None:
    r"""Print a table on standard output: fitted to a terminal, else a line for each row.

    A tab separates the cells of such a line. Paths and classes may have spaces in them, but never a
    tab, as `printable` writes its escape: so `cut -f 2` and `awk -F '\t'` cut where a cell ends,
    `cut -s` drops the sentences around the table, and `column -ts $'\t'` aligns the columns.
    """
    _begin(table)(table.rows)


def begin_table(table: Table) -> Callable[..., None]:
    """Print a table's headings; return what prints a row, given its cells as to `add_row`.

    In a terminal the columns fit the rows that the table has already, which are not printed: they
    show what is to come.
    """
    print_rows = _begin(table)
    return lambda *cells: print_rows([_row(cells)])


def _begin(table: Table) -> Callable[[Sequence[list[Cell]]], None]:
    if table.title is not None:
        say(table.title)
    if sys.stdout.isatty():
        from addapt.cli.terminal import begin

        return begin(table)
    typer.echo("\t".join(heading.replace("\n", " ") for heading in table.headings))

    def print_rows(rows: Sequence[list[Cell]]) -> None:
        for row in rows:
            cells = (cell if isinstance(cell, list) else [printable(str(cell))] for cell in row)
            typer.echo("\t".join(", ".join(lines) for lines in cells))

    return print_rows


def warn_unreadable(messages: Iterable[str]) -> None:
    """Tell which images were left out."""
    for message in messages:
        say(f"Left out: {message}", err=True)


def passed_over_lines(counts: Mapping[str, int]) -> list[str]:
    """Say which files lay among the images and were not used; no line if there were none."""
    from addapt.images.passed_over import in_words

    return [f"Passed over: {in_words(counts)}."] if counts else []


def warn(messages: Iterable[str]) -> None:
    """Tell what did not go as it should."""
    for message in messages:
        say(f"Warning: {with_flags(message)}", err=True)


@contextmanager
def progress_bar(*, between_steps: bool = False) -> "Iterator[OnProgress]":
    """Show on standard error how far the work is: a bar, or now and then a line in a log.

    Args:
        between_steps: draw only when there is news, so that what is being timed is not disturbed.
    """
    if sys.stderr.isatty():
        from addapt.cli.terminal import draw_progress

        with draw_progress(refresh=not between_steps) as show:
            yield show
        return
    last_s = time.monotonic()

    def log(event: "Progress") -> None:
        nonlocal last_s
        if time.monotonic() - last_s < LOG_EVERY_S:
            return
        last_s = time.monotonic()
        accuracy = "" if event.accuracy is None else f", accuracy {event.accuracy:.1%}"
        say(f"{event.phase}: {event.done} of {event.total}{accuracy}", err=True)

    yield log
