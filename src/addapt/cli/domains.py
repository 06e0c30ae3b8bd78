"""`addapt domains`, `show`, `rename`, `rename-class`, `remove`: what is in the store."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from addapt._errors import DomainError
from addapt._text import natural_order
from addapt.cli import options
from addapt.cli.accuracies import balanced_cells
from addapt.cli.flags import with_flags
from addapt.cli.output import add_row, command, make_table, print_json, print_table, say

if TYPE_CHECKING:
    from addapt.domains import DomainInfo


def domains(
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """List the domains that were learned."""
    with command(as_json=as_json, debug=debug):
        from addapt.domains import Store
        from addapt.engines.abilities import engine_that_taught

        kept = Store(store)
        names = kept.names()
        rows: list[dict[str, object]] = []
        table = make_table(
            None,
            "domain",
            ">classes",
            ">accuracy",
            ">balanced",
            "weakest class",
            "method",
            "backbone",
            ">MB",
            "learned",
        )
        for name in names:
            try:
                info = kept.info(name)
            except DomainError as error:  # one damaged file must not hide the others
                message = with_flags(str(error))
                rows.append({"name": name, "error": message})
                say(f"Error: {message}", err=True)
                continue
            file_bytes = kept.path(name).stat().st_size
            fields = {**_fields(info), "engine": engine_that_taught(info.versions)}
            rows.append({"name": name, "file": kept.path(name), "file_bytes": file_bytes, **fields})
            add_row(
                table,
                name,
                f"{len(info.classes)}",
                f"{info.val_accuracy:.1%}",
                *balanced_cells(info),
                info.method,
                info.backbone,
                f"{file_bytes / 1e6:.2f}",
                info.date[:10],
            )
        if as_json:
            print_json({"domains": rows})
        elif table.rows:
            print_table(table)
        elif not names:
            say(f"No domain in {store} yet. Teach one: addapt learn NAME FOLDER")


def show(
    name: options.DomainName,
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Show everything known about a domain."""
    with command(as_json=as_json, debug=debug):
        from addapt.domains import Store
        from addapt.engines.abilities import engine_that_taught

        kept = Store(store)
        info = kept.info(name)
        fields = {
            "name": name,
            **_fields(info),
            "engine": engine_that_taught(info.versions),
            "file": kept.path(name),
            "file_bytes": kept.path(name).stat().st_size,
        }
        if as_json:
            print_json(fields)
            return
        table = make_table(None, "field", "value")
        fields["classes"] = sorted(info.classes, key=natural_order)
        for field, value in fields.items():
            add_row(table, field.replace("_", " "), _readable(value))
        print_table(table)


def rename(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Name of the domain.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its name from now on.")],
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Give a domain another name."""
    with command(as_json=as_json, debug=debug):
        from addapt.domains import Store

        kept = Store(store)
        kept.rename(old, new)
        if as_json:
            print_json({"old": old, "new": new, "file": str(kept.path(new))})
        else:
            say(f"Renamed {old} to {new}.")


def rename_class(
    name: options.DomainName,
    old: Annotated[str, typer.Argument(metavar="OLD", help="Name of the class.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its name from now on.")],
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Give a class of a domain another name."""
    with command(as_json=as_json, debug=debug):
        from addapt.domains import Store

        kept = Store(store)
        classes = kept.rename_class(name, old, new).classes
        if as_json:
            file = str(kept.path(name))
            print_json({"domain": name, "old": old, "new": new, "classes": classes, "file": file})
        else:
            say(f"Renamed the class {old} of {name} to {new}.")


def remove(
    name: options.DomainName,
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Delete a domain; the others stay as they are."""
    with command(as_json=as_json, debug=debug):
        from addapt.domains import Store

        Store(store).remove(name)
        if as_json:
            print_json({"removed": name})
        else:
            say(f"Removed {name}.")


def _fields(info: "DomainInfo") -> dict[str, Any]:
    """Return what a domain's file says, but for checksums, which say nothing to anybody.

    Of a signature that is how far an image may be off, and on how many images that was found out.
    """
    from addapt.domains import USUAL_ACCEPTED
    from addapt.domains.info import HELD_OUT
    from addapt.domains.plane import Spread

    fields = dataclasses.asdict(info)
    fields["options"].pop(HELD_OUT, None)
    if info.signature:
        spread = Spread(**info.signature["spread"])
        fields["signature"] = {
            "accepted": USUAL_ACCEPTED,
            "largest_distance": round(spread.distance(USUAL_ACCEPTED), 4),
            "held_out_images": spread.images,
            "look_px": info.signature["look_px"],
        }
    return fields


def _readable(value: object) -> Path | str | list[str]:
    if isinstance(value, Path):
        return value
    if value is None:
        return "unknown"
    if isinstance(value, dict):
        return [f"{key} = {json.dumps(part)}" for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)
