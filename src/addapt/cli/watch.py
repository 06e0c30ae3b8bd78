"""`addapt watch SOURCE`: what a camera, a video or a folder shows now."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from addapt.cli import options
from addapt.cli.opening import open_learner, open_store_learner, warn_unsigned
from addapt.cli.output import NONE, begin_table, command, make_table, print_json, say
from addapt.cli.stopping import StopOnSignal

if TYPE_CHECKING:
    from addapt.watching import Answer, Summary

NOTHING_SURE = "(nothing sure)"
DRAW_EVERY_S = 0.1
LONGEST_VIDEO_S = 1e8  # years; what is later is a date


def watch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A camera (its number, or a path such as /dev/video0), a video file, or a folder "
            "that fills up with images.",
        ),
    ],
    domain: Annotated[
        str | None,
        typer.Option(help="The only domain that is recognised; else any of the store's."),
    ] = None,
    accept: options.Accept = options.USUAL_ACCEPTED,
    no_refuse: options.NoRefuse = False,
    at_least_every: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="Recognise a still scene anew after such a time; 0: never."
        ),
    ] = "5s",
    smooth: Annotated[
        str, typer.Option(metavar="TIME", help="Average the answers of such a time; 0: do not.")
    ] = "0.3s",
    above: Annotated[
        float, typer.Option(help="Tell a class only if it is as probable as this.")
    ] = 0.6,
    every_frame: Annotated[
        bool,
        typer.Option(
            "--every-frame", help="Take all of a video or folder, as fast as can be; drop nothing."
        ),
    ] = False,
    store: options.Store = options.DEFAULT_STORE,
    gates: options.UseGates = None,
    weights: options.Weights = None,
    engine: options.Engine = None,
    device: options.Device = "cpu",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each frame, on a line.")
    ] = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Tell what a camera, a video or a folder shows as it changes."""
    with command(as_json=as_json, debug=debug):
        from addapt.watching import Clock, Summary, Watching

        watching = Watching(
            options.parse_seconds(at_least_every, "--at-least-every"),
            options.parse_seconds(smooth, "--smooth"),
            above,
            every_frame,
        )
        if domain is None:
            learner = open_store_learner(store, weights, engine, device, threads)
        else:
            info, learner = open_learner(store, domain, weights, engine, device, threads)
            if not no_refuse:
                warn_unsigned(domain, info)

        def tell(message: str) -> None:
            say(message, err=True)

        answers = learner.watch(
            source,
            domain,
            accept=None if no_refuse else accept,
            gates=gates,
            watching=watching,
            on_notice=tell,
        )
        summary = Summary(Clock())
        # To be interrupted is how this usually ends, and no failure.
        with StopOnSignal(), suppress(KeyboardInterrupt), _showing(domain is None, as_json) as show:
            for answer in answers:
                summary.add(answer)
                show(answer, summary)
        if as_json:
            print_json({"summary": _summary_fields(summary)})
        else:
            tell(_summary_line(summary))


@contextmanager
def _showing(any_domain: bool, as_json: bool) -> "Iterator[Callable[[Answer, Summary], None]]":
    """Yield what shows an answer: JSON, one changing line, or a line whenever it changes."""
    if as_json:
        yield lambda answer, _: print_json(_fields(answer))
    elif sys.stdout.isatty():
        from addapt.cli.terminal import changing_line

        drawn_s = 0.0
        with changing_line() as show_line:

            def draw(answer: "Answer", summary: "Summary") -> None:
                nonlocal drawn_s
                if answer.changed or time.monotonic() - drawn_s >= DRAW_EVERY_S:
                    drawn_s = time.monotonic()
                    counts = f"{summary.recognised:,} of {summary.seen:,} frames recognised"
                    show_line("  ".join((*_cells(answer, any_domain), counts)))

            yield draw
    else:
        print_row: Callable[..., None] | None = None

        def print_change(answer: "Answer", _: "Summary") -> None:
            nonlocal print_row
            files = () if answer.file is None else (answer.file,)
            if print_row is None:
                domain = ("domain",) if any_domain else ()
                columns = ("time", *domain, "class", ">probability", *("file" for _ in files))
                print_row = begin_table(make_table(None, *columns))
            if answer.changed or files:
                print_row(*_cells(answer, any_domain), *files)

        yield print_change


def _cells(answer: "Answer", any_domain: bool) -> list[str]:
    label, probability = answer.label or NOTHING_SURE, f"{answer.probability:.1%}"
    if answer.refused:
        label, probability = NONE, ""
    domain = [answer.domain or ""] if any_domain else []
    return [_moment(answer.time_s), *domain, label, probability]


def _moment(time_s: float) -> str:
    """Write a time of a video as hours, minutes and seconds, any other as a date."""
    if time_s < LONGEST_VIDEO_S:
        return str(timedelta(seconds=round(time_s, 1)))[:9]
    return datetime.fromtimestamp(time_s).isoformat(" ", "seconds")


def _fields(answer: "Answer") -> dict[str, Any]:
    return {
        "frame": answer.frame,
        "time_s": round(answer.time_s, 3),
        "domain": answer.domain,
        "label": answer.label,
        "probability": None if answer.refused else answer.probability,
        "refused": answer.refused,
        "recognised": answer.recognised,
        "changed": answer.changed,
        "ms": round(answer.recognise_s * 1000, 3),
        **({} if answer.file is None else {"file": str(answer.file)}),
    }


def _summary_fields(summary: "Summary") -> dict[str, Any]:
    return {
        "frames_seen": summary.seen,
        "frames_dropped": summary.seen - summary.answered,
        "recognised": summary.recognised,
        "changes": summary.changes,
        "median_ms": None if summary.median_s is None else round(summary.median_s * 1000, 3),
        "processor_share": round(summary.processor_share, 4),
        "seconds": round(summary.elapsed_s, 3),
    }


def _summary_line(summary: "Summary") -> str:
    median = "" if summary.median_s is None else f", {summary.median_s * 1000:.1f} ms each (median)"
    changes = f"{summary.changes:,} change{'' if summary.changes == 1 else 's'} of the answer"
    return (
        f"{summary.seen:,} frames seen, {summary.seen - summary.answered:,} of them dropped; "
        f"{summary.recognised:,} recognised{median}; {changes}; "
        f"{summary.processor_share:.0%} of a processor core in {summary.elapsed_s:.1f} s."
    )
