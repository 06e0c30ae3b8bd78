"""What smaller images and two looks make of a domain, from the logits of one model for each size.

A size alone is what static gates of resolution are, and any two sizes are two looks: who gets the
second is settled on the images held out, just as it is when a domain is learned, and judged on the
test images. So no point has to be learned by itself.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from result_rows import Row

from addapt.engines.base import Labels, Logits
from addapt.gates import RESOLUTION, GateConfig
from addapt.learning.two_looks import choose_looks, last_logits, not_sure

PX = 224  # of images in full
FULL_PX = (PX, 160)  # what two looks look at at last; 160 px is what most domains are learned at
COMPUTE = (0.4, 0.6, 0.8)  # shares of the multiply-adds to ask two looks for
LOSE = (0.3, 1.0, 2.0)  # or points of accuracy; of a hundred images none, one and two


@dataclass(frozen=True)
class Judged:
    """What the model of one size says of the images held out, and of the test images.

    `multiply_adds` are those of one image.
    """

    held_out: Logits
    held_out_labels: Labels
    test: Logits
    test_labels: Labels
    multiply_adds: int

    def save(self, path: Path) -> None:
        """Write all of it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **vars(self))

    @classmethod
    def load(cls, path: Path) -> "Judged":
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            found = dict(arrays)
        return cls(**found | {"multiply_adds": int(found["multiply_adds"])})


def points(judged: Mapping[int, Judged]) -> list[Row]:
    """Return what each size alone does, and each two of them together, on the test images.

    Args:
        judged: by the size of images, of one domain; without images in full there is nothing to
            compare with, and no point.
    """
    if PX not in judged:
        return []
    sizes = sorted(judged, reverse=True)
    found = [point(judged, judged[px].test, judged[px].multiply_adds, px=px) for px in sizes]
    for px, first_px in itertools.product(FULL_PX, sizes):
        if px in judged and first_px < px:
            found += two_looks(judged, px, first_px)
    return found


def two_looks(judged: Mapping[int, Judged], px: int, first_px: int) -> list[Row]:
    """Return what two looks of these sizes do, for each share and each loss to ask for."""
    full, first = judged[px], judged[first_px]
    first_share = first.multiply_adds / full.multiply_adds
    shares = (GateConfig(RESOLUTION, True, share) for share in COMPUTE if share > first_share)
    found = []
    for config in (*shares, *(GateConfig(RESOLUTION, True, lose=lose) for lose in LOSE)):
        looks = choose_looks(
            first.held_out, full.held_out, full.held_out_labels, first_px, first_share, config
        )
        second = float(not_sure(first.test, looks).mean())
        found.append(
            point(
                judged,
                last_logits(first.test, full.test, looks),
                first.multiply_adds + second * full.multiply_adds,
                px=px,
                first_px=first_px,
                compute_target=config.compute if config.lose is None else None,
                lose=config.lose,
                second_share=second,
            )
        )
    return found


def point(
    judged: Mapping[int, Judged], test: Logits, multiply_adds: float, **made_so: float | None
) -> Row:
    """Describe one point, whose logits of the test images these are, beside images in full."""
    full = judged[PX]
    right, right_in_full = (logits.argmax(1) == full.test_labels for logits in (test, full.test))
    lost = right_in_full.astype(int) - right
    nothing = dict.fromkeys(("first_px", "compute_target", "lose"))
    return {
        **nothing,
        "second_share": 0.0,
        **made_so,
        "accuracy": float(right.mean()),
        "compute": multiply_adds / full.multiply_adds,
        "lost": float(lost.mean()),
        "lost_error": float(lost.std() / len(lost) ** 0.5),  # of the differences, image by image
    }
