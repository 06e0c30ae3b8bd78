"""A group of processes with a limit of memory: found, made, kept to, gone."""

import os
import sys
from pathlib import Path

import pytest
from memory_group import MemoryGroup, NoGroupError, Outcome, find_parent, memory_group

TAKE_60_MB = "import time; taken = bytearray(60_000_000); time.sleep(0.1); print(len(taken))"


def run(tmp_path: Path, limit_bytes: int | None) -> Outcome:
    try:
        with memory_group(limit_bytes) as group:
            return group.run([sys.executable, "-c", TAKE_60_MB], tmp_path, dict(os.environ))
    except NoGroupError as error:
        pytest.skip(str(error))


def groups() -> set[Path]:
    parent, _ = find_parent(Path("/"))
    return {path for path in parent.iterdir() if path.is_dir()}


def test_program_is_counted_and_killed_where_it_takes_more_than_the_limit(tmp_path: Path) -> None:
    free = run(tmp_path, None)
    assert (free.exit_code, free.killed, free.stdout) == (0, 0, "60000000\n")
    assert 60_000_000 < free.anonymous_bytes <= free.peak_bytes < 120_000_000
    enough = run(tmp_path, 120_000_000)
    assert (enough.exit_code, enough.killed) == (0, 0)
    before = groups()
    small = run(tmp_path, 40_000_000)
    assert (small.exit_code, small.killed, small.stdout) == (137, 1, "")
    assert small.peak_bytes <= 40_000_000
    assert groups() == before


def test_program_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    wait = [sys.executable, "-c", "import time; time.sleep(600)"]
    try:
        with memory_group(None) as group:
            outcome = group.run(wait, tmp_path, dict(os.environ), patience_s=0.2)
    except NoGroupError as error:
        pytest.skip(str(error))
    assert (outcome.given_up, outcome.exit_code, outcome.killed) == (True, 137, 0)


def tree(root: Path, groups_of_process: str, **files: str) -> Path:
    """Write what Linux shows of groups."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups_of_process)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root / "sys/fs/cgroup"


def test_version_1_makes_a_group_in_the_own_one(tmp_path: Path) -> None:
    mount = tree(tmp_path, "4:memory:/a/b\n3:cpu,cpuacct:/c\n0::/\n", **{"memory/a/b/tasks": ""})
    assert find_parent(tmp_path) == (mount / "memory/a/b", 1)


def test_version_1_in_a_container_that_shows_another_path(tmp_path: Path) -> None:
    mount = tree(tmp_path, "4:memory:/docker/1234\n", **{"memory/tasks": ""})
    assert find_parent(tmp_path) == (mount / "memory", 1)


def test_version_2_takes_the_nearest_group_that_hands_memory_limits_on(tmp_path: Path) -> None:
    handing_on = {"a/cgroup.subtree_control": "cpu memory\n", "cgroup.subtree_control": "memory\n"}
    own = {"a/b/cgroup.subtree_control": "cpu\n"}
    mount = tree(tmp_path, "0::/a/b\n", **own, **handing_on)
    assert find_parent(tmp_path) == (mount / "a", 2)


def test_nobody_hands_memory_limits_on(tmp_path: Path) -> None:
    tree(tmp_path, "0::/a\n", **{"a/cgroup.subtree_control": "\n"})
    with pytest.raises(NoGroupError, match="hands memory limits on"):
        find_parent(tmp_path)


@pytest.mark.parametrize(
    ("version", "swap", "allowed"),
    [(1, "memory.memsw.limit_in_bytes", "1000"), (2, "memory.swap.max", "0")],
)
def test_there_is_no_swap(tmp_path: Path, version: int, swap: str, allowed: str) -> None:
    group = MemoryGroup(tmp_path, version)
    with pytest.raises(NoGroupError, match="swapoff"):
        group.limit(1000, has_swap=True)
    group.limit(1000, has_swap=False)
    assert not (tmp_path / swap).exists()
    (tmp_path / swap).write_text("max")
    group.limit(1000, has_swap=True)
    assert (tmp_path / swap).read_text() == allowed
