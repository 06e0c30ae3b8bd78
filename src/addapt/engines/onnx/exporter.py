"""The content of an exported file; runs in the process that makes files."""

from collections.abc import Mapping
from importlib.metadata import version

import onnx

from addapt.backbones.networks import Network, network
from addapt.backbones.weights import LoadedWeights, folded
from addapt.engines.onnx.adaptor import Adaptor
from addapt.engines.onnx.exporting import ExportOrder
from addapt.engines.onnx.frozen import FrozenWeights
from addapt.engines.onnx.graph import Graph
from addapt.engines.onnx.making import GraphOrder
from addapt.engines.onnx.parameters import Vector
from addapt.engines.onnx.step import adaptor_for, write_exported
from addapt.engines.onnx.writing import to_model
from addapt.methods import build_method


def exported_bytes(
    order: GraphOrder, export: ExportOrder, loaded: LoadedWeights, arrays: Mapping[str, Vector]
) -> bytes:
    """Return the content of the file of a domain with these trained arrays."""
    described = network(order.backbone)
    adaptor = adaptor_for(build_method(order.method, order.hyperparameters), described)
    g = Graph(FrozenWeights(described, order.weights_file))
    write_exported(g, adaptor, order.image_px, arrays)
    g.constants.update(_shifted_weights(described, loaded, adaptor, arrays))
    model = to_model(g, f"addapt {order.method}")
    model.producer_version = version("addapt")
    model.doc_string = export.description
    onnx.helper.set_model_props(model, export.texts)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def _shifted_weights(
    described: Network, loaded: LoadedWeights, adaptor: Adaptor, arrays: Mapping[str, Vector]
) -> dict[str, Vector]:
    """Return the frozen weights, and the frozen biases with their shifts added."""
    found = {}
    for layer, weight, bias in folded(described, loaded.tensors):
        shift = adaptor.shifts.get(layer.name)
        found[f"{layer.name}.weight"] = weight
        found[f"{layer.name}.bias"] = bias if shift is None else bias + arrays[shift.name]
    return found
