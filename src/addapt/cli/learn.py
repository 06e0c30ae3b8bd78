"""`addapt learn NAME FOLDER`: teach a domain."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from addapt._errors import OptionError
from addapt.cli import options
from addapt.cli.output import command, print_json, progress_bar, say, warn_unreadable
from addapt.cli.stopping import StopOnSignal

if TYPE_CHECKING:
    from addapt.engines.torch.backbones import Backbone
    from addapt.learning import LearnReport, Progress

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
        int | None, typer.Option(help="Passes over the images; by default the method's.")
    ] = None,
    image_px: Annotated[
        str, typer.Option("--image-px", help='Side of the images, or "auto": as they need it.')
    ] = "auto",
    batch: Annotated[
        int | None, typer.Option(help="Images a training step; by default the method's.")
    ] = None,
    micro_batch: Annotated[
        int | None, typer.Option(help="Images in memory at once; by default the method's.")
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
    cache_mb: Annotated[
        int, typer.Option("--cache-mb", min=0, help="Memory for decoded images, in MB.")
    ] = 1000,
    gates: Annotated[
        bool, typer.Option("--gates", help="Let predicting leave out what it can, to be faster.")
    ] = False,
    compute: Annotated[
        float | None,
        typer.Option(
            help="With gates, the share of the multiply-adds that is computed; "
            "by default 0.4 for resolution, else 0.6."
        ),
    ] = None,
    gate_unit: Annotated[
        str | None,
        typer.Option("--gate-unit", help="What is left out: resolution, blocks or channels."),
    ] = None,
    gate_kind: Annotated[
        str | None,
        typer.Option("--gate-kind", help="static: the same for all images; dynamic: for each."),
    ] = None,
    device: options.Device = "cpu",
    save_every: Annotated[
        float,
        typer.Option("--save-every", help="Seconds of work that may be lost in a power cut."),
    ] = 30.0,
    restart: Annotated[
        bool, typer.Option("--restart", help="Learn anew although the domain exists.")
    ] = False,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Teach a domain from a folder of class folders."""
    with command(as_json=as_json, debug=debug, threads=threads), StopOnSignal() as stop:
        px = _parse_px(image_px)
        budget_bytes = options.parse_budget(budget)
        asked = options.parse_gates(gates, compute, gate_unit, gate_kind)
        from addapt.engines.torch.backbones import load_backbone
        from addapt.learning import Learner
        from addapt.memory import configure_allocator

        if budget_bytes is not None:
            configure_allocator()  # before the backbone is read, whose blocks are the largest
        network = load_backbone(backbone, weights, device=device)
        if network.info.weights.startswith("random"):
            say(
                f"Warning: {backbone} has random weights, and what is learned on them will be "
                "poor. Give trained ones with --weights FILE.",
                err=True,
            )
        learner = Learner(network, store)
        if threads is None:
            state = None if restart else learner.store.state_path(name)
            _choose_threads(network, state, few_images=budget_bytes is not None)
        with progress_bar() as show:

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
                gates=asked,
                restart=restart,
                cache_bytes=cache_mb * 1_000_000,
                budget_bytes=budget_bytes,
                save_every_s=save_every,
                on_progress=watch,
                should_stop=lambda: stop.asked,
            )
        warn_unreadable(report.unreadable)
        if as_json:
            print_json(report_fields(report))
        else:
            say(
                f"Learned {report.name}: {len(report.classes)} classes from "
                f"{report.train_images} images of {report.image_px} px in "
                f"{report.learn_s:.0f} s.",
                f"Accuracy {report.val_accuracy:.1%} on {report.val_images} images held out.",
                f"Saved {report.file} ({report.file_bytes / 1e6:.1f} MB). Use it with",
                f"  addapt predict IMAGE --domain {report.name}",
            )
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
    }


def _choose_threads(network: "Backbone", state: Path | None, *, few_images: bool) -> None:
    """Use as many threads as an unfinished learning had, whose bits they decide, or the fastest.

    Args:
        network: to try the speed with.
        state: folder of an unfinished learning, if it is to go on.
        few_images: to try with, because memory is short.
    """
    import torch

    from addapt.learning import unfinished_threads, use_fastest_threads

    before = None if state is None else unfinished_threads(state)
    if before is not None:
        torch.set_num_threads(before)
    elif few_images:
        use_fastest_threads(network, images=TRIAL_IMAGES)
    else:
        use_fastest_threads(network)


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
