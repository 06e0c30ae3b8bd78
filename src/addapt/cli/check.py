"""`addapt check`: whether all files of a store are whole and can be used."""

from typing import Annotated

import typer

from addapt.cli import options
from addapt.cli.output import add_row, command, make_table, print_json, print_table, say

SOMETHING_WRONG = 1


def check(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Domains; by default all.")
    ] = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Move damaged files aside and remove what was left over."),
    ] = False,
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.Json = False,
    threads: options.Threads = None,
    debug: options.Debug = False,
) -> None:
    """Check that domains are whole and can be used; exit with 1 if one is not."""
    with command(as_json=as_json, debug=debug, threads=threads):
        from addapt.domains import Store
        from addapt.learning.checking import StoreCheck

        checked = StoreCheck(Store(store))
        findings = list(checked.findings(names or ()))
        if repair:
            findings = [checked.repair(finding) for finding in findings]
        wrong = sum(finding.is_wrong for finding in findings)
        if as_json:
            rows = [
                {
                    "kind": finding.kind,
                    "name": finding.name,
                    "file": finding.path,
                    "verdict": finding.verdict,
                    "remark": finding.remark,
                }
                for finding in findings
            ]
            print_json({"findings": rows, "wrong": wrong})
        elif not findings:
            say(f"No domain in {store} yet. Teach one: addapt learn NAME FOLDER")
        else:
            table = make_table(None, "name", "what", "verdict", "remark")
            for finding in findings:
                add_row(table, finding.name, finding.kind, finding.verdict, finding.remark or "-")
            print_table(table)
        if wrong:
            raise typer.Exit(SOMETHING_WRONG)
