"""A method's graphs as files, and what another runtime needs to know to run them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from addapt.methods import Method

SEED = 0  # of the first values


@dataclass(frozen=True)
class SizedGraphs:
    """The graphs for images of one size: names of files, and how many images to run at once.

    `template` and `signed_template`, for domains without and with a signature, are exported models
    that lack all arrays.
    """

    image_px: int
    learning: str
    recognising: str
    template: str
    signed_template: str
    at_once: int


@dataclass(frozen=True)
class LookGraph:
    """The graph of the shared look: the frozen features of images made small, for signatures."""

    image_px: int
    recognising: str
    at_once: int


@dataclass(frozen=True)
class GraphFiles:
    """What `WritesGraphs.write_graphs` has written into a folder.

    `weights` is the file of frozen weights that graphs refer to by this name; `places` has for each
    array in it name, shape, and offset in bytes, all of float32, little-endian. `first_values` is
    such a file from which learning starts: the vector of the adaptor's `parameters`, one after the
    other. A head of zeros comes to them.
    """

    weights: str
    places: tuple[tuple[str, tuple[int, ...], int], ...]
    first_values: str
    parameters: tuple[tuple[str, tuple[int, ...]], ...]
    sizes: tuple[SizedGraphs, ...]
    look: LookGraph


class WritesGraphs(ABC):
    """An engine whose graphs other runtimes can run."""

    @abstractmethod
    def write_graphs(self, folder: Path, method: Method, sizes: Sequence[int]) -> GraphFiles:
        """Write all graphs for images of these sizes, and that of the look.

        Args:
            folder: an existing one.
            method: spelt out for the backbone.
            sizes: sides of the images.

        Raises:
            OptionError: the engine does not have the method.
            TrainingError: the graphs cannot be made.
            OSError: the disk refused.
        """
