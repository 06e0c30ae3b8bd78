"""Recorded frames as if they were live: at their time, or dropped, never queued."""

from collections.abc import Iterator
from functools import partial

import pytest

from addapt.watching.frames import Frame
from addapt.watching.pace import Clock, as_live
from tests.watching.scenes import FakeClock


def recorded(count: int, rate: float, clock: FakeClock, decode_s: float = 0.0) -> Iterator[Frame]:
    for number in range(count):
        clock.passes(decode_s)
        yield Frame(number, number / rate, partial(str, ""))


def test_a_quick_machine_takes_all_each_at_its_time() -> None:
    clock = FakeClock()
    times = []
    for frame in as_live(recorded(50, 10, clock), clock):
        times.append(clock.now() - 1000)
        clock.passes(0.05)
        assert frame.number == len(times) - 1
    assert times == pytest.approx([i / 10 for i in range(50)])


def test_a_slow_machine_takes_the_newest_and_is_never_behind() -> None:
    clock = FakeClock()
    taken = []
    for frame in as_live(recorded(100, 25, clock), clock):
        if frame.number < 99:  # of the last one there is none newer
            assert clock.now() - 1000 - frame.at_s < 2 / 25
        clock.passes(0.3)
        taken.append(frame.number)
    assert taken[-1] == 99
    assert 12 <= len(taken) <= 16


def test_where_not_even_decoding_keeps_up_some_are_taken() -> None:
    clock = FakeClock()
    frames = recorded(100, 25, clock, decode_s=0.1)
    taken = [frame.number for frame in as_live(frames, clock)]
    assert 15 <= len(taken) <= 25
    assert taken[-1] == 99


def test_no_frames_and_one() -> None:
    clock = FakeClock()
    assert list(as_live(recorded(0, 25, clock), clock)) == []
    assert len(list(as_live(recorded(1, 25, clock), clock))) == 1


def test_the_real_clock_never_goes_back() -> None:
    clock = Clock()
    times = [clock.now() for _ in range(100)]
    assert times == sorted(times)
    assert times[0] > 1.7e9
