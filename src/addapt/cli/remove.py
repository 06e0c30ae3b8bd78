"""`addapt remove NAME`: delete a domain."""

from addapt.cli import options
from addapt.cli.output import command, print_json, say


def remove(
    name: options.DomainName,
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Delete a domain; the others stay as they are."""
    with command(as_json=as_json, debug=debug, threads=threads):
        from addapt.domains import Store

        Store(store).remove(name)
        if as_json:
            print_json({"removed": name})
        else:
            say(f"Removed {name}.")
