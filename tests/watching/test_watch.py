"""The loop: what is recognised, what is answered, what it comes to."""

import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from addapt._errors import DataError, OptionError
from addapt.images import Given
from addapt.memory import rss_bytes
from addapt.watching import NONE, Answer, Sight, Summary, Watching, watch_frames
from addapt.watching.frames import Frame
from addapt.watching.pace import as_live
from addapt.watching.smoothing import Probabilities
from tests.watching.scenes import RATE, Camera, FakeClock, drawn, frames_of, with_thing

SCENE = drawn(1) * 0.8
THING = with_thing(SCENE)
SIGHTS = (Sight("scenes", "nothing"), Sight("scenes", "thing"), NONE)


class Network:
    """Says whether there is a thing, and takes its time."""

    def __init__(self, clock: FakeClock, takes_s: float = 0.0, sure: float = 0.95) -> None:
        self.asked = list[int]()
        self._clock, self._takes_s, self._sure = clock, takes_s, sure

    def __call__(self, image: Given, number: int) -> Probabilities:
        self._clock.passes(self._takes_s)
        self.asked.append(number)
        if isinstance(image, Path):
            if image.name == "broken":
                raise DataError("broken")
            there = image.name == "thing"
        else:
            assert isinstance(image, np.ndarray)
            there = bool(abs(int(image[70:80, 100:110, 0].mean()) - 220) < 15)
        thing = self._sure if there else 1 - self._sure
        return np.array([1 - thing, thing], np.float32)


def watch(
    frames: Iterable[Frame],
    watching: Watching | None = None,
    told: Callable[[str], None] = print,
    network: Network | None = None,
    clock: FakeClock | None = None,
) -> list[Answer]:
    clock = clock or FakeClock()
    network = network or Network(clock)
    return list(watch_frames(frames, SIGHTS, network, watching or Watching(), clock, told))


def scenes(*parts: tuple[int, bool]) -> list[np.ndarray]:
    camera = Camera()
    return [camera.takes(THING if thing else SCENE) for n, thing in parts for _ in range(n)]


def changes(answers: Iterable[Answer]) -> list[tuple[float, str | None]]:
    return [(answer.time_s, answer.label) for answer in answers if answer.changed]


def test_still_scenes_are_computed_seldom_and_changes_answered_soon() -> None:
    clock = FakeClock()
    network = Network(clock)
    answers = watch(frames_of(scenes((200, False), (200, True), (200, False))), network=network)
    assert len(answers) == 600
    assert len(network.asked) == sum(answer.recognised for answer in answers) <= 60
    (_, first), (came_s, second), (went_s, third) = changes(answers)
    assert (first, second, third) == ("nothing", "thing", "nothing")
    assert 8 <= came_s <= 8.5
    assert 16 <= went_s <= 16.5


def test_a_single_mistaken_frame_is_smoothed_away() -> None:
    parts = (50, False), (1, True), (50, False)
    assert [label for _, label in changes(watch(frames_of(scenes(*parts))))] == ["nothing"]
    rough = watch(frames_of(scenes(*parts)), Watching(smooth_s=0))
    assert [label for _, label in changes(rough)] == ["nothing", "thing", "nothing"]


def test_what_is_not_sure_is_not_told() -> None:
    clock = FakeClock()
    network = Network(clock, sure=0.7)
    answers = watch(frames_of(scenes((10, True))), Watching(above=0.8), network=network)
    assert {answer.label for answer in answers} == {None}
    assert answers[0].changed
    assert answers[-1].probability == pytest.approx(0.7)
    assert watch(frames_of(scenes((5, True))), Watching(above=0.65), network=network)[0].label


