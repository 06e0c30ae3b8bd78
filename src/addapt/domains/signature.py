"""A domain's signature: what its file keeps so that an image is known to belong to it, or not to.

It has two planes. That of the shared look is of the frozen backbone's features of small images,
which are the same for all domains: the nearest is the domain that is meant. That of the answer is
of the adapted network's features, which come with its answer: it tells whether to believe it.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from addapt.domains.plane import Features, Numbers, Plane, Spread

LOOK_PX = 64
PREFIX = "signature."  # of the names of its tensors; no module of a method is called so
SHA256 = "sha256"

_DTYPES = {"centre": "float16", "axes": "int8", "scales": "float32"}
_PLANES = ("look", "answer")
NAMES = frozenset(f"{PREFIX}{plane}.{part}" for plane in _PLANES for part in _DTYPES)


@dataclass(frozen=True)
class Signature:
    """What images of a domain are like.

    Args:
        look_px: side of the images at the shared look.
        look: the plane of the frozen features.
        answer: the plane of the adapted features.
        spread: of the distances of the domain's own images from the plane of the answer.
    """

    look_px: int
    look: Plane
    answer: Plane
    spread: Spread

    def relative(self, features: Features) -> Numbers:
        """Return how far adapted features (n, f) are off: 0 is usual and 1 the limit; (n,)."""
        return self.spread.relative(self.answer.distances(features))

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to keep, by their names in the domain's file."""
        return {
            f"{PREFIX}{name}.{part}": getattr(getattr(self, name), part)
            for name in _PLANES
            for part in _DTYPES
        }

    def fields(self) -> dict[str, Any]:
        """Return what the description of the domain says of it, the tensors' hash included."""
        sha256 = _sha256(self.tensors())
        return {"look_px": self.look_px, "spread": asdict(self.spread), SHA256: sha256}

    @classmethod
    def of(cls, fields: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> "Signature":
        """Put together what `fields` and `tensors` gave.

        Raises:
            ValueError: they do not belong together; the message says why.
        """
        if tensors.keys() != NAMES:
            raise ValueError("tensors of its signature are missing")
        if _sha256(tensors) != fields[SHA256]:
            raise ValueError("its signature is not the one that was written")
        planes = {}
        for name in _PLANES:
            parts = {part: tensors[f"{PREFIX}{name}.{part}"] for part in _DTYPES}
            shapes = [parts[part].shape for part in _DTYPES]
            (features, *more), count = shapes[0] or (0, 0), len(parts["axes"])
            if more or shapes[1:] != [(count, features), (count,)]:
                raise ValueError("the tensors of its signature do not fit together")
            if any(parts[part].dtype.name != dtype for part, dtype in _DTYPES.items()):
                raise ValueError("a tensor of its signature has another type")
            if not all(np.isfinite(parts[part]).all() for part in _DTYPES):
                raise ValueError("its signature holds values that are no finite numbers")
            planes[name] = Plane(**parts)
        return cls(fields["look_px"], **planes, spread=Spread(**fields["spread"]))


def are_signature_fields(value: object) -> bool:
    """Tell whether a description may say this of a signature; it may be empty."""
    if value == {}:
        return True
    return (
        isinstance(value, dict)
        and value.keys() == {"look_px", "spread", SHA256}
        and _is_count(value["look_px"])
        and isinstance(value[SHA256], str)
        and _is_spread(value["spread"])
    )


def _is_spread(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"mean", "deviation", "images"}
        and _is_count(value["images"])
        and _is_number(value["mean"])
        and _is_number(value["deviation"])
        and value["deviation"] > 0
    )


def _is_count(value: object) -> bool:
    return type(value) is int and 0 < value < 2**31


def _is_number(value: object) -> TypeGuard[float]:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _sha256(tensors: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].shape}\n".encode())
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()
