"""What a node starts in place of Flower's program: it answers by this package's own app.

Flower would unpack the app that a server sends, and run it. Who joins a fleet lends its images to
addapt, and not to whatever program a server likes to send.
"""

from typing import Any

from addapt._errors import FleetError

PROGRAM = "flwr-clientapp"


def main() -> None:
    """Run Flower's program with its two doors to sent code shut."""
    from flwr.supernode.cli import flwr_clientapp
    from flwr.supernode.runtime import run_clientapp

    from addapt.fleet.client_app import app

    for name, replacement in (
        ("install_from_fab", lambda *_, **__: None),
        ("get_load_client_app_fn", lambda *_, **__: lambda *_, **__: app),
    ):
        _replace(run_clientapp, name, replacement)
    flwr_clientapp()


def _replace(module: Any, name: str, replacement: Any) -> None:
    """Replace what has to be there: where another version has it elsewhere, nothing may run."""
    if not hasattr(module, name):
        raise FleetError(
            f"This version of Flower is unknown ({module.__name__} has no {name}): install the one "
            "that addapt[fleet] asks for."
        )
    setattr(module, name, replacement)
