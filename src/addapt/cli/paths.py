"""The paths that commands are given: ~ is the home folder, inside quotes, too."""

from typing import Any

import typer
from typer.core import TyperCommand

from addapt._paths import expanded


class CommandWithPaths(TyperCommand):
    """A command that puts the home folder in place of a ~ at the beginning of a path."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of the command line."""
        left: list[str] = super().parse_args(ctx, args)
        for parameter in self.params:
            if hasattr(parameter.type, "file_okay"):  # as only the type of paths has
                assert parameter.name is not None
                value = ctx.params[parameter.name]
                if isinstance(value, tuple | list):
                    ctx.params[parameter.name] = [str(expanded(path)) for path in value]
                elif value is not None:
                    ctx.params[parameter.name] = str(expanded(value))
        return left


def expand_paths(app: typer.Typer) -> None:
    """Have all commands that are registered so far, in groups too, read paths like this."""
    for command in app.registered_commands:
        command.cls = CommandWithPaths
    for group in app.registered_groups:
        assert group.typer_instance is not None
        expand_paths(group.typer_instance)
