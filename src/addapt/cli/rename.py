"""`addapt rename OLD NEW`: give a domain another name."""

from typing import Annotated

import typer

from addapt.cli import options
from addapt.cli.output import command, print_json, say


def rename(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Name of the domain.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its name from now on.")],
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Give a domain another name."""
    with command(as_json=as_json, debug=debug, threads=threads):
        from addapt.domains import Store

        kept = Store(store)
        kept.rename(old, new)
        if as_json:
            print_json({"old": old, "new": new, "file": str(kept.path(new))})
        else:
            say(f"Renamed {old} to {new}.")
