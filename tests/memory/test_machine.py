"""The memory there is."""

import os
from pathlib import Path

import pytest

from addapt.memory import machine
from addapt.memory.machine import _cgroup_limits, machine_bytes


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_limits_of_a_group_and_of_those_around_it(tmp_path: Path) -> None:
    assert list(_cgroup_limits(tmp_path)) == []
    write(tmp_path / "proc/self/cgroup", "0::/user/job\n")
    write(tmp_path / "sys/fs/cgroup/user/job/memory.max", "max\n")
    write(tmp_path / "sys/fs/cgroup/user/memory.max", "3000\n")
    assert list(_cgroup_limits(tmp_path)) == [3000]


def test_limits_of_the_first_version_seen_from_inside_a_container(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "3:cpu:/\n4:memory:/docker/abc\n0::/\n")
    write(tmp_path / "sys/fs/cgroup/memory/memory.limit_in_bytes", "5000\n")
    assert list(_cgroup_limits(tmp_path)) == [5000]


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="needs sysconf")
def test_the_smaller_of_machine_and_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_cgroup_limits", lambda root: [1 << 62])
    assert 1 << 28 < (machine_bytes() or 0) < 1 << 50
    monkeypatch.setattr(machine, "_cgroup_limits", lambda root: [1 << 20, 1 << 62])
    assert machine_bytes() == 1 << 20
    monkeypatch.delattr(os, "sysconf")
    assert machine_bytes() is None
