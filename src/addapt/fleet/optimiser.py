"""What a device's optimiser goes on with in the next round: a file in the device's own store.

Flower would carry it along from round to round, too, as a node's context, and would take 20 to 27
MB more for its 2.6 MB (LOG.md, 2026-11-28). Gradients tell more of images than an adaptor: they
stay on the device.
"""

import json
from contextlib import suppress
from pathlib import Path

from addapt._disk import disk_reason, make_folder, write_atomically
from addapt._errors import DomainError, FleetError
from addapt.domains import Store
from addapt.domains.header import read_header
from addapt.domains.sealed import seal, unseal
from addapt.engines.base import State
from addapt.fleet.plan import Plan

OPTIMISER_FILE = "fleet-optimiser.safetensors"  # beside unfinished learning
_TEXT = "addapt-fleet-optimiser-1"


class OptimiserFile:
    """The file of one device, of no use to another one that shares its store.

    Args:
        store: of the device.
        plan: of all.
        images: the folder that the device learns from.
    """

    def __init__(self, store: Store, plan: Plan, images: Path) -> None:
        self._path = store.state_path(plan.name) / OPTIMISER_FILE
        self._whose = json.dumps([plan.to_text(), str(images.resolve())])

    def load(self, number: int) -> State:
        """Read what there was after an earlier round, or this one; nothing if there is no such."""
        # A fleet that begins anew in the same way has nothing from the end of the one before.
        try:
            with self._path.open("rb") as file:
                header = read_header(file, self._path)
                whose, after = json.loads(header.texts[_TEXT])
                if whose == self._whose and after <= number:
                    return unseal(_TEXT, header, file)
        except (DomainError, OSError, LookupError, TypeError, ValueError):
            pass  # damage costs a round's memory, no more
        return {}

    def save(self, number: int, optimiser: State) -> None:
        """Write it for the next round.

        Raises:
            FleetError: the disk refused.
        """
        text = json.dumps([self._whose, number])
        try:
            make_folder(self._path.parent)
            write_atomically(self._path, *seal(_TEXT, text, optimiser))
        except OSError as error:
            raise FleetError(
                f"What this device goes on with was not written to {self._path} because "
                f"{disk_reason(error)}"
            ) from error

    def remove(self) -> None:
        """Leave nothing behind; what else is unfinished stays."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
            self._path.parent.rmdir()
