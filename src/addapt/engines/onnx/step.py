"""A method's graphs: one that makes a step of learning, one that recognises, two to export."""

from collections.abc import Mapping

import numpy as np

from addapt._errors import OptionError
from addapt.backbones.networks import Network
from addapt.engines.onnx.adaptor import Adaptor, Values
from addapt.engines.onnx.bias import ShiftedBiases
from addapt.engines.onnx.da3 import AdditiveAttention
from addapt.engines.onnx.distance import CENTRE, write_distance
from addapt.engines.onnx.ends import normalised
from addapt.engines.onnx.graph import IMAGES, Graph
from addapt.engines.onnx.head import FrozenFeatures
from addapt.engines.onnx.parameters import Vector
from addapt.methods import DA3, Bias, Head, Method

TARGETS, SCALE = "targets", "scale"
HEAD_WEIGHT, HEAD_BIAS = "head.weight", "head.bias"
FEATURES, LOGITS, LOSS, PROBABILITIES = "features", "logits", "loss", "probabilities"
DISTANCE = "distance"


def of_parameter(name: str) -> str:
    """Return the name of the output that is a trained array's gradient."""
    return f"of {name}"


def adaptor_for(method: Method, network: Network) -> Adaptor:
    """Spell a method out for a network.

    Raises:
        OptionError: this engine does not have it.
    """
    if isinstance(method, DA3):
        return AdditiveAttention(network, method)
    if isinstance(method, Bias):
        return ShiftedBiases(network)
    if isinstance(method, Head):
        return FrozenFeatures(network)
    raise OptionError(f"The engine 'onnx' has no method {method.name!r}.")


def write_recognising(g: Graph, adaptor: Adaptor, image_px: int) -> None:
    """Write what maps images to features and logits."""
    values = _parameters(g, adaptor)
    features = _features(g, adaptor, values, image_px, keep=False)
    g.output(FEATURES, features, "n", adaptor.network.info.features)
    g.output(LOGITS, _logits(g, features, adaptor.network), "n", "classes")


def write_exported(g: Graph, adaptor: Adaptor, image_px: int, arrays: Mapping[str, Vector]) -> None:
    """Write what maps images to probabilities, with a domain's arrays as constants.

    Its shifts are left out: they belong in the frozen biases. With the arrays of a signature there
    is a second output, the distance.
    """
    shifts = {parameter.name for parameter in adaptor.shifts.values()}
    constants = {name: array for name, array in arrays.items() if name not in shifts}
    g.constants.update(constants)
    values = {name: name for name in constants}
    classes, is_signed = len(arrays[HEAD_BIAS]), CENTRE in arrays
    _write_answers(g, adaptor, values, image_px, classes, is_signed=is_signed)


def write_template(g: Graph, adaptor: Adaptor, image_px: int, *, is_signed: bool) -> None:
    """Write the same without any arrays, neither the domain's nor the frozen ones.

    Who has them adds them as constants by their names; the graph adds shifts to frozen biases.
    """
    values = {parameter.name: parameter.name for parameter in adaptor.parameters}
    _write_answers(g, adaptor, values, image_px, "classes", is_signed=is_signed)
    for name in g.frozen.places:
        g.constants.pop(name, None)


def _write_answers(
    g: Graph, adaptor: Adaptor, values: Values, px: int, classes: int | str, *, is_signed: bool
) -> None:
    features = _features(g, adaptor, values, px, keep=False)
    logits = _logits(g, features, adaptor.network)
    g.output(PROBABILITIES, g.op("Softmax", logits, axis=1), "n", classes)
    if is_signed:
        g.output(DISTANCE, write_distance(g, features), "n")


def write_learning(g: Graph, adaptor: Adaptor, image_px: int) -> None:
    """Write what maps images and targets to logits, loss and all gradients.

    `targets` (n, classes) are probabilities, `scale` is 1 / images of the batch; the loss is the
    cross-entropy, and both are summed over the images at hand.
    """
    values = _parameters(g, adaptor)
    targets, scale = g.input(TARGETS, "n", "classes"), g.input(SCALE)
    features = _features(g, adaptor, values, image_px, keep=True)
    logits = _logits(g, features, adaptor.network)
    g.output(LOGITS, logits, "n", "classes")
    logs = g.op("Mul", g.op("LogSoftmax", logits, axis=1), targets)
    g.output(LOSS, g.op("Mul", g.op("Neg", g.total(logs, 0, 1)), scale))

    wrong = g.op("Sub", g.op("Softmax", logits, axis=1), targets)
    of_logits = g.op("Mul", wrong, scale)
    width = adaptor.network.info.features
    of_weight = g.op("Gemm", of_logits, features, transA=1)
    g.output(of_parameter(HEAD_WEIGHT), of_weight, "classes", width)
    g.output(of_parameter(HEAD_BIAS), g.total(of_logits, 0), "classes")
    if adaptor.parameters:
        of_features = g.op("MatMul", of_logits, HEAD_WEIGHT)
        gradients = adaptor.backward(g, of_features, values)
        for parameter in adaptor.parameters:
            g.output(of_parameter(parameter.name), gradients[parameter.name], parameter.size)


def _parameters(g: Graph, adaptor: Adaptor) -> Values:
    """Take the trained arrays, each by its name."""
    g.input(HEAD_WEIGHT, "classes", adaptor.network.info.features)
    g.input(HEAD_BIAS, "classes")
    return {p.name: g.input(p.name, *p.shape) for p in adaptor.parameters}


def _features(g: Graph, adaptor: Adaptor, values: Values, image_px: int, *, keep: bool) -> str:
    images = g.input(IMAGES, "n", image_px, image_px, 3, dtype=np.uint8)
    image = normalised(g, adaptor.network, images, image_px)
    return adaptor.forward(g, image, values, keep=keep)


def _logits(g: Graph, features: str, network: Network) -> str:
    return g.op("Gemm", features, HEAD_WEIGHT, HEAD_BIAS, transB=1)
