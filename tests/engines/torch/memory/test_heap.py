"""A heap played with numbers: where blocks go, and what holes they leave."""

import random

from addapt.engines.torch.memory.heap import SLACK_BYTES, Heap


def test_a_hole_is_used_again_only_where_a_block_fits_with_slack() -> None:
    heap = Heap()
    for key in range(3):
        heap.allocate(key, 1000)
    heap.free(1)
    assert (heap.end_bytes, heap.hole_bytes) == (3000, 1000)
    heap.allocate(3, 1000)  # as large as the hole: no room to align it
    assert (heap.end_bytes, heap.hole_bytes) == (4000, 1000)
    heap.allocate(4, 1000 - SLACK_BYTES)
    assert (heap.end_bytes, heap.hole_bytes) == (4000, SLACK_BYTES)


def test_holes_are_joined_and_the_last_one_grows() -> None:
    heap = Heap()
    for key in range(4):
        heap.allocate(key, 1000)
    heap.free(1)
    heap.free(3)
    heap.free(2)  # between two holes, of which one reaches to the end
    assert (heap.end_bytes, heap.hole_bytes) == (4000, 3000)
    heap.allocate(5, 5000)
    assert (heap.end_bytes, heap.hole_bytes) == (6000, 0)


def test_the_smallest_hole_that_fits_is_taken() -> None:
    heap = Heap()
    for key, size in enumerate((5000, 10, 2000, 10)):
        heap.allocate(key, size)
    heap.free(0)
    heap.free(2)
    heap.allocate(4, 1500)
    heap.allocate(5, 4500)  # the large hole was left for it
    assert heap.end_bytes == 7020


def test_blocks_never_overlap_and_nothing_is_lost() -> None:
    numbers, heap = random.Random(0), Heap()
    sizes: dict[int, int] = {}
    for key in range(2000):
        if sizes and numbers.random() < 0.5:
            gone = numbers.choice(sorted(sizes))
            heap.free(gone)
            del sizes[gone]
        else:
            sizes[key] = numbers.randrange(1, 5000)
            heap.allocate(key, sizes[key])
        assert heap.end_bytes - heap.hole_bytes == sum(sizes.values())
        places = sorted(heap._blocks.values())
        assert all(a + n <= b for (a, n), (b, _) in zip(places, places[1:], strict=False))
    heap.free(-1)  # of another heap
    assert heap.end_bytes - heap.hole_bytes == sum(sizes.values())
