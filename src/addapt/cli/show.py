"""`addapt show NAME`: everything known about a domain."""

import dataclasses
import json

from addapt.cli import options
from addapt.cli.output import add_row, command, make_table, print_json, print_table


def show(
    name: options.DomainName,
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Show everything known about a domain."""
    with command(as_json=as_json, debug=debug, threads=threads):
        from addapt.domains import Store

        kept = Store(store)
        fields = {
            "name": name,
            **dataclasses.asdict(kept.info(name)),
            "file": str(kept.path(name)),
            "file_bytes": kept.path(name).stat().st_size,
        }
        if as_json:
            print_json(fields)
            return
        table = make_table(None, "field", "value")
        for field, value in fields.items():
            add_row(table, field.replace("_", " "), _readable(value))
        print_table(table)


def _readable(value: object) -> str | list[str]:
    if isinstance(value, dict):
        return [f"{key} = {json.dumps(part)}" for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)
