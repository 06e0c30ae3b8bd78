"""Milliseconds of looks at images: each size, making images smaller, and two looks together."""

import dataclasses
import statistics
import time
from collections.abc import Sequence

import domains
import numpy as np
from gates_points import FULL_PX, PX, Judged
from gates_sizes import Place, Size, counted, models
from result_rows import Row
from trial import BACKBONE

from addapt.bench.answers import Recogniser
from addapt.bench.predict import run_warm
from addapt.engines.base import Engine
from addapt.gates import RESOLUTION, GateConfig
from addapt.images import load_images, resize_images, scan_classes
from addapt.learning.gating import time_in_turns
from addapt.learning.two_looks import TwoLooks, choose_looks

IMAGES, IMAGE_ROUNDS = 32, 5  # of each domain with two looks
FIRST_PX = 96  # of its first look, and the share of the compute that is asked for
SHARE = 0.6


def time_sizes(sizes: Sequence[int], threads: int, rounds: int) -> list[Row]:
    """Time one look of each size, in turns, each in a process of its own."""
    looks = [Recogniser("onnx", BACKBONE, None, px, threads) for px in sorted(sizes)]
    return [dataclasses.asdict(row) for row in run_warm(looks, rounds)]


def time_shrinking(sizes: Sequence[int], interpolation: str, rounds: int) -> list[Row]:
    """Time how an image is made smaller, for each first look, in turns."""
    pairs = [(px, small) for px in FULL_PX for small in sizes if small < px]
    seconds: dict[tuple[int, int], list[float]] = {pair: [] for pair in pairs}
    generator = np.random.default_rng(0)
    for round_ in range(rounds + 1):
        for px, small in pairs:
            image = generator.integers(0, 256, (1, px, px, 3), np.uint8)
            started = time.perf_counter()
            resize_images(image, small, interpolation)
            if round_:  # the first makes what is kept
                seconds[px, small].append(time.perf_counter() - started)
    return [
        {"px": px, "first_px": small, "ms": round(1e3 * statistics.median(seconds[px, small]), 3)}
        for px, small in pairs
    ]


def time_two_looks(engine: Engine, place: Place, rounds: int) -> list[Row]:
    """Time two looks at test images one by one beside one look in full, in turns.

    For each domain whose models of both sizes are here.
    """
    found = []
    learned = [size for size in counted(place) if place.logits(size).exists()]
    for size in learned:
        full = dataclasses.replace(size, px=PX)
        if size.px == FIRST_PX and size.seed == 0 and full in learned:
            found.append(_time_two_looks(engine, place, full, size, rounds))
            print("{domain:14} two looks {ms:.1f} ms, one {full_ms:.1f} ms".format(**found[-1]))
    return found


def _time_two_looks(engine: Engine, place: Place, full: Size, first: Size, rounds: int) -> Row:
    says, first_says = (Judged.load(place.logits(size)) for size in (full, first))
    looks = choose_looks(
        first_says.held_out,
        says.held_out,
        says.held_out_labels,
        first.px,
        first_says.multiply_adds / says.multiply_adds,
        GateConfig(RESOLUTION, True, SHARE),
    )
    info = place.store.info(full.name)
    full_model, first_model = models(engine, place, full, first)
    model = TwoLooks(full_model, first_model, looks, info.interpolation)
    samples = scan_classes(domains.domain_folders(full.domain).test, info.classes).samples
    some = samples[:: max(1, len(samples) // IMAGES)][:IMAGES]
    images, _ = load_images(some, full.px, info.interpolation, value_range=info.value_range)
    singly = [images.batch([number]) for number in range(len(images))]
    seconds = [time_in_turns(model, image, image, rounds) for image in singly]
    both_s, full_s = (statistics.mean(column) for column in zip(*seconds, strict=True))
    return {
        "domain": full.domain,
        "px": full.px,
        "first_px": first.px,
        "second_share": model.open_shares(singly)[0][1],
        "ms": round(1e3 * both_s, 3),
        "full_ms": round(1e3 * full_s, 3),
    }
