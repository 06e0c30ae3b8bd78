"""Versions and machine."""

from pathlib import Path

import pytest

from addapt.bench import surroundings


def test_versions_and_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = surroundings.versions()
    assert all(versions.values())
    assert {"addapt", "torch", "python"} <= versions.keys()
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: Fast One: 3\nmodel name\t: Other\n")
    monkeypatch.setattr(surroundings, "CPU_INFO", file)
    assert surroundings.machine()["cpu"] == "Fast One: 3"
    file.unlink()
    assert surroundings.machine()["cpu"]
