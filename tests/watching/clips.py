"""Short videos, where the package that encodes them is installed."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from tests.watching.scenes import Pixels


def encode(path: Path, images: Sequence[Pixels], rate: int = 10) -> Path:
    """Write a video of these images."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.height, stream.width = images[0].shape[:2]
        stream.bit_rate = 4_000_000
        stream.time_base = Fraction(1, rate)
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path