def test_what_is_refused_is_an_answer_of_its_own() -> None:
    seen = {"in": [0.9, 0.1, 0], "out": [0, 0, 1], "between": [0.5, 0.5, 0]}

    def recognise(image: Given, number: int) -> Probabilities:
        return np.array(seen[str(image)], np.float32)

    names = ("in", "out", "out", "between", "out")
    frames = [
        Frame(i, i / 100, lambda path=Path(name): path, file=Path(name))  # type: ignore[misc]
        for i, name in enumerate(names)
    ]
    answers = list(watch_frames(frames, SIGHTS, recognise, Watching(), FakeClock(), print))
    assert [answer.refused for answer in answers] == [False, True, True, False, True]
    assert [answer.domain for answer in answers] == ["scenes", None, None, None, None]
    assert [answer.label for answer in answers] == ["nothing", None, None, None, None]
    assert [answer.changed for answer in answers] == [True, True, False, True, True]


def test_a_slow_machine_drops_frames_and_is_never_late() -> None:
    clock = FakeClock()
    recorded = frames_of(scenes((100, False), (100, True)))
    network = Network(clock, takes_s=0.2)
    answers = []
    live = as_live(recorded, clock)
    summary = Summary(clock)
    for answer in watch_frames(live, SIGHTS, network, Watching(), clock, print):
        assert clock.now() - 1000 - answer.time_s <= 0.2 + 1.1 / RATE
        summary.add(answer)
        answers.append(answer)
    assert len(answers) < 200
    ((_, first), (came_s, second)) = changes(answers)
    assert (first, second) == ("nothing", "thing")
    assert 4 <= came_s <= 4.5
    assert summary.seen == 200
    assert summary.answered == len(answers)
    assert summary.recognised == len(network.asked)
    assert summary.changes == 1
    assert summary.median_s == pytest.approx(0.2)
    assert summary.elapsed_s == pytest.approx(8, abs=0.3)


def test_images_of_a_folder_each_speak_for_themselves() -> None:
    names = ("thing", "thing", "other", "broken", "thing")
    told = list[str]()
    frames = [
        Frame(i, i / 100, lambda path=Path(name): path, file=Path(name))  # type: ignore[misc]
        for i, name in enumerate(names)
    ]
    answers = watch(frames, told=told.append)
    assert [answer.label for answer in answers] == ["thing", "thing", "nothing", "thing"]
    assert [answer.frame for answer in answers] == [0, 1, 2, 4]
    assert all(answer.recognised for answer in answers)
    assert told == ["Left out: broken"]


def test_a_summary_of_nothing() -> None:
    summary = Summary(FakeClock())
    assert (summary.seen, summary.changes, summary.median_s) == (0, 0, None)


@pytest.mark.parametrize(
    "asked", [{"above": 1.1}, {"above": -0.1}, {"smooth_s": -1.0}, {"at_least_every_s": np.inf}]
)
def test_what_makes_no_sense_is_refused(asked: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=next(iter(asked))):
        Watching(**asked)  # type: ignore[arg-type]


def held_at_quarters(frames: int, held_bytes: Callable[[], int]) -> list[int]:
    """Watch a scene that holds still and moves in turns."""
    some = scenes((40, False), (20, True))
    images = (some[i % 60] if i // 1000 % 2 else some[i % 40] for i in range(frames))
    clock = FakeClock()
    network, summary, held = Network(clock), Summary(clock), list[int]()
    for answer in watch_frames(frames_of(images), SIGHTS, network, Watching(), clock, print):
        network.asked.clear()
        summary.add(answer)
        if summary.answered % (frames // 4) == 0:
            held.append(held_bytes())
    return held


def test_what_is_held_does_not_grow() -> None:
    tracemalloc.start()
    try:
        held = held_at_quarters(400, lambda: tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # The summary's times of recognitions are still being filled.
    assert held[-1] - held[1] < 20_000


@pytest.mark.slow
@pytest.mark.skipif(rss_bytes() is None, reason="this system does not tell")
def test_a_hundred_thousand_frames_take_no_memory() -> None:
    held = held_at_quarters(100_000, lambda: rss_bytes() or 0)
    assert held[-1] - held[0] < 1_000_000
