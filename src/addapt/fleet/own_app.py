"""What is started in place of Flower's programs: this package's own apps, and no other.

Flower would unpack the app that a run brings along, and run it: on devices what the server sends,
on the server what anyone sends who reaches its port. Who joins or serves a fleet lends images and a
disk to addapt, and not to whatever program others like to send.
"""

import os
import shlex
import sys
import threading
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from addapt._errors import FleetError

CLIENT, SERVER = "flwr-clientapp", "flwr-serverapp"
# Started for runs of other kinds.
REFUSED = ("flwr-agentapp", "flwr-connector", "flwr-model", "flwr-simulation")
SETTINGS = "run.toml"  # of a server's app, in the home of Flower that its process has made
END_S, LOOK_EVERY_S = 5.0, 0.5  # for an app to end by itself, once nobody waits for it


def write_programs(folder: Path) -> None:
    """Write what is started under Flower's names."""
    folder.mkdir()
    programs = {CLIENT: run_client, SERVER: run_server, **dict.fromkeys(REFUSED, refuse)}
    for name, function in programs.items():
        words = f"from {__name__} import {function.__name__} as run; run()"
        # By the shell: a system may not find a Python in a folder with spaces or a long name.
        line = f'exec {shlex.quote(sys.executable)} -c {shlex.quote(words)} "$@"'
        (folder / name).write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        (folder / name).chmod(0o700)


def run_client() -> None:
    """Run Flower's program of a device with the own app."""
    end_after_parent()
    shut_client()
    _pass_over("flwr.supernode.cli")
    import_module("flwr.supernode.cli.flwr_clientapp").flwr_clientapp()


def run_server() -> None:
    """Run Flower's program of a server with the own app, by the settings of the own process."""
    end_after_parent()
    shut_server(Path(os.environ["FLWR_HOME"]) / SETTINGS)
    import_module("flwr.superlink.cli").flwr_serverapp()


def end_after_parent() -> None:
    """End this process when the one that started it has been gone for some seconds.

    Flower sends the app a signal then, but an app that waits for an answer does not see to it, and
    would stay in memory for good after `addapt fleet serve` was killed.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY_S)
        time.sleep(END_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def refuse() -> None:
    """Run nothing."""
    raise SystemExit("A run asked for an app of another kind, which is not run here.")


def shut_client() -> None:
    """Have Flower unpack nothing that was sent to a device, and find the own app instead.

    Raises:
        FleetError: this version of Flower has its doors elsewhere.
    """
    from addapt.fleet.client_app import app

    module = import_module("flwr.supernode.runtime.run_clientapp")
    _replace(module, "install_from_fab", lambda *_, **__: None)
    _replace(module, "get_load_client_app_fn", lambda *_, **__: lambda *_, **__: app)


def shut_server(settings: Path) -> None:
    """Have Flower run the own app, whatever a run brings along and asks for.

    Args:
        settings: a TOML file of what was really asked for.

    Raises:
        FleetError: this version of Flower has its door elsewhere.
    """
    from addapt.fleet.server_app import app

    def run(grid: Any, context: Any, **_: Any) -> Any:
        context.run_config = import_module("tomli").loads(settings.read_text("utf-8"))
        app(grid, context)
        return context

    _replace(import_module("flwr.superlink.runtime.run_serverapp"), "run_", run)


def _pass_over(package: str) -> None:
    """Have a module of a package imported without what the package itself imports.

    That of Flower's node brings a database and a web server, 35 MB in the process that learns.
    """
    found = find_spec(package)
    assert found is not None and found.submodule_search_locations is not None
    bare = ModuleType(package)
    bare.__path__ = found.submodule_search_locations
    sys.modules[package] = bare


def _replace(module: Any, name: str, replacement: Any) -> None:
    """Replace what has to be there: where another version has it elsewhere, nothing may run."""
    if not hasattr(module, name):
        raise FleetError(
            f"This version of Flower is unknown ({module.__name__} has no {name}): install the one "
            "that addapt[fleet] asks for."
        )
    setattr(module, name, replacement)
