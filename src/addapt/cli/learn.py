"""`addapt learn NAME FOLDER`: teach a domain."""

import dataclasses
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from addapt._errors import OptionError
from addapt.cli import options
from addapt.cli.accuracies import accuracy_lines
from addapt.cli.flags import with_flags
from addapt.cli.opening import open_to_learn
from addapt.cli.output import (
    command,
    passed_over_lines,
    print_json,
    progress_bar,
    say,
    warn,
    warn_unreadable,
)
from addapt.cli.stopping import StopOnSignal

if TYPE_CHECKING:
    from addapt.engines.base import Engine
    from addapt.learning import LearnReport, Progress

FEW_CLASSES = 5  # named in a line


def learn(
    name: options.DomainName,
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Folder of class folders, or of train/ and val/ with class folders.",
        ),
    ],
    store: options.Store = options.DEFAULT_STORE,
    method: Annotated[
        str | None, typer.Option(help="How to adapt, by default da3; see `addapt methods`.")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help=f"Frozen network, by default {options.DEFAULT_BACKBONE}; see `addapt backbones`, "
            "or timm:NAME."
        ),
    ] = None,
    weights: options.Weights = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the images; by default the method's.")
    ] = None,
    image_px: Annotated[
        str, typer.Option("--image-px", help='Side of the images, or "auto": as they need it.')
    ] = "auto",
    batch: Annotated[
        int | None, typer.Option(help="Images a training step; by default the method's.")
    ] = None,
    micro_batch: Annotated[
        int | None,
        typer.Option(help="Images in memory at once; by default all, or what --budget allows."),
    ] = None,
    budget: options.Budget = None,
    lr: Annotated[
        float | None, typer.Option(help="Peak learning rate; by default the method's.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides everything random.")] = 0,
    val_fraction: Annotated[
        float, typer.Option(help="Share held out for validation unless FOLDER has val/.")
    ] = 0.1,
    flip: Annotated[
        bool, typer.Option("--flip", help="Mirror images in training; not for digits, letters.")
    ] = False,
    balance: Annotated[
        str,
        typer.Option(
            help="on: give rare classes more weight; off: do not; auto: where they are very rare."
        ),
    ] = "auto",
    cache_mb: Annotated[
        int,
        typer.Option(
            "--cache-mb",
            min=0,
            help="Memory for decoded images, in MB; the others lie in a file on disk.",
        ),
    ] = 0,
    gates: Annotated[
        bool, typer.Option("--gates", help="Let predicting leave out what it can, to be faster.")
    ] = False,
    compute: Annotated[
        float | None,
        typer.Option(
            help="With gates, the share of the multiply-adds that is computed; "
            "by default 0.4 for resolution, 0.6 for blocks."
        ),
    ] = None,
    gate_unit: Annotated[
        str | None,
        typer.Option("--gate-unit", help="What is left out: resolution or blocks."),
    ] = None,
    gate_kind: Annotated[
        str | None,
        typer.Option("--gate-kind", help="static: the same for all images; dynamic: for each."),
    ] = None,
    lose: Annotated[
        float | None,
        typer.Option(
            help="With gates, the points of accuracy that two looks at an image may lose; "
            "instead of a share of the multiply-adds."
        ),
    ] = None,
    engine: options.Engine = None,
    device: options.Device = "cpu",
    save_every: Annotated[
        float,
        typer.Option("--save-every", help="Seconds of work that may be lost in a power cut."),
    ] = 30.0,
    restart: Annotated[
        bool, typer.Option("--restart", help="Learn anew although the domain exists.")
    ] = False,
    extend: Annotated[
        bool,
        typer.Option("--extend", help="Go on with the domain: more images, new classes."),
    ] = False,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Teach a domain from a folder of class folders."""
    with command(as_json=as_json, debug=debug), StopOnSignal() as stop:
        px = _parse_px(image_px)
        budget_bytes = options.parse_budget(budget)
        asked = options.parse_gates(gates, compute, gate_unit, gate_kind, lose)
        from addapt.domains import Store
        from addapt.learning import Controls, Learner
        from addapt.learning.extending import find_start
        from addapt.learning.job import DEFAULT_METHOD
        from addapt.memory import lean_allocator

        # From before the backbone is read, whose blocks are the largest.
        with (
            lean_allocator() if budget_bytes is not None else nullcontext(),
            progress_bar() as show,
        ):

            def watch(progress: "Progress") -> None:
                stop.gently = progress.phase.startswith("learning")
                show(progress)

            controls = Controls(
                on_progress=watch,
                should_stop=lambda: stop.asked,
                save_every_s=save_every,
                cache_bytes=cache_mb * 1_000_000,
                budget_bytes=budget_bytes,
            )
            opened = open_to_learn(
                backbone,
                weights,
                find_start(Store(store), name, restart=restart) if extend else None,
                engine=engine,
                method=method or DEFAULT_METHOD,
                gates=asked,
                device=device,
            )
            if opened.backbone.weights.startswith("random"):
                say(
                    f"Warning: {opened.backbone.name} has random weights, and what is learned "
                    "on them will be poor. Give trained ones with --weights FILE.",
                    err=True,
                )
            learner = Learner(opened, store)
            state = None if restart else learner.store.state_path(name)
            _choose_threads(opened, threads, state, few_images=budget_bytes is not None)
            report = learner.learn(
                name,
                folder,
                restart=restart,
                extend=extend,
                controls=controls,
                method=method,
                epochs=epochs,
                image_px=px,
                batch=batch,
                micro_batch=micro_batch,
                lr=lr,
                seed=seed,
                val_fraction=val_fraction,
                flip=flip,
                gates=asked,
                balance=balance,
            )
        warn_unreadable(report.unreadable)
        warn(report.warnings)
        if as_json:
            print_json(report_fields(report))
        else:
            say(
                f"{_learned(report)}: {len(report.classes)} classes from "
                f"{report.train_images} images of {report.image_px} px in "
                f"{report.learn_s:.0f} s.",
                *accuracy_lines(report),
                *passed_over_lines(report.passed_over),
                f"Saved {report.file} ({report.file_bytes / 1e6:.1f} MB). Use it with",
                f"  addapt predict IMAGE --domain {report.name}",
            )
            if report.left_alone:
                say(f"Learning left alone: {', '.join(report.left_alone)}.")
            if report.value_range:
                low, high = report.value_range
                say(f"Grey values {low:g} to {high:g} of deep images become 0 to 255.")
            if report.gates:
                say(_gates_line(report))
            if report.budget_bytes is not None:
                say(_memory_line(report))


def report_fields(report: "LearnReport") -> dict[str, object]:
    """Return a report as JSON fields."""
    return {
        **dataclasses.asdict(report),
        "classes": len(report.classes),
        "class_names": report.classes,
        "learn_s": round(report.learn_s, 3),
        "warnings": list(map(with_flags, report.warnings)),
    }


def _learned(report: "LearnReport") -> str:
    """Say what was done, and which classes are new."""
    if not report.extended:
        return f"Learned {report.name}"
    new = report.classes[report.extended["classes"] :]
    if not new:
        return f"Extended {report.name}"
    named = ", ".join(new[:FEW_CLASSES]) + (", ..." if new[FEW_CLASSES:] else "")
    return f"Extended {report.name} by {len(new)} classes ({named})"


def _choose_threads(
    engine: "Engine", threads: int | None, state: Path | None, *, few_images: bool
) -> None:
    """Use as many threads as are asked for, or as an unfinished learning had, or the fastest.

    What is left in the folder `state` goes on with its own number, which decides its last bits.
    """
    from addapt.learning import unfinished_threads, use_fastest_threads
    from addapt.learning.threads import BATCH, FEW_IMAGES

    if threads is None and state is not None:
        threads = unfinished_threads(state)
    if threads is not None:
        engine.threads = threads
    else:
        use_fastest_threads(engine, FEW_IMAGES if few_images else BATCH)


def _parse_px(text: str) -> int | None:
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError:
        raise OptionError(f'--image-px is {text!r}: give a number, or "auto".') from None


def _gates_line(report: "LearnReport") -> str:
    """Say what gates leave out, and what that costs in accuracy."""
    said = report.gates["report"]
    kind = "dynamic" if report.gates["dynamic"] else "static"
    line = f"Gates of {report.gates['unit']}, {kind}: {said['compute']:.0%} of the multiply-adds"
    if said["ungated_accuracy"] is None:
        return f"{line}, at {report.image_px} px instead of {report.gates['full_px']}."
    if looks := report.gates.get("looks"):
        second = f"{looks['second_share']:.0%} of the images another at {report.image_px}"
        line += f": a look at {looks['first_px']} px, and for {second}"
    line += f". Accuracy with all gates open {said['ungated_accuracy']:.1%}."
    if said["rescues"]:
        line += f" In training they collapsed {said['rescues']} times, and were set anew."
    return line


def _memory_line(report: "LearnReport") -> str:
    """Say how much memory it took, with a budget."""
    from addapt.memory import format_bytes

    assert report.budget_bytes is not None
    budget = f"the budget of {format_bytes(report.budget_bytes)}"
    if report.process_peak_bytes is None:
        taken = f"cannot be measured on this system; {budget} was planned for"
    elif report.process_peak_bytes <= report.budget_bytes:
        taken = f"{format_bytes(report.process_peak_bytes)} at most, within {budget}"
    else:
        taken = f"{format_bytes(report.process_peak_bytes)} at most, more than {budget}"
    return f"Memory: {taken}, in micro-batches of {report.micro_batch}."
