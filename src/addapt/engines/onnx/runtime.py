"""A frozen network on the runtime: its graphs, their sessions, and threads."""

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path

from addapt.backbones.networks import network
from addapt.engines.onnx.exporting import ExportOrder, write_exported_file
from addapt.engines.onnx.layers import output_side
from addapt.engines.onnx.making import FrozenOrder, GraphOrder, graph_file
from addapt.engines.onnx.parameters import Vector
from addapt.engines.onnx.session import Session, Sessions
from addapt.images import usable_threads
from addapt.methods import Method


class Runtime:
    """What all models of an engine share.

    Args:
        frozen: which weights the network has.
        weights_sha256: their hash, by which domains know them.
    """

    def __init__(self, frozen: FrozenOrder, weights_sha256: str) -> None:
        self.network = network(frozen.backbone)
        self.threads = usable_threads()  # of sessions that are made from now on
        self._frozen, self._weights_sha256 = frozen, weights_sha256
        self._sessions = Sessions()

    def release(self) -> None:
        """Let go of all sessions that no model is learning with."""
        self._sessions.release()

    def learning_session(self, method: Method, image_px: int, side_by_side: int) -> Session:
        """Make a session for learning from images of a size; the model keeps it."""
        order = self._order("learning", method, image_px)
        return Session(graph_file(order, self._frozen), self.threads, side_by_side)

    def session(self, method: Method, image_px: int) -> Session:
        """Return the session for recognising images of a size with a method."""
        order = self._order("recognising", method, image_px)
        return self._sessions.get(
            (order.file, self.threads),
            lambda: Session(graph_file(order, self._frozen), self.threads),
        )

    def export(
        self,
        file: Path,
        method: Method,
        image_px: int,
        export: ExportOrder,
        arrays: Mapping[str, Vector],
    ) -> Session:
        """Write the file of a domain with these trained arrays; return a session of that file."""
        order = self._order("exported", method, image_px)
        write_exported_file(file, order, self._frozen, export, arrays)
        return Session(file, self.threads)

    def write_graph(
        self, folder: Path, kind: str, method: Method, image_px: int
    ) -> tuple[str, str]:
        """Copy a graph of some kind, and the weights; return the files' names.

        Raises:
            OSError: the disk refused.
        """
        order = self._order(kind, method, image_px)
        graph = graph_file(order, self._frozen)
        for name in (graph.name, order.weights_file):
            if not (folder / name).exists():  # all graphs share the weights
                shutil.copyfile(graph.with_name(name), folder / name)
        return graph.name, order.weights_file

    def multiply_adds(self, px: int) -> int:
        """Count those of the convolutions for one image."""
        described = self.network
        total, side = 0, output_side(described.stem, px)
        total += side**2 * described.stem.weight_size
        side = (side + 1) // 2 if described.stem_pool else side
        for block in described.blocks:
            inner = side
            for layer in block.layers:
                inner = output_side(layer, inner)
                total += inner**2 * layer.weight_size
            if block.shortcut is not None:
                total += inner**2 * block.shortcut.weight_size
            side = inner
        if described.tail is not None:
            total += side**2 * described.tail.weight_size
        return total

    def _order(self, kind: str, method: Method, image_px: int) -> GraphOrder:
        return GraphOrder(
            kind=kind,
            backbone=self._frozen.backbone,
            weights_sha256=self._weights_sha256,
            method=method.name,
            hyperparameters=dataclasses.asdict(method),
            image_px=image_px,
        )
