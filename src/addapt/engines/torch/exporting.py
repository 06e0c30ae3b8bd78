"""A domain as one ONNX file, written by PyTorch's own exporter: any network, any method."""

import copy
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from addapt._disk import write_atomically
from addapt._errors import MissingPackageError, OptionError
from addapt._text import printable
from addapt.domains import Signature
from addapt.domains.plane import LEAST_DISTANCE
from addapt.engines.base import Distances, Images, Probabilities
from addapt.engines.recogniser import ONNX_OPSET
from addapt.engines.torch.methods import AdaptedModel

IMAGES, PROBABILITIES, DISTANCE = "images", "probabilities", "distance"
EXAMPLE_IMAGES = 2  # with one image the exporter would take their number for fixed
REASON_CHARACTERS = 300


class ExportedDomain(nn.Module):
    """What the file computes of bytes: probabilities, and with a signature the distance.

    Args:
        model: in evaluation mode.
        signature: of the domain, if it has one.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: AdaptedModel, signature: Signature | None) -> None:
        super().__init__()
        self.model = model
        self.distance = None if signature is None else DistanceFromPlane(signature)
        for name in ("mean", "std"):
            values = getattr(model.backbone.info.input, name)
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1))

    def forward(
        self, images: UInt8[Tensor, "n px px 3"]
    ) -> tuple[Float[Tensor, "n classes"]] | tuple[Float[Tensor, "n classes"], Float[Tensor, " n"]]:
        """Normalise, compute features and what is made of them."""
        x = images.to(torch.float32).permute(0, 3, 1, 2)
        features = self.model.features((x / 255 - self.mean) / self.std)
        probabilities = self.model.head(features).softmax(1)
        if self.distance is None:
            return (probabilities,)
        return probabilities, self.distance(features)


class DistanceFromPlane(nn.Module):
    """How far adapted features are off; it computes what `Signature.relative` does."""

    centre: Tensor
    axes: Tensor

    def __init__(self, signature: Signature) -> None:
        super().__init__()
        plane, spread = signature.answer, signature.spread
        self.register_buffer("centre", torch.from_numpy(plane.centre.astype(np.float32)))
        axes = (plane.axes * plane.scales[:, None]).astype(np.float32)
        self.register_buffer("axes", torch.from_numpy(axes))
        self.usual, self.scale = spread.mean, spread.deviation * spread.limit()

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, " n"]:
        """Return 0 for what is usual, and 1 at the limit."""
        roots = features.sign() * features.abs().sqrt()
        length = roots.square().sum(1, keepdim=True).sqrt()
        off = roots / length.clamp(min=LEAST_DISTANCE) - self.centre
        squared = off.square().sum(1)
        if len(self.axes):
            squared = squared - (off @ self.axes.T).square().sum(1)
        found = squared.clamp(min=0).sqrt().clamp(min=LEAST_DISTANCE)
        return (found.log() - self.usual) / self.scale


def write_exported_file(
    file: Path,
    model: AdaptedModel,
    image_px: int,
    description: str,
    texts: Mapping[str, str],
    signature: Signature | None,
) -> Callable[[Images], tuple[Probabilities, Distances | None]]:
    """Write a domain's file; return what computes with it in ONNX Runtime.

    Raises:
        MissingPackageError: what PyTorch's exporter needs is not installed.
        OptionError: the exporter cannot write this network.
        OSError: the disk refused.
    """
    _require_exporter()
    if next(model.parameters()).device.type != "cpu":
        model = copy.deepcopy(model).cpu()
    exported = ExportedDomain(model, signature).float().eval()
    outputs = [PROBABILITIES] if signature is None else [PROBABILITIES, DISTANCE]
    proto = _exported(exported, image_px, outputs, model.backbone.info.name)
    proto.producer_name, proto.producer_version = "addapt", version("addapt")
    proto.doc_string = description
    for key, value in texts.items():
        proto.metadata_props.add(key=key, value=value)
    write_atomically(file, proto.SerializeToString())
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def compute(images: Images) -> tuple[Probabilities, Distances | None]:
        probabilities, *distance = session.run(outputs, {IMAGES: images})
        return probabilities, distance[0] if distance else None

    return compute


@torch.no_grad()
def _exported(exported: ExportedDomain, image_px: int, outputs: list[str], name: str) -> Any:
    """Return the model as ONNX keeps it, for any number of images of this side.

    Raises:
        OptionError: the exporter does not know what the network computes with.
    """
    images = torch.zeros(EXAMPLE_IMAGES, image_px, image_px, 3, dtype=torch.uint8)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of how the exporter itself is written
            program = torch.onnx.export(
                exported,
                (images,),
                input_names=[IMAGES],
                output_names=outputs,
                dynamic_shapes={IMAGES: {0: torch.export.Dim("n")}},
                opset_version=ONNX_OPSET,
                dynamo=True,
                verbose=False,
            )
        assert program is not None
        proto = program.model_proto
    except Exception as error:  # foreign code, given a network that is foreign, too
        raise OptionError(
            f"A domain on {name} cannot be exported: PyTorch {torch.__version__} does not know how "
            f"to write that network as ONNX ({_first_reason(error)}). A newer PyTorch may: pip "
            "install --upgrade torch onnxscript. With PyTorch it is recognised as it is."
        ) from error
    for part in (*proto.graph.node, *proto.graph.value_info):
        part.ClearField("metadata_props")  # paths of this machine, and lines of code
    return proto


def _first_reason(error: BaseException) -> str:
    """Return the first line of the error from which the others came."""
    while error.__cause__ is not None:
        error = error.__cause__
    line = printable(str(error).strip().split("\n", 1)[0])[:REASON_CHARACTERS].rstrip(".")
    return line or type(error).__name__


def _require_exporter() -> None:
    if find_spec("onnxscript") is None:
        raise MissingPackageError(
            "PyTorch needs onnxscript, which is not installed, to export domains: "
            "pip install 'addapt[export]'."
        )
