"""`addapt predict IMAGE... --domain NAME`: recognise images, however many."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from addapt._errors import DataError, OptionError
from addapt.cli import options
from addapt.cli.opening import open_learner, say_gates
from addapt.cli.output import (
    Table,
    add_row,
    begin_table,
    command,
    make_table,
    print_csv,
    print_json,
    progress_bar,
    warn_unreadable,
)

if TYPE_CHECKING:
    from addapt.cli.named_images import NamedImages
    from addapt.learning import Prediction

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
    domain: Annotated[str, typer.Option(help="The domain that the images belong to.")],
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
    """Recognise images with a domain, however many."""
    with command(as_json=as_json, debug=debug):
        if as_csv and as_json:
            raise OptionError("Give --csv or --json, not both.")
        from addapt.cli.named_images import NamedImages

        named = NamedImages(images, b"\0" if null else b"\n")
        named.require_images()
        info, learner = open_learner(store, domain, weights, engine, device, threads)
        columns = min(top, len(info.classes))
        print_one: Callable[[Prediction], None] | None = None
        left_out = 0
        with _counting(named) as count:

            def leave_out(message: str) -> None:
                nonlocal left_out
                left_out += 1
                warn_unreadable([message])
                count()

            for prediction in learner.predict_each(
                iter(named) if named.come_later else named,
                domain,
                top=top,
                gates=gates,
                on_unreadable=leave_out,
            ):
                if print_one is None:
                    if as_json:
                        print_one = _print_object
                    elif as_csv:
                        print_one = _begin_csv(columns)
                    else:
                        print_one = _begin_rows(_examples(named, info.classes, columns))
                print_one(prediction)
                count()
        if print_one is None and not left_out:
            raise DataError(
                "Standard input names no image. Give names, one a line, or files and folders "
                "instead of -."
            )
        if print_one is None:
            raise DataError("None of the images can be read: nothing was recognised.")
        if not (as_json or as_csv):
            say_gates(info, used=prediction.gated, wanted=gates)
        if left_out:
            raise typer.Exit(DataError.exit_code)


def _print_object(prediction: "Prediction") -> None:
    print_json(
        {
            "image": str(prediction.image),
            "label": prediction.label,
            "probability": prediction.probability,
            "gated": prediction.gated,
            "top": [{"label": label, "probability": value} for label, value in prediction.top],
        }
    )


def _begin_csv(classes: int) -> "Callable[[Prediction], None]":
    more = (name for i in range(2, classes + 1) for name in (f"class {i}", f"probability {i}"))
    print_csv("image", "class", "probability", *more)

    def print_one(prediction: "Prediction") -> None:
        cells = (cell for label, value in prediction.top for cell in (label, f"{value:.6f}"))
        print_csv(prediction.image, *cells)

    return print_one


def _begin_rows(examples: Table) -> "Callable[[Prediction], None]":
    print_row = begin_table(examples)

    def print_one(prediction: "Prediction") -> None:
        cells = (cell for label, value in prediction.top for cell in (label, f"{value:.1%}"))
        print_row(prediction.image, *cells)

    return print_one


def _examples(named: "NamedImages", labels: tuple[str, ...], classes: int) -> Table:
    """Make the table with rows as wide as those to come, as far as these are known."""
    table = make_table(None, "image", "class", ">probability", *("next", ">%") * (classes - 1))
    if sys.stdout.isatty():
        names = [USUAL_NAME] if named.come_later else islice(named, LOOKED_AT)
        for name, label in zip_longest(names, labels):
            add_row(table, name or Path(), *(label or "", f"{1:.1%}") * classes)
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
