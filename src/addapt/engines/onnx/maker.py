"""The process that makes files for the runtime; see `addapt.engines.onnx.making`."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from addapt._disk import stream_atomically
from addapt._errors import AddaptError, WeightsError
from addapt.backbones.networks import network
from addapt.backbones.weights import LoadedWeights, folded, load_weights
from addapt.engines.onnx.adaptor import Adaptor
from addapt.engines.onnx.exporter import exported_bytes
from addapt.engines.onnx.exporting import ExportOrder
from addapt.engines.onnx.frozen import FrozenWeights
from addapt.engines.onnx.graph import Graph
from addapt.engines.onnx.making import GraphOrder
from addapt.engines.onnx.step import (
    adaptor_for,
    write_learning,
    write_recognising,
    write_template,
)
from addapt.engines.onnx.writing import to_model, weights_parts
from addapt.methods import build_method

WRITERS: dict[str, Callable[[Graph, Adaptor, int], None]] = {
    "learning": write_learning,
    "recognising": write_recognising,
    "template": partial(write_template, is_signed=False),
    "signed template": partial(write_template, is_signed=True),
}


def main() -> None:
    """Answer the question on standard input."""
    try:
        answer = _answer(json.load(sys.stdin))
    except AddaptError as error:
        answer = {"refused": type(error).__name__, "message": str(error)}
    except OSError as error:
        answer = {"errno": error.errno, "message": error.strerror, "path": str(error.filename)}
    print(json.dumps(answer))


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    frozen = question["frozen"]
    if "graph" not in question:
        loaded = load_weights(frozen["backbone"], frozen["weights"], seed=frozen["seed"])
        return {"sha256": loaded.sha256, "source": loaded.source}
    order = GraphOrder(**question["graph"])
    if "export" in question:
        export = ExportOrder(**question["export"])
        with np.load(question["arrays_file"]) as arrays:
            content = exported_bytes(order, export, _load(order, frozen), dict(arrays))
        return {"sha256": _write(Path(question["file"]), [content], len(content))}
    folder = Path(question["folder"])
    hashes = {}
    if order.weights_file in question["files"]:
        path = folder / order.weights_file
        hashes[order.weights_file] = _write(path, *_weights(order, _load(order, frozen)))
    if order.file in question["files"]:
        content = graph_bytes(order)
        hashes[order.file] = _write(folder / order.file, [content], len(content))
    return hashes


def graph_bytes(order: GraphOrder) -> bytes:
    """Return the content of a graph's file."""
    described = network(order.backbone)
    method = build_method(order.method, order.hyperparameters)
    g = Graph(FrozenWeights(described, order.weights_file))
    WRITERS[order.kind](g, adaptor_for(method, described), order.image_px)
    content: bytes = to_model(g, f"addapt {order.kind} {order.method}").SerializeToString()
    return content


def _load(order: GraphOrder, frozen: dict[str, Any]) -> LoadedWeights:
    loaded = load_weights(frozen["backbone"], frozen["weights"], seed=frozen["seed"])
    if loaded.sha256 != order.weights_sha256:
        raise WeightsError(
            f"The weights of {order.backbone} ({loaded.source}) have changed since they were "
            "looked at. Try again."
        )
    return loaded


def _weights(order: GraphOrder, loaded: LoadedWeights) -> tuple[Iterator[bytes | memoryview], int]:
    described = network(order.backbone)
    frozen = FrozenWeights(described, order.weights_file)
    arrays = (
        (f"{layer.name}.{part}", array)
        for layer, weight, bias in folded(described, loaded.tensors)
        for part, array in (("weight", weight), ("bias", bias))
    )
    return weights_parts(frozen, arrays), frozen.file_bytes


def _write(path: Path, parts: Iterable[bytes | memoryview], size_bytes: int) -> str:
    """Write a file; return its hash."""
    digest = hashlib.sha256()

    def hashed() -> Iterator[bytes | memoryview]:
        for part in parts:
            digest.update(part)
            yield part

    stream_atomically(path, hashed(), size_bytes)
    return digest.hexdigest()
