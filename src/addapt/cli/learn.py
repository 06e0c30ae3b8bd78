"""`addapt learn NAME FOLDER`: teach a domain."""

import dataclasses
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from addapt._errors import OptionError
from addapt.cli import options
from addapt.cli.output import command, print_json, progress_bar, warn_unreadable

if TYPE_CHECKING:
    from addapt.training import LearnReport, Progress

TRIAL_IMAGES = 4  # to find the best number of threads with, under a budget


def learn(
    name: options.DomainName,
    folder: Annotated[
        Path,
        typer.Argument(help="Folder of class folders, or of train/ and val/ with class folders."),
    ],
    store: options.Store = options.DEFAULT_STORE,
    method: Annotated[str, typer.Option(help="How to adapt; see `addapt methods`.")] = "da3",
    backbone: options.Backbone = options.DEFAULT_BACKBONE,
    weights: options.Weights = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the pictures; by default the method's.")
    ] = None,
    image_px: Annotated[
        str, typer.Option("--image-px", help='Side of the pictures, or "auto": as they need it.')
    ] = "auto",
    batch: Annotated[
        int | None, typer.Option(help="Pictures a training step; by default the method's.")
    ] = None,
    micro_batch: Annotated[
        int | None, typer.Option(help="Pictures in memory at once; by default the method's.")
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
        bool, typer.Option("--flip", help="Mirror pictures in training; not for digits, letters.")
    ] = False,
    cache_mb: Annotated[
        int, typer.Option("--cache-mb", min=0, help="Memory for decoded pictures, in MB.")
    ] = 1000,
    device: options.Device = "cpu",
    restart: Annotated[
        bool, typer.Option("--restart", help="Learn anew although the domain exists.")
    ] = False,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Teach a domain from a folder of class folders."""
    with command(as_json=as_json, debug=debug, threads=threads):
        px = _parse_px(image_px)
        budget_bytes = options.parse_budget(budget)
        from addapt.backbones import load_backbone
        from addapt.memory import configure_allocator
        from addapt.training import Learner, use_fastest_threads

        if budget_bytes is not None:
            configure_allocator()  # before the backbone is read, whose blocks are the largest
        network = load_backbone(backbone, weights, device=device)
        if network.info.weights.startswith("random"):
            typer.echo(
                f"Warning: {backbone} has random weights, and what is learned on them will be "
                "poor. Give trained ones with --weights FILE.",
                err=True,
            )
        if threads is None:
            if budget_bytes is None:
                use_fastest_threads(network)
            else:
                use_fastest_threads(network, images=TRIAL_IMAGES)
        learner = Learner(network, store)
        with progress_bar() as show, _StopOnInterrupt() as stop:

            def watch(progress: "Progress") -> None:
                stop.gently = progress.phase == "learning"
                show(progress)

            report = learner.learn(
                name,
                folder,
                method=method,
                epochs=epochs,
                image_px=px,
                batch=batch,
                micro_batch=micro_batch,
                lr=lr,
                seed=seed,
                val_fraction=val_fraction,
                flip=flip,
                restart=restart,
                cache_bytes=cache_mb * 1_000_000,
                budget_bytes=budget_bytes,
                on_progress=watch,
                should_stop=lambda: stop.asked,
            )
        warn_unreadable(report.unreadable)
        if as_json:
            print_json(report_fields(report))
        else:
            typer.echo(
                f"Learned {report.name}: {len(report.classes)} classes from "
                f"{report.train_images} pictures of {report.image_px} px in "
                f"{report.learn_s:.0f} s.\n"
                f"Accuracy {report.val_accuracy:.1%} on {report.val_images} pictures held out.\n"
                f"Saved {report.file} ({report.file_bytes / 1e6:.1f} MB). Use it with\n"
                f"  addapt predict IMAGE --domain {report.name}"
            )
            if report.budget_bytes is not None:
                typer.echo(_memory_line(report))


def report_fields(report: "LearnReport") -> dict[str, object]:
    """Return a report as JSON fields."""
    return {
        **dataclasses.asdict(report),
        "classes": len(report.classes),
        "class_names": report.classes,
        "learn_s": round(report.learn_s, 3),
    }


def _parse_px(text: str) -> int | None:
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError:
        raise OptionError(f'--image-px is {text!r}: give a number, or "auto".') from None


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


class _StopOnInterrupt:
    """Turns the first Ctrl-C during training into a request; otherwise it interrupts at once."""

    def __init__(self) -> None:
        self.asked = False
        self.gently = False

    def __enter__(self) -> "_StopOnInterrupt":
        self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _handle(self, *_: object) -> None:
        if self.asked or not self.gently:
            raise KeyboardInterrupt
        self.asked = True
        typer.echo("\nStopping after this step; press Ctrl-C again to stop at once.", err=True)
