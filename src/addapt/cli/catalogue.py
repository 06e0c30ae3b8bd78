"""`addapt methods`, `addapt backbones`: the ways of adapting and the networks to choose from."""

import dataclasses

from addapt.cli import options
from addapt.cli.output import add_row, command, make_table, print_json, print_table


def _engines_with(method: str | None = None, backbone: str | None = None) -> list[str]:
    """Return the engines that have what is asked for."""
    from addapt.engines.abilities import ABILITIES

    return [
        name
        for name, abilities in ABILITIES.items()
        if not abilities.lack(method=method, backbone=backbone)
    ]


def methods(
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """List the methods of adaptation, one line each."""
    with command(as_json=as_json, debug=debug):
        from addapt.methods import METHODS

        if as_json:
            rows = [
                {
                    "name": name,
                    "summary": method.summary,
                    "engines": _engines_with(method=name),
                    "hyperparameters": dataclasses.asdict(method()),
                    "recipe": dataclasses.asdict(method.recipe),
                }
                for name, method in METHODS.items()
            ]
            print_json({"methods": rows})
            return
        table = make_table(None, "method", "engines", "what it does")
        for name, method in METHODS.items():
            add_row(table, name, ", ".join(_engines_with(method=name)), method.summary)
        print_table(table)


def backbones(
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """List the backbones, one line each."""
    with command(as_json=as_json, debug=debug):
        from addapt.backbones import BACKBONES

        if as_json:
            rows = [
                {
                    "name": name,
                    "summary": entry.summary,
                    "pretrained": entry.package is not None,
                    "engines": _engines_with(backbone=name),
                }
                for name, entry in BACKBONES.items()
            ]
            print_json({"backbones": rows})
            return
        table = make_table(None, "backbone", "engines", "what it is")
        for name, entry in BACKBONES.items():
            add_row(table, name, ", ".join(_engines_with(backbone=name)), entry.summary)
        print_table(table)
