"""A domain as one file with its frozen network inside, made in a process of its own."""

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from addapt._disk import write_atomically
from addapt.engines.onnx.making import FrozenOrder, GraphOrder, ask_maker
from addapt.engines.onnx.parameters import Vector


@dataclass(frozen=True)
class ExportOrder:
    """What such a file says: a description, and other texts by name."""

    description: str
    texts: dict[str, str]


def write_exported_file(
    file: Path,
    graph: GraphOrder,
    frozen: FrozenOrder,
    export: ExportOrder,
    arrays: Mapping[str, Vector],
) -> None:
    """Write the file of a domain with these trained arrays.

    Raises:
        OSError: the disk refused.
        WeightsError: the frozen weights are no longer those that they were.
    """
    arrays_file = file.with_suffix(".npz")
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    try:
        write_atomically(arrays_file, content.getvalue())
        ask_maker(
            {
                "file": str(file),
                "arrays_file": str(arrays_file),
                "graph": asdict(graph),
                "frozen": asdict(frozen),
                "export": asdict(export),
            }
        )
    finally:
        arrays_file.unlink(missing_ok=True)
