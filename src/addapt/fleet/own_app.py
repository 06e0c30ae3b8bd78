"""What a node starts in place of Flower's program: it answers by this package's own app.

Flower would unpack the app that a server sends, and run it. Who joins a fleet lends its images to
addapt, and not to whatever program a server likes to send.
"""

import sys
from pathlib import Path
from typing import Any

from addapt._errors import FleetError

PROGRAM = "flwr-clientapp"


def write_program(folder: Path) -> None:
    """Write what runs `main` under the name by which a node starts Flower's program."""
    folder.mkdir()
    program = folder / PROGRAM
    program.write_text(
        f"#!{sys.executable}\nfrom {__name__} import main\n\nmain()\n", encoding="utf-8"
    )
    program.chmod(0o700)


def main() -> None:
    """Run Flower's program."""
    from flwr.supernode.cli import flwr_clientapp

    shut_doors()
    flwr_clientapp()


def shut_doors() -> None:
    """Have Flower unpack nothing that was sent, and find this package's app instead.

    Raises:
        FleetError: this version of Flower has its doors elsewhere.
    """
    from flwr.supernode.runtime import run_clientapp

    from addapt.fleet.client_app import app

    _replace(run_clientapp, "install_from_fab", lambda *_, **__: None)
    _replace(run_clientapp, "get_load_client_app_fn", lambda *_, **__: lambda *_, **__: app)


def _replace(module: Any, name: str, replacement: Any) -> None:
    """Replace what has to be there: where another version has it elsewhere, nothing may run."""
    if not hasattr(module, name):
        raise FleetError(
            f"This version of Flower is unknown ({module.__name__} has no {name}): install the one "
            "that addapt[fleet] asks for."
        )
    setattr(module, name, replacement)
