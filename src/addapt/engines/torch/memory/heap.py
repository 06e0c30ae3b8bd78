"""A heap that keeps what is freed, played with numbers alone."""

import bisect

# To align a block at 64 bytes, as PyTorch asks, glibc looks for a hole that is larger by this.
SLACK_BYTES = 96


class Heap:
    """Places blocks as glibc does: in the smallest hole that fits, else at the end.

    `end_bytes` is how far it has grown, `hole_bytes` how much of that is free.
    """

    def __init__(self) -> None:
        self.end_bytes = 0
        self.hole_bytes = 0
        self._blocks: dict[int, tuple[int, int]] = {}  # key -> start and size
        self._holes: list[tuple[int, int]] = []  # start and size, in order, none beside another

    def allocate(self, key: int, nbytes: int) -> None:
        """Find a place for a block of `nbytes`, which `key` tells from others."""
        fitting = [hole for hole in self._holes if hole[1] >= nbytes + SLACK_BYTES]
        if fitting:
            hole = min(fitting, key=lambda hole: hole[1])
            self._holes.remove(hole)
            start, size = hole
            if size > nbytes:
                bisect.insort(self._holes, (start + nbytes, size - nbytes))
            self.hole_bytes -= nbytes
        elif self._holes and sum(self._holes[-1]) == self.end_bytes:
            # The last hole reaches to the end, which grows by what is missing.
            start, size = self._holes.pop()
            self.hole_bytes -= size
            self.end_bytes = start + nbytes
        else:
            start = self.end_bytes
            self.end_bytes += nbytes
        self._blocks[key] = start, nbytes

    def free(self, key: int) -> None:
        """Make a hole of a block, joined with those beside it; others' blocks are left alone."""
        if key not in self._blocks:
            return
        start, size = self._blocks.pop(key)
        self.hole_bytes += size
        place = bisect.bisect(self._holes, (start, size))
        if place < len(self._holes) and self._holes[place][0] == start + size:
            size += self._holes.pop(place)[1]
        if place > 0 and sum(self._holes[place - 1]) == start:
            place -= 1
            start, before = self._holes.pop(place)
            size += before
        self._holes.insert(place, (start, size))
