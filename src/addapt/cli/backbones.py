"""`addapt backbones`: the frozen networks that can be chosen."""

from addapt.cli import options
from addapt.cli.output import add_row, command, make_table, print_json, print_table


def backbones(
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """List the backbones, one line each."""
    with command(as_json=as_json, debug=debug, threads=threads):
        from addapt.engines.torch.backbones import BACKBONES

        if as_json:
            rows = [
                {"name": name, "summary": entry.summary, "pretrained": entry.package is not None}
                for name, entry in BACKBONES.items()
            ]
            print_json({"backbones": rows})
            return
        table = make_table(None, "backbone", "what it is")
        for name, entry in BACKBONES.items():
            add_row(table, name, entry.summary)
        print_table(table)
