"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Store = Annotated[Path, typer.Option("--store", help="Folder that keeps the domains.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value for programs.")]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, max=1024, help="Processor threads; by default the fastest."),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Device = Annotated[str, typer.Option("--device", help='Where to compute: "cpu", "cuda", ...')]
Weights = Annotated[
    Path | None,
    typer.Option("--weights", help="The backbone's weights file (torchvision or timm format)."),
]
DomainName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the domain.")]

DEFAULT_STORE = Path("domains")
