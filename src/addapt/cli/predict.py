"""`addapt predict IMAGE...`: recognise images, however many, of one domain or of any."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from addapt._errors import DataError, OptionError
from addapt.cli import options
from addapt.cli.opening import open_learner, open_store_learner, say_gates, warn_unsigned
from addapt.cli.output import (
    NONE,
    Table,
    add_row,
    begin_table,
    command,
    make_table,
    print_csv,
    print_json,
    progress_bar,
    warn,
    warn_unreadable,
)

if TYPE_CHECKING:
    from addapt.cli.named_images import NamedImages
    from addapt.domains import DomainInfo
    from addapt.learning import Recognition

FEW_IMAGES = 20  # are done before one would look at a bar
LOOKED_AT = 100  # names, for how wide their column should be
USUAL_NAME = Path("x" * 32)


def predict(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...",
            help='Image files, folders, patterns in quotes such as "photos/**/*.jpg", '
            "or - for names on standard input.",
        ),
    ],
    domain: Annotated[
        str | None,
        typer.Option(help="The only domain that they may be of; else any of the store's."),
    ] = None,
    accept: options.Accept = options.USUAL_ACCEPTED,
    no_refuse: options.NoRefuse = False,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 3,
    null: Annotated[
        bool,
        typer.Option("--null", "-0", help="Names on standard input end with a zero byte."),
    ] = False,
    store: options.Store = options.DEFAULT_STORE,
    gates: options.UseGates = None,
    weights: options.Weights = None,
    engine: options.Engine = None,
    device: options.Device = "cpu",
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print comma-separated values, with a header.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each image, on a line.")
    ] = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Say which domain images are of, if any, and what they show."""
    with command(as_json=as_json, debug=debug):
        if as_csv and as_json:
            raise OptionError("Give --csv or --json, not both.")
        from addapt.cli.named_images import NamedImages

        named = NamedImages(images, b"\0" if null else b"\n")
        named.require_images()
        if domain is None:
            learner = open_store_learner(store, weights, engine, device, threads)
            infos = {}
        else:
            info, learner = open_learner(store, domain, weights, engine, device, threads)
            infos = {domain: info}
            if not no_refuse:
                warn_unsigned(domain, info)
        print_one: Callable[[Recognition], None] | None = None
        left_out, gated = 0, dict[str, bool]()
        with _counting(named) as count:

            def leave_out(message: str) -> None:
                nonlocal left_out
                left_out += 1
                warn_unreadable([message])
                count()

            for found in learner.recognise_each(
                iter(named) if named.come_later else named,
                domain,
                top=top,
                gates=gates,
                accept=None if no_refuse else accept,
                on_unreadable=leave_out,
                on_left_out=lambda message: warn([message]),
            ):
                if print_one is None:
                    if as_json:
                        print_one = _print_object
                    elif as_csv:
                        print_one = _begin_csv(top, infos)
                    else:
                        print_one = _begin_rows(named, top, infos)
                print_one(found)
                gated[found.nearest] = found.gated
                count()
        if print_one is None and not left_out:
            raise DataError(
                "Standard input names no image. Give names, one a line, or files and folders "
                "instead of -."
            )
        if print_one is None:
            raise DataError("None of the images can be read: nothing was recognised.")
        if not (as_json or as_csv):
            for name, used in gated.items():
                say_gates(infos.get(name) or learner.store.info(name), used=used, wanted=gates)
        if left_out:
            raise typer.Exit(DataError.exit_code)


def _print_object(found: "Recognition") -> None:
    print_json(
        {
            "image": str(found.image),
            "domain": found.domain,
            "label": found.label,
            "probability": found.probability,
            "refused": found.domain is None,
            "nearest": found.nearest,
            "distance": found.distance,
            "limit": found.limit,
            "looks": found.looks,
            "distances": found.distances,
            "gated": found.gated,
            "top": [{"label": label, "probability": value} for label, value in found.top],
        }
    )


def _columns(top: int, infos: "dict[str, DomainInfo]") -> int:
    """Return how many classes to tell: of one domain all that are asked for, of several the best.

    Beside the domain there is room for one, and the next ones are of no use where it is wrong.
    """
    return min(top, *(len(info.classes) for info in infos.values())) if infos else 1


def _cells(found: "Recognition", columns: int, percent: str) -> list[str]:
    """Return classes and probabilities, or that the image is of none."""
    if found.domain is None:
        return [NONE, *[""] * (2 * columns - 1)]
    return [cell for label, value in found.top[:columns] for cell in (label, f"{value:{percent}}")]


def _begin_csv(top: int, infos: "dict[str, DomainInfo]") -> "Callable[[Recognition], None]":
    columns = _columns(top, infos)
    more = (name for i in range(2, columns + 1) for name in (f"class {i}", f"probability {i}"))
    print_csv("image", *([] if infos else ["nearest domain"]), "class", "probability", *more)

    def print_one(found: "Recognition") -> None:
        nearest = [] if infos else [found.nearest]
        print_csv(found.image, *nearest, *_cells(found, columns, ".6f"))

    return print_one


def _begin_rows(
    named: "NamedImages", top: int, infos: "dict[str, DomainInfo]"
) -> "Callable[[Recognition], None]":
    columns = _columns(top, infos)
    print_row = begin_table(_examples(named, infos, columns))

    def print_one(found: "Recognition") -> None:
        nearest = [] if infos else [found.nearest]
        print_row(found.image, *nearest, *_cells(found, columns, ".1%"))

    return print_one


def _examples(named: "NamedImages", infos: "dict[str, DomainInfo]", classes: int) -> Table:
    """Make the table with rows as wide as those to come, as far as these are known."""
    domain = [] if infos else ["nearest domain"]
    next_ones = ("next", ">%") * (classes - 1)
    table = make_table(None, "image", *domain, "class", ">probability", *next_ones)
    if sys.stdout.isatty():
        names = [USUAL_NAME] if named.come_later else islice(named, LOOKED_AT)
        labels = [label for info in infos.values() for label in info.classes] or [NONE]
        for name, label in zip_longest(names, labels):
            usual = [] if infos else ["x" * 12]
            add_row(table, name or Path(), *usual, *(label or "", f"{1:.1%}") * classes)
    return table


@contextmanager
def _counting(named: "NamedImages") -> Iterator[Callable[[], None]]:
    """Yield what to call for each image: it shows how far the work is, where rows do not."""
    if sys.stdout.isatty() or named.come_later:
        yield lambda: None
        return
    total = sum(1 for _ in named)
    if total <= FEW_IMAGES:
        yield lambda: None
        return
    from addapt.learning import Progress

    done = 0
    with progress_bar() as show:

        def count() -> None:
            nonlocal done
            done += 1
            show(Progress("recognising", done, total))

        yield count
