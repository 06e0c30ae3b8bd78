"""Frozen layers as nodes, where comparing whole steps would not show a mistake."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from addapt.backbones.networks import network
from addapt.engines.onnx.frozen import FrozenWeights
from addapt.engines.onnx.graph import Graph, Map
from addapt.engines.onnx.layers import mask, masked, sum_squares
from addapt.engines.onnx.maker import WRITERS
from addapt.engines.onnx.writing import to_model
from addapt.methods import DA3, Bias, Method
from tests.engines.onnx.pair import Pair, some_images, some_labels


def a_graph() -> Graph:
    return Graph(FrozenWeights(network("mobilenet_v2"), "no.weights"))


def computed(g: Graph, **inputs: Any) -> Any:
    session = onnxruntime.InferenceSession(to_model(g, "test").SerializeToString())
    return session.run(None, inputs)[0]


@pytest.mark.parametrize(
    ("activation", "passing"), [("relu", [0, 0, 1, 1, 1, 1]), ("relu6", [0, 0, 1, 1, 1, 0])]
)
def test_gradients_end_where_activations_do(activation: str, passing: list[int]) -> None:
    below_six = np.nextafter(np.float32(6), np.float32(0))
    y = np.array([-0.0, 0, 1e-37, 3, below_six, 6], np.float32).reshape(1, 6, 1, 1)
    g = a_graph()
    of_y = Map(g.input("gradient", "n", 6, 1, 1), 6, 1)
    passes = mask(g, Map(g.input("y", "n", 6, 1, 1), 6, 1), activation)
    g.output("before", masked(g, of_y, passes).value, "n", 6, 1, 1)
    gradient = np.arange(2, 8, dtype=np.float32).reshape(1, 6, 1, 1)
    before = computed(g, gradient=gradient, y=y)
    assert np.array_equal(before, gradient * np.reshape(passing, (1, 6, 1, 1)))


@pytest.mark.parametrize(("side", "grid_side"), [(10, 5), (7, 5), (5, 5), (9, 1)])
def test_sums_over_squares(side: int, grid_side: int) -> None:
    x = np.random.default_rng(0).integers(-9, 10, (2, 3, side, side)).astype(np.float32)
    g = a_graph()
    sums = sum_squares(g, Map(g.input("x", "n", 3, side, side), 3, side), grid_side)
    g.output("sums", sums.value, "n", 3, sums.side, sums.side)
    square = -(-side // grid_side)
    starts = range(0, side, square)
    expected = np.add.reduceat(np.add.reduceat(x, starts, axis=2), starts, axis=3)
    assert np.array_equal(computed(g, x=x), expected)


@pytest.mark.parametrize(
    ("name", "method", "px"),
    [
        ("mobilenet_v2", DA3(first_block=11), 97),
        ("mobilenet_v2", Bias(), 45),
        ("resnet18", DA3(first_block=4), 65),
    ],
)
def test_values_have_the_shapes_that_the_runtime_is_told(
    name: str, method: Method, px: int, tmp_path: Path
) -> None:
    """It believes them, and adds maps of the same shape in place."""
    pair, images = Pair(name, method, tmp_path), 2
    pair.onnx_step(some_images(images, px), some_labels(images))
    g = Graph(FrozenWeights(pair.described, f"{name}.weights"))
    WRITERS["learning"](g, pair.adaptor(), px)
    told = {
        value: [images if side == "n" else side for side in g.shapes[value]] for value in g.shapes
    }
    g.shapes.clear()
    model = to_model(g, "test")
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, None) for value in told
    )
    file = tmp_path / "told.onnx"
    file.write_bytes(model.SerializeToString())
    session = onnxruntime.InferenceSession(str(file))
    given = session.run(list(told), pair.step_inputs(some_images(images, px), some_labels(images)))
    assert told
    assert {value: list(array.shape) for value, array in zip(told, given, strict=True)} == told
