"""`addapt check`: whether all files of a store are whole and can be used."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from addapt.cli import options
from addapt.cli.flags import with_flags
from addapt.cli.output import add_row, command, make_table, print_json, print_table, say

if TYPE_CHECKING:
    from addapt.domains import Store

SOMETHING_WRONG = 1


def check(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Domains; by default all.")
    ] = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Move damaged files aside and remove what was left over."),
    ] = False,
    load: Annotated[
        bool,
        typer.Option("--load", help="Make each domain's model, too, which takes a while longer."),
    ] = False,
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Check that domains are whole and can be used. Exit with 1 if one is not."""
    with command(as_json=as_json, debug=debug):
        from addapt.domains import Store
        from addapt.learning.store_check import StoreCheck

        kept = Store(store)
        checked = StoreCheck(kept, _loader(kept) if load else None)
        findings = list(checked.findings(names or ()))
        if repair:
            findings = [checked.repair(finding) for finding in findings]
        wrong = sum(finding.is_wrong for finding in findings)
        if as_json:
            rows = [
                {
                    "kind": found.kind,
                    "name": found.name,
                    "file": found.path,
                    "verdict": found.verdict,
                    "remark": with_flags(found.remark),
                }
                for found in findings
            ]
            print_json({"findings": rows, "wrong": wrong})
        elif not findings:
            say(f"No domain in {store} yet. Teach one: addapt learn NAME FOLDER")
        else:
            table = make_table(None, "name", "what", "verdict", "remark")
            for found in findings:
                remark = with_flags(found.remark) or "-"
                add_row(table, found.name, found.kind, found.verdict, remark)
            print_table(table)
        if wrong:
            raise typer.Exit(SOMETHING_WRONG)


def _loader(store: "Store") -> "Callable[[str], object]":
    """Return what makes a domain's model, of a backbone whose weights are left random.

    That takes any tensors of the right shapes, and no weights that may not be here.
    """
    from addapt.engines import Engines
    from addapt.learning.loading import asked_by, read_model

    engines: dict[str, Engines] = {}

    def load(name: str) -> object:
        with store.open(name) as file:
            backbone = file.info.backbone
            if backbone not in engines:
                engines[backbone] = Engines(backbone, "random")
            return read_model(file, engines[backbone].able(*asked_by(file.info, file.path)))

    return load
