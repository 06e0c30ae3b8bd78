"""Image files with their classes: some dozens of bytes each, so that there may be many."""

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

Indices = Sequence[int] | npt.NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Sample:
    """One image file and its class, an index into the classes' names."""

    path: Path
    label: int


class Samples(Sequence[Sample]):
    """Samples in a fixed order, each made when it is asked for.

    Their paths lie one after another in `names`, without the `root` that they share, as the bytes
    by which the system knows them; sample i has those from `starts[i]` to `ends[i]`. A selection
    shares them.
    """

    def __init__(
        self,
        root: Path,
        names: bytes,
        starts: npt.NDArray[np.int64],
        ends: npt.NDArray[np.int64],
        labels: npt.NDArray[np.int64],
    ) -> None:
        self.root, self.labels = root, labels
        self._names, self._starts, self._ends = names, starts, ends

    @classmethod
    def of(cls, samples: Iterable[Sample], root: Path | None = None) -> "Samples":
        """Note each of `samples`, which may be gone afterwards; all lie in `root` if it is given.

        Those that are noted already stay as they are.
        """
        if isinstance(samples, cls):
            return samples
        names, offsets, labels = bytearray(), array("q", [0]), array("q")
        for sample in samples:
            path = sample.path if root is None else sample.path.relative_to(root)
            names += os.fsencode(path)
            offsets.append(len(names))
            labels.append(sample.label)
        places = np.array(offsets, np.int64)
        return cls(
            root or Path(), bytes(names), places[:-1], places[1:], np.array(labels, np.int64)
        )

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> "Samples": ...

    def __getitem__(self, index: int | slice) -> "Sample | Samples":
        if isinstance(index, slice):
            return self.select(index)
        return Sample(self.root / os.fsdecode(self.name(index)), int(self.labels[index]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Samples) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: "Samples") -> "Samples":
        """Join samples of one root."""
        before = len(self._names)
        return Samples(
            self.root,
            self._names + other._names,
            np.concatenate((self._starts, other._starts + before)),
            np.concatenate((self._ends, other._ends + before)),
            np.concatenate((self.labels, other.labels)),
        )

    def name(self, index: int | np.integer) -> bytes:
        """Return a sample's path below the root, as the system writes it."""
        return self._names[self._starts[index] : self._ends[index]]

    def relabelled(self, labels: npt.NDArray[np.int64]) -> "Samples":
        """Give the same images with new labels: those at the places of their old ones."""
        return Samples(self.root, self._names, self._starts, self._ends, labels[self.labels])

    def paths(self) -> Iterator[Path]:
        """Yield the files, one by one."""
        return (sample.path for sample in self)

    def select(self, indices: Indices | slice) -> "Samples":
        """Give some of the samples; a slice takes no memory of its own."""
        chosen = indices if isinstance(indices, slice) else np.asarray(indices, np.int64)
        return Samples(
            self.root, self._names, self._starts[chosen], self._ends[chosen], self.labels[chosen]
        )
