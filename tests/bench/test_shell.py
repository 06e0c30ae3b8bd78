"""A command in a process of its own, and what is told of it."""

import json
import sys

import pytest

from addapt.bench.shell import run_addapt


def test_what_a_command_took_and_said() -> None:
    ran = run_addapt(["--version"])
    assert (ran.exit_code, ran.err) == (0, "")
    assert ran.out.startswith("addapt ")
    assert ran.cpu_s is None or 0 < ran.cpu_s
    assert ran.wall_s > 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_the_peak_is_that_of_the_process_and_not_of_this_one() -> None:
    held = bytearray(300_000_000)  # which a process that is forked from this one shares
    held[:: 1 << 12] = b"x" * len(held[:: 1 << 12])
    ran = run_addapt(["methods"])
    assert ran.process_bytes is not None
    assert 10_000_000 < ran.process_bytes < 250_000_000
    del held


def test_a_command_that_fails_says_so() -> None:
    ran = run_addapt(["show", "absent"], {"json": True, "store": "none"}, {"NO_COLOR": "1"})
    assert ran.exit_code == 2
    assert "absent" in ran.err and "error" in json.loads(ran.out)
