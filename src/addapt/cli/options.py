"""Options that several commands share, and how they are read."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from addapt._errors import OptionError, UnknownNameError
from addapt.cli.output import say

if TYPE_CHECKING:
    from addapt.gates import GateConfig

Store = Annotated[Path, typer.Option("--store", help="Folder that keeps the domains.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value for programs.")]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        max=1024,
        help="Processor threads; by default learn and demo try how many are the fastest.",
    ),
]
BenchThreads = Annotated[int, typer.Option("--threads", min=1, max=1024, help="Processor threads.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine", help='What computes: "onnx", or "torch"; by default the first that can.'
    ),
]
Device = Annotated[str, typer.Option("--device", help='Where to compute: "cpu", "cuda", ...')]
Weights = Annotated[
    Path | None,
    typer.Option("--weights", help="The backbone's weights file (torchvision or timm format)."),
]
Backbone = Annotated[
    str, typer.Option("--backbone", help="Frozen network; see `addapt backbones`, or timm:NAME.")
]
Methods = Annotated[str, typer.Option(help="Names with commas between; see `addapt methods`.")]
Batch = Annotated[int, typer.Option("--batch", help="Images a step.")]
ImagePx = Annotated[
    int | None,
    typer.Option("--image-px", min=1, help="Side of the images; by default the backbone's."),
]
Budget = Annotated[
    str | None, typer.Option("--budget", help="Memory of the whole process, such as 512MB.")
]
DomainName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the domain.")]

UseGates = Annotated[
    bool | None,
    typer.Option(
        "--gates/--no-gates", help="Use the domain's gates; by default if they are faster here."
    ),
]

Accept = Annotated[
    float, typer.Option(help="The share of a domain's own images that is not refused.")
]
NoRefuse = Annotated[
    bool, typer.Option("--no-refuse", help="Give every image a class, however foreign it is.")
]
USUAL_ACCEPTED = 0.95

DEFAULT_STORE = Path("domains")
DEFAULT_BACKBONE = "efficientnet_lite0"


def parse_names(text: str) -> list[str]:
    """Return the names with commas between, each once."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def parse_seconds(text: str, option: str) -> float:
    """Return the seconds of a time such as 5s, 500ms, 2min or a plain number.

    Raises:
        OptionError: `text` is no time.
    """
    found = re.fullmatch(r"([0-9]*\.?[0-9]+) *(ms|s|min|h|)", text.strip())
    if found is None:
        raise OptionError(f"{option} is {text!r}: give a time such as 5s, 500ms or 2min.")
    return float(found[1]) * {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "": 1}[found[2]]


def parse_budget(text: str | None) -> int | None:
    """Return the bytes of `--budget`; warn where the machine has fewer.

    Raises:
        OptionError: `text` is no amount of memory.
    """
    if text is None:
        return None
    from addapt.memory import format_bytes, machine_bytes, parse_bytes

    budget_bytes, total_bytes = parse_bytes(text), machine_bytes()
    if total_bytes is not None and budget_bytes > total_bytes:
        say(
            f"Warning: the budget of {format_bytes(budget_bytes)} is more than the "
            f"{format_bytes(total_bytes)} that this machine has.",
            err=True,
        )
    return budget_bytes


def parse_gates(
    wanted: bool,
    compute: float | None,
    unit: str | None,
    kind: str | None,
    lose: float | None,
) -> "GateConfig | None":
    """Return the gates that `--gates` and the options that belong to it ask for.

    Only two looks can keep to a loss, so `--lose` means these.

    Raises:
        AddaptError: there are no such gates, or options of theirs stand without `--gates`.
    """
    given = {"--compute": compute, "--gate-unit": unit, "--gate-kind": kind, "--lose": lose}
    alone = [option for option, value in given.items() if value is not None]
    if not wanted:
        if alone:
            raise OptionError(f"{alone[0]} is about gates: give --gates, too.")
        return None
    from addapt.gates import GateConfig

    kinds = {"static": False, "dynamic": True}
    if kind is not None and kind not in kinds:
        raise UnknownNameError("gate kind", kind, kinds)
    usual = GateConfig() if unit is None else GateConfig(unit)
    return GateConfig(
        unit=usual.unit,
        dynamic=lose is not None if kind is None else kinds[kind],
        compute=usual.compute if compute is None else compute,
        lose=lose,
    )
