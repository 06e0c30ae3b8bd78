"""How tables and progress are drawn in a terminal, a narrow one included."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn
from rich.progress import Progress as Bars
from rich.progress import TimeRemainingColumn as TimeLeft
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid
from rich.text import Text

from addapt._text import printable
from addapt.cli.output import Cell, Share, Table

if TYPE_CHECKING:
    from addapt.learning import OnProgress, Progress

GAP = 2  # between columns
LEAST_PATH = 12  # how short a path may become
LEAST_WORD = 20  # a longer word, such as a hash, may go on in the next line
ROOM_FOR_BAR = 75
SHARE = len("100.0%")
SHARE_BAR = 10


def begin(table: Table) -> Callable[[Sequence[list[Cell]]], None]:
    """Draw a table's headings; return what draws rows below them.

    Columns fit the rows of `table`, which are not drawn; where they do not fit side by side, every
    row becomes a block.
    """
    console = Console()
    columns = [[row[k] for row in table.rows] for k in range(len(table.headings))]
    widest, narrowest = [], []
    for heading, column, right in zip(table.headings, columns, table.right, strict=True):
        widest.append(max(map(_widest, [heading.split("\n"), *column])))
        cells = [_widest(cell) if right else _narrowest(cell) for cell in column]
        narrowest.append(max([_widest(heading.split()), *cells]))
    room = console.width - GAP * (len(columns) - 1)
    if sum(narrowest) <= room:
        widths = _fit(widest, narrowest, room)
        console.print(_grid(console, [], widths, table.right, table.headings))
        return lambda rows: console.print(_grid(console, rows, widths, table.right))
    names = [[heading.replace("\n", " ")] for heading in table.headings]
    name_width = max(map(_widest, names))
    widths = [name_width, max(LEAST_PATH, console.width - GAP - name_width)]

    def draw_blocks(rows: Sequence[list[Cell]]) -> None:
        for row in rows:
            block = [list(pair) for pair in zip(names, row, strict=True)]
            console.print(_grid(console, block, widths, [False, False]), "")

    return draw_blocks


def _widest(cell: Cell) -> int:
    """Return the width at which nothing in a cell need break."""
    if isinstance(cell, Share):
        return SHARE + GAP + SHARE_BAR
    lines = [printable(str(cell))] if isinstance(cell, Path) else cell
    return max(map(cell_len, lines), default=0)


def _narrowest(cell: Cell) -> int:
    """Return the width at which a cell is short, but can still be read."""
    if isinstance(cell, Share):
        return _widest(cell)
    if isinstance(cell, Path):
        return min(_widest(cell), LEAST_PATH)
    return min(_widest([word for line in cell for word in line.split()]), LEAST_WORD)


def _fit(widest: list[int], narrowest: list[int], room: int) -> list[int]:
    """Return widths that fit: what is missing is taken where most can be spared."""
    widths = list(widest)
    while sum(widths) > room:
        spare = [width - least for width, least in zip(widths, narrowest, strict=True)]
        widths[spare.index(max(spare))] -= 1
    return widths


def _grid(
    console: Console,
    rows: Sequence[Sequence[Cell]],
    widths: list[int],
    right: list[bool],
    headings: list[str] | None = None,
) -> Grid:
    grid = Grid(
        box=box.SIMPLE_HEAD,
        padding=(0, GAP - 1, 0, 0),  # the box has a space between columns, too
        pad_edge=False,
        show_edge=False,
        show_header=headings is not None,
    )
    for k, width in enumerate(widths):
        heading = Text(headings[k]) if headings else ""
        grid.add_column(
            heading, width=width, justify="right" if right[k] else "left", overflow="fold"
        )
    dots = "…" if console.encoding.startswith("utf") else "..."
    for row in rows:
        grid.add_row(*(_drawn(cell, width, dots) for cell, width in zip(row, widths, strict=True)))
    return grid


def _drawn(cell: Cell, width: int, dots: str) -> Text | Grid:
    if isinstance(cell, Path):
        return Text(_shorten(cell, width, dots))
    if isinstance(cell, list):
        return Text("\n".join(cell))
    pair = Grid.grid(padding=(0, GAP, 0, 0), pad_edge=False)
    pair.add_column(width=SHARE, justify="right")
    pair.add_column(width=SHARE_BAR)
    bar = ProgressBar(1, cell.value or 0, SHARE_BAR, complete_style="cyan", finished_style="cyan")
    pair.add_row(Text(str(cell)), "" if cell.value is None else bar)
    return pair


def _shorten(path: Path, width: int, dots: str) -> str:
    """Leave out the middle of a path; most of the end stays, as it tells files apart."""
    text = printable(str(path))
    if cell_len(text) <= width:
        return text
    room = width - len(dots)
    start, end = room // 3, room - room // 3
    return set_cell_size(text, start) + dots + set_cell_size(text[::-1], end)[::-1]


@contextmanager
def changing_line() -> Iterator[Callable[[str], None]]:
    """Yield what shows a line in the place of the one before; other output goes above it."""
    with Live(console=Console(), auto_refresh=False) as live:

        def show(line: str) -> None:
            live.update(Text(printable(line), no_wrap=True, overflow="ellipsis"), refresh=True)

        yield show


@contextmanager
def draw_progress(*, refresh: bool) -> "Iterator[OnProgress]":
    """Draw a bar for each phase on standard error, with time left and the current accuracy.

    Args:
        refresh: draw several times a second, not only when there is news.
    """
    console = Console(stderr=True)
    roomy = console.width >= ROOM_FOR_BAR
    bar: list[ProgressColumn] = [BarColumn()] if roomy else []
    what = "accuracy " if roomy else ""
    columns = [
        TextColumn("{task.description}"),
        *bar,
        MofNCompleteColumn(),
        TimeLeft(),
        TextColumn("{task.fields[accuracy]}"),
    ]
    # What is printed meanwhile goes where it would go anyway, a file for one.
    bars_only = Bars(*columns, console=console, auto_refresh=refresh, redirect_stdout=False)
    with bars_only as bars:
        tasks = {}
        done: dict[str, int] = {}

        def show(event: "Progress") -> None:
            accuracy = "" if event.accuracy is None else f"{what}{event.accuracy:.1%}"
            if event.phase not in tasks:
                tasks[event.phase] = bars.add_task(event.phase, total=event.total, accuracy="")
            elif event.done < done[event.phase]:  # the next domain of several
                bars.reset(tasks[event.phase])
            done[event.phase] = event.done
            bars.update(
                tasks[event.phase],
                completed=event.done,
                total=event.total,
                accuracy=accuracy,
                refresh=not refresh,
            )

        yield show
