"""From a graph's nodes to an ONNX model, and the file of frozen weights that it refers to."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from addapt.engines.onnx.frozen import FrozenWeights, StoredWeight
from addapt.engines.onnx.graph import Graph, Port
from addapt.engines.recogniser import ONNX_OPSET

IR_VERSION = 10  # of the same age as the operators


def to_model(g: Graph, name: str) -> onnx.ModelProto:
    """Return the model of a graph."""
    nodes = [
        helper.make_node(node.kind, node.inputs, node.outputs, **_attributes(node.attributes))
        for node in g.nodes
    ]
    constants = [
        _stored(name, value)
        if isinstance(value, StoredWeight)
        else numpy_helper.from_array(value, name)
        for name, value in g.constants.items()
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [_info(port) for port in g.inputs],
        [_info(port) for port in g.outputs],
        constants,
        value_info=[_info(Port(name, np.float32, shape)) for name, shape in g.shapes.items()],
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", ONNX_OPSET)],
        ir_version=IR_VERSION,
        producer_name="addapt",
    )


def weights_parts(
    frozen: FrozenWeights, arrays: Iterable[tuple[str, npt.NDArray[np.float32]]]
) -> Iterator[bytes | memoryview]:
    """Yield what the file of weights consists of: arrays, by name and in the order of their places.

    One at a time, as some networks are larger than what a device has free.
    """
    written = 0
    for name, array in arrays:
        place = frozen.places[name]
        assert array.shape == place.shape and array.dtype == np.float32
        yield b"\0" * (place.offset - written)
        yield np.ascontiguousarray(array).data.cast("B")
        written = place.offset + place.length
    yield b"\0" * (frozen.file_bytes - written)


def _attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    """Spell types of elements as ONNX does."""
    if isinstance(attributes.get("to"), str):
        dtype = helper.np_dtype_to_tensor_dtype(np.dtype(str(attributes["to"])))
        return {**attributes, "to": dtype}
    return attributes


def _info(port: Port) -> onnx.ValueInfoProto:
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype))
    return helper.make_tensor_value_info(port.name, dtype, port.shape)


def _stored(name: str, weight: StoredWeight) -> onnx.TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=weight.shape)
    tensor.data_location = TensorProto.EXTERNAL
    entries = {"location": weight.file, "offset": weight.offset, "length": weight.length}
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor
