"""What the measuring commands write beside their numbers, and where to."""

import datetime
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from addapt._disk import disk_reason, write_atomically
from addapt._errors import OptionError

Save = Annotated[Path | None, typer.Option(help="Write the JSON to this file, too.")]


def check_saving(path: Path | None) -> None:
    """Refuse before any work a file that could not be written after it.

    Raises:
        OptionError: its folder does not exist.
    """
    if path is not None and not path.parent.is_dir():
        raise OptionError(f"The folder of {path} does not exist: make it first.")


def whole_result(
    command: Sequence[str], given: Mapping[str, Any], rows: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what was found with what was asked for, and where it was measured.

    `command` gets the options of what is `given`, all but those that are None.
    """
    from addapt.bench.surroundings import machine, versions

    words = list(command)
    for name, value in given.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return {
        **rows,
        **given,
        "versions": versions(),
        "machine": machine(),
        "command": shlex.join(words),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }


def save_result(path: Path | None, result: Mapping[str, Any]) -> None:
    """Write a result, if there is a file for it.

    Raises:
        OptionError: it cannot be written.
    """
    if path is None:
        return
    try:
        write_atomically(path, (json.dumps(result, indent=2) + "\n").encode())
    except OSError as error:
        raise OptionError(f"{path} could not be written because {disk_reason(error)}") from error
