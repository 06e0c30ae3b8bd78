"""`addapt domains`: what is in the store."""

import dataclasses

from addapt._errors import DomainError
from addapt.cli import options
from addapt.cli.output import add_row, command, make_table, print_json, print_table, say


def domains(
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """List the domains that were learned."""
    with command(as_json=as_json, debug=debug, threads=threads):
        from addapt.domains import Store

        kept = Store(store)
        names = kept.names()
        rows: list[dict[str, object]] = []
        table = make_table(
            None, "domain", ">classes", ">accuracy", "method", "backbone", ">MB", "learned"
        )
        for name in names:
            try:
                info = kept.info(name)
            except DomainError as error:  # one damaged file must not hide the others
                rows.append({"name": name, "error": str(error)})
                say(f"Error: {error}", err=True)
                continue
            file_bytes = kept.path(name).stat().st_size
            fields = dataclasses.asdict(info)
            rows.append({"name": name, "file": kept.path(name), "file_bytes": file_bytes, **fields})
            add_row(
                table,
                name,
                f"{len(info.classes)}",
                f"{info.val_accuracy:.1%}",
                info.method,
                info.backbone,
                f"{file_bytes / 1e6:.2f}",
                info.date[:10],
            )
        if as_json:
            print_json({"domains": rows})
        elif table.row_count:
            print_table(table)
        elif not names:
            say(f"No domain in {store} yet. Teach one: addapt learn NAME FOLDER")
