"""The `addapt` command: gathers the commands and starts the one asked for."""

import io
import sys
import traceback
from typing import Annotated

import typer

from addapt.cli.audit import audit
from addapt.cli.bench import bench
from addapt.cli.bench_gates import gates
from addapt.cli.bench_predict import predict as bench_predict
from addapt.cli.catalogue import backbones, methods
from addapt.cli.check import check
from addapt.cli.demo import demo
from addapt.cli.domains import domains, remove, rename, rename_class, show
from addapt.cli.eval import evaluate
from addapt.cli.export import export
from addapt.cli.fleet import fleet
from addapt.cli.index import index
from addapt.cli.learn import learn
from addapt.cli.output import say
from addapt.cli.page import page, serve
from addapt.cli.paths import expand_paths
from addapt.cli.plan import plan
from addapt.cli.predict import predict
from addapt.cli.watch import watch

app = typer.Typer(
    name="addapt",
    help="Teach a frozen vision network new visual domains on this machine, forgetting nothing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help suits files and narrow terminals, and comes sooner
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(learn)
app.command()(predict)
app.command()(watch)
app.command("eval")(evaluate)
app.command()(export)
app.command()(index)
app.command()(page)
app.command()(serve)
app.command()(domains)
app.command()(show)
app.command()(remove)
app.command()(rename)
app.command("rename-class")(rename_class)
app.command()(check)
app.command()(methods)
app.command()(backbones)
app.command()(audit)
app.command()(plan)
bench.command()(gates)
bench.command("predict")(bench_predict)
app.add_typer(bench, name="bench")
app.add_typer(fleet, name="fleet")
app.command()(demo)
expand_paths(app)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # slow to import

        say(f"addapt {version('addapt')}")
        raise typer.Exit()


@app.callback()
def _global_options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line.

    The traceback of what nobody foresaw quotes texts of strangers, too.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8
    try:
        app()
    except Exception:
        say(*traceback.format_exc().rstrip().split("\n"), err=True)
        sys.exit(1)
