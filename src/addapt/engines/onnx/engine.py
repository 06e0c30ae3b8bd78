"""ONNX Runtime behind the door: learning and recognising without PyTorch."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnxruntime

from addapt._disk import write_atomically
from addapt._errors import OptionError
from addapt.backbones import BackboneInfo, backbone_entry, weights_file
from addapt.domains import LOOK_PX
from addapt.engines.abilities import ONNX, Abilities
from addapt.engines.base import Engine, Features, Form, Images
from addapt.engines.graph_files import SEED, GraphFiles, LookGraph, SizedGraphs, WritesGraphs
from addapt.engines.onnx import step as names
from addapt.engines.onnx.adaptor import Adaptor
from addapt.engines.onnx.frozen import FrozenWeights
from addapt.engines.onnx.graph import IMAGES
from addapt.engines.onnx.making import FrozenOrder, identify
from addapt.engines.onnx.model import OnnxModel, domain_parameters, images_at_once, in_pieces, rows
from addapt.engines.onnx.parameters import first_values, join_vector
from addapt.engines.onnx.runtime import Runtime
from addapt.engines.onnx.step import adaptor_for
from addapt.gates import GateConfig
from addapt.methods import Head, Method


def open_backbone(name: str, weights: str | Path | None, *, device: str, seed: int) -> "OnnxEngine":
    """Find a backbone by its name; see `open_engine`.

    Raises:
        OptionError: the device is not the processor.
    """
    if device != "cpu":
        raise OptionError(
            f'The engine "onnx" computes on the processor alone, not on {device!r}: give '
            '`device="cpu"`, or `engine="torch"`.'
        )
    entry = backbone_entry(name)
    frozen = FrozenOrder(name, None if weights is None else str(weights), seed)
    if weights is None and entry.package is not None and entry.weights_sha256 is not None:
        weights_file(entry.package)  # is there, and the one that is known
        sha256, source = entry.weights_sha256, f"ImageNet ({entry.package})"
    else:
        sha256, source = identify(frozen)
    return OnnxEngine(frozen, sha256, source)


class OnnxEngine(Engine, WritesGraphs):
    """A frozen network on ONNX Runtime, on the processor.

    Args:
        frozen: which weights it has.
        weights_sha256: their hash, by which domains know them.
        source: where they come from, in words.
    """

    name: ClassVar[str] = "onnx"
    keeps_memory: ClassVar[bool] = True

    def __init__(self, frozen: FrozenOrder, weights_sha256: str, source: str) -> None:
        self._frozen = frozen
        self._runtime = Runtime(frozen, weights_sha256)
        info = self._runtime.network.info
        self._info = replace(info, weights=source, weights_sha256=weights_sha256)

    @property
    def backbone(self) -> BackboneInfo:
        """What the backbone is, its weights' hash included."""
        return self._info

    @property
    def abilities(self) -> Abilities:
        """The lean methods, on all backbones of the catalogue, with images of a fixed size."""
        return ONNX

    @property
    def device(self) -> str:
        """The processor."""
        return "cpu"

    @property
    def threads(self) -> int:
        """The threads of sessions that are made from now on."""
        return self._runtime.threads

    @threads.setter
    def threads(self, threads: int) -> None:
        self._runtime.threads = threads

    @property
    def versions(self) -> dict[str, str]:
        """ONNX Runtime's version."""
        return {"onnxruntime": onnxruntime.__version__}

    @property
    def weights_bytes(self) -> int:
        """The bytes of the weights, batch norms folded in."""
        return sum(
            4 * (layer.out_channels + layer.weight_size) for layer in self._runtime.network.layers()
        )

    @property
    def order(self) -> dict[str, Any] | None:
        """How to open the same engine in another process."""
        return {**dataclasses.asdict(self._frozen), "engine": self.name, "device": "cpu"}

    def at_once(self, image_px: int, batch: int) -> int:
        """Return few: two images of 160 px, one larger one, more of smaller ones."""
        return min(batch, images_at_once(image_px))

    def release(self) -> None:
        """Let go of all sessions that no model is learning with."""
        self._runtime.release()

    def features(self, images: Images) -> Features:
        """Compute the frozen backbone's features, of few images at once."""
        width = self._info.features
        session = self._runtime.session(Head(), images.shape[1])
        head: dict[str, npt.NDArray[Any]] = {
            names.HEAD_WEIGHT: np.zeros((1, width), np.float32),
            names.HEAD_BIAS: np.zeros(1, np.float32),
        }
        few = in_pieces(images, images_at_once(images.shape[1]))
        runs = [{IMAGES: piece, **head} for piece in few]
        return rows(session.run_each([names.FEATURES], runs), width)

    def multiply_adds(self, px: int) -> int:
        """Count those of the convolutions."""
        return self._runtime.multiply_adds(px)

    def new_model(
        self, method: Method, classes: int, *, seed: int, gates: GateConfig | None = None
    ) -> OnnxModel:
        """Draw first values as PyTorch would."""
        adaptor = self._adaptor(method, classes)
        values = first_values(domain_parameters(adaptor, classes), seed)
        return OnnxModel(self._runtime, method, adaptor, classes, values)

    def forms(
        self, method: Method, classes: int, gates: GateConfig | None = None
    ) -> Mapping[str, Form]:
        """List all parameters."""
        adaptor = self._adaptor(method, classes)
        return {p.name: ("float32", p.shape) for p in domain_parameters(adaptor, classes)}

    def load_model(
        self,
        method: Method,
        classes: int,
        stored: Mapping[str, npt.NDArray[Any]],
        gates: GateConfig | None = None,
    ) -> OnnxModel:
        """Join what the file keeps to a vector."""
        adaptor = self._adaptor(method, classes)
        values = join_vector(domain_parameters(adaptor, classes), stored)
        return OnnxModel(self._runtime, method, adaptor, classes, values)

    def write_graphs(self, folder: Path, method: Method, sizes: Sequence[int]) -> GraphFiles:
        """Copy the files that this engine runs, and draw first values."""
        parameters = adaptor_for(method, self._runtime.network).parameters
        values = first_values(parameters, SEED) if parameters else np.zeros(0, np.float32)
        first = f"{method.name}-{SEED}.values"
        write_atomically(folder / first, values.astype("<f4").tobytes())
        sized, write = [], self._runtime.write_graph
        for px in sizes:
            sized.append(
                SizedGraphs(
                    image_px=px,
                    learning=write(folder, "learning", method, px)[0],
                    recognising=write(folder, "recognising", method, px)[0],
                    template=write(folder, "template", method, px)[0],
                    signed_template=write(folder, "signed template", method, px)[0],
                    at_once=images_at_once(px),
                )
            )
        graph, weights = write(folder, "recognising", Head(), LOOK_PX)
        look = LookGraph(LOOK_PX, graph, images_at_once(LOOK_PX))
        shapes = tuple((parameter.name, parameter.shape) for parameter in parameters)
        stored = FrozenWeights(self._runtime.network, weights).places
        places = tuple((name, place.shape, place.offset) for name, place in stored.items())
        return GraphFiles(weights, places, first, shapes, tuple(sized), look)

    def _adaptor(self, method: Method, classes: int) -> Adaptor:
        if classes < 1:
            raise OptionError(f"A head for {classes} classes is not possible: give at least 1.")
        return adaptor_for(method, self._runtime.network)
