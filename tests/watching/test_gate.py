"""The gate: silent in front of still scenes, whatever the camera's noise, and awake to changes."""

from collections.abc import Iterable
from functools import partial

import numpy as np
import pytest

from addapt.watching.frames import SMALL_PX, Small, in_planes, small_copy
from addapt.watching.gate import (
    LEAST_CHANGE,
    MEASURE_EVERY,
    MOST_MEASURED,
    FrameGate,
    difference,
)
from tests.watching.scenes import RATE, WIDTH, Camera, Levels, Pixels, drawn, with_thing

SCENE = drawn(1) * 0.8


def recognised(
    images: Iterable[Pixels], every_s: float = 0, gate: FrameGate | None = None
) -> list[int]:
    """Return the numbers of the frames that the gate lets through."""
    gate = gate or FrameGate(every_s)
    numbers = []
    for number, image in enumerate(images):
        if gate.opens(partial(small_copy, image), number / RATE):
            gate.recognised(number / RATE)
            numbers.append(number)
    return numbers


def taken(scenes: Iterable[Levels], noise: float = 8.0) -> list[Pixels]:
    camera = Camera(noise)
    return [camera.takes(scene) for scene in scenes]


def flat(*levels: float) -> Small:
    return np.repeat(np.array(levels, np.float32)[:, None], SMALL_PX**2, axis=1)


@pytest.mark.parametrize("noise", [0, 4, 8])
def test_a_still_scene_is_recognised_once(noise: float) -> None:
    assert recognised(taken([SCENE] * 250, noise)) == [0]


def test_or_as_often_as_is_asked_for() -> None:
    assert recognised(taken([SCENE] * 250), every_s=3) == [0, 75, 150, 225]


def test_strong_noise_is_learned_in_the_first_second() -> None:
    numbers = recognised(taken([SCENE] * 250, noise=20))
    assert len(numbers) > 1  # or it would test nothing
    assert numbers[-1] < RATE


def test_a_camera_that_gives_each_frame_twice_has_as_much_noise() -> None:
    once = taken([SCENE] * 100, noise=20)
    numbers = recognised([once[i // 2] for i in range(200)])
    assert len(numbers) > 1
    assert numbers[-1] < RATE


@pytest.mark.parametrize("px", [16, 36, 90])
def test_a_thing_that_comes_is_seen_at_once_and_when_all_is_settled(px: int) -> None:
    scenes = [SCENE] * 100 + [with_thing(SCENE, px=px)] * 100
    first, at_once, settled = recognised(taken(scenes))
    assert (first, at_once) == (0, 100)
    assert 100 < settled <= 107


def test_a_lamp_that_turns_from_red_to_green_is_seen() -> None:
    red, green = np.zeros((2, *SCENE.shape), np.float32)
    red[...], green[...] = (200, 60, 40), (60, 131, 42)  # the same in grey
    numbers = recognised(taken([red] * 50 + [green] * 50))
    assert 50 in numbers


def test_light_that_fades_slowly_is_no_change_but_a_lamp_switched_off_is() -> None:
    fading = [SCENE * (1 - 0.5 * i / 300) for i in range(300)]
    assert len(recognised(taken(fading))) <= 5
    dark = [SCENE] * 50 + [SCENE * 0.6] * 50
    assert 50 in recognised(taken(dark))


def test_flickering_light_is_noise() -> None:
    every_other = [SCENE * (1 + 0.05 * (-1) ** i) for i in range(150)]
    in_threes = [SCENE * (1 + 0.05 * np.sin(2.1 * i)) for i in range(150)]
    assert len(recognised(taken(every_other))) <= 10
    assert len(recognised(taken(in_threes))) <= 10


def test_each_blink_is_seen_and_each_only_shortly() -> None:
    blinks = [with_thing(SCENE) if i // RATE % 2 else SCENE for i in range(250)]
    numbers = recognised(taken(blinks))
    assert set(range(0, 250, RATE)) <= set(numbers)
    assert len(numbers) <= 2 * 250 // RATE


def test_what_moves_from_the_start_is_not_taken_for_noise() -> None:
    wide = np.concatenate([drawn(seed) for seed in range(8)], axis=1)
    passing = [wide[:, 4 * i : 4 * i + WIDTH] for i in range(200)]
    still = [passing[-1]] * 50 + [with_thing(passing[-1])] * 50
    numbers = recognised(taken([*passing, *still]))
    assert len([n for n in numbers if n < 200]) > 190
    assert 250 in numbers
    assert len([n for n in numbers if 230 < n < 250]) <= 2


def test_however_wildly_it_moves_it_is_no_noise_and_a_change_is_seen_when_it_holds_still() -> None:
    snow = np.random.default_rng(0).integers(0, 256, (100, 6, 8, 3), np.uint8)
    gate = FrameGate(0)
    recognised([*snow], gate=gate)
    assert gate._noise.change == LEAST_CHANGE
    later = recognised(taken([SCENE] * 25 + [with_thing(SCENE)] * 25), gate=gate)
    assert 25 in later


def test_what_moves_for_long_is_compared_seldom_and_seen_to_hold_still() -> None:
    wide = np.concatenate([drawn(seed) for seed in range(8)], axis=1)
    passing = [wide[:, 4 * i : 4 * i + WIDTH] for i in range(200)]
    still = [passing[-1]] * 50
    compared = 0

    def counted(image: Pixels) -> Small:
        nonlocal compared
        compared += 1
        return small_copy(image)

    gate, opened = FrameGate(0), list[int]()
    for number, image in enumerate(taken([*passing, *still])):
        before = compared
        if gate.opens(partial(counted, image), number / RATE):
            gate.recognised(number / RATE)
            opened.append(number)
        if number == 199:
            assert before < 110
    assert opened[:200] == [*range(200)]
    assert max(opened) < 225


def test_noise_that_grows_is_learned_although_all_seems_new() -> None:
    gate = FrameGate(0)
    assert recognised(taken([SCENE] * 100), gate=gate) == [0]
    numbers = recognised(taken([SCENE] * 600, noise=24), gate=gate)
    assert len(numbers) > 50  # or it would test nothing
    assert numbers[-1] < 550


def test_a_clock_that_is_put_back_stops_nothing() -> None:
    gate, small = FrameGate(5), partial(small_copy, Camera().takes(SCENE))
    assert gate.opens(small, 5000)
    gate.recognised(5000)
    assert gate.opens(small, 100)
    gate.recognised(100)
    assert [gate.opens(small, at_s) for at_s in (101, 104.9, 105)] == [False, False, True]


def test_the_difference_of_light_and_of_content() -> None:
    levels = np.arange(SMALL_PX**2 * 3) % 200
    scene = in_planes(levels.astype(np.uint8).reshape(SMALL_PX, SMALL_PX, 3))
    half = difference(0.5 * scene, scene)
    assert half.light == pytest.approx([np.log(0.5)] * 3, abs=0.01)
    assert half.change < 1
    small = flat(100, 100, 100)
    small[:, :20] += 30
    found = difference(small, flat(100, 100, 100))
    assert found.change == pytest.approx(30)
    assert found.light == pytest.approx([0, 0, 0])


def test_nothing_grows_with_time() -> None:
    gate, small = FrameGate(0), flat(1, 2, 3)
    for i in range(MEASURE_EVERY * (MOST_MEASURED + 10)):
        shown = small.copy()
        shown[:, i % 3] += 9
        gate.opens(shown.copy, i)
    assert len(gate._noise._changes) == len(gate._noise._lights) == MOST_MEASURED
    assert len(gate._noise._last) == 2
