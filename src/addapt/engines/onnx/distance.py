"""How far adapted features are from those of the domain's own images, as a part of a graph.

It computes what `addapt.domains.Signature.relative` does.
"""

import numpy as np

from addapt.domains import Signature
from addapt.domains.plane import LEAST_DISTANCE
from addapt.engines.onnx.graph import Graph
from addapt.engines.onnx.parameters import Vector

CENTRE, AXES = "signature.centre", "signature.axes"
MEAN, SCALE = "signature.mean", "signature.scale"


def distance_arrays(signature: Signature) -> dict[str, Vector]:
    """Return what the graph has to know: the plane, and the mean and the scale of logarithms."""
    plane, spread = signature.answer, signature.spread
    axes = (plane.axes * plane.scales[:, None]).astype(np.float32)
    return {
        CENTRE: plane.centre.astype(np.float32),
        AXES: axes if len(axes) else np.zeros((1, plane.centre.size), np.float32),
        MEAN: np.array(spread.mean, np.float32),
        SCALE: np.array(spread.deviation * spread.limit(), np.float32),
    }


def write_distance(g: Graph, features: str) -> str:
    """Write what maps features (n, f) to distances (n,): 0 is usual, and 1 the limit."""
    least = g.constant(LEAST_DISTANCE)
    roots = g.op("Mul", g.op("Sign", features), g.op("Sqrt", g.op("Abs", features)))
    length = g.op("Sqrt", g.total(g.op("Mul", roots, roots), 1, keep=True))
    off = g.op("Sub", g.op("Div", roots, g.op("Max", length, least)), CENTRE)
    along = g.op("Gemm", off, AXES, transB=1)
    squared = g.op("Sub", g.total(g.op("Mul", off, off), 1), g.total(g.op("Mul", along, along), 1))
    found = g.op("Sqrt", g.op("Max", squared, g.constant(0)))
    return g.op("Div", g.op("Sub", g.op("Log", g.op("Max", found, least)), MEAN), SCALE)
