"""Versions and machine."""

from pathlib import Path

import pytest

from addapt.bench import surroundings
from addapt.bench.surroundings import machine, versions


def test_all_versions_are_known() -> None:
    assert all(versions().values())
    assert {"addapt", "torch", "python"} <= versions().keys()


def test_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: Fast One: 3\nmodel name\t: Other\n")
    monkeypatch.setattr(surroundings, "CPU_INFO", file)
    assert machine()["cpu"] == "Fast One: 3"
    monkeypatch.setattr(surroundings, "CPU_INFO", tmp_path / "absent")
    assert machine()["cpu"]
