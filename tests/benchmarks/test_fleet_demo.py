"""The demo of fleets: who sees what, and what is drawn of what a server says."""

from pathlib import Path

import fleet_demo
import pytest

SAID = """4 of 4 devices are there.
Round 1 of 2: 4 devices, accuracy 9.5% before it, 12 s left
Round 2 of 2: 4 devices, accuracy 60.0% before it, 0 s left
Learned 10 classes, accuracy 91.3%: store/digits.safetensors
"""


def test_each_device_sees_half_and_all_together_see_everything(tmp_path: Path) -> None:
    for label in range(10):
        (tmp_path / "train" / str(label)).mkdir(parents=True)
        for number in range(100):
            (tmp_path / "train" / str(label) / f"{label}-{number}.png").touch()
    folders = fleet_demo.lay_out(tmp_path / "train", tmp_path / "devices")
    seen = [{path.name for path in folder.iterdir()} for folder in folders]
    assert [len(classes) for classes in seen] == [5] * 4
    assert len(set().union(*seen)) == 10
    names = [path.name for folder in folders for path in folder.rglob("*.png")]
    assert len(names) == len(set(names)) == 4 * 5 * fleet_demo.IMAGES


def test_the_curve_is_what_the_server_said(tmp_path: Path) -> None:
    curve = fleet_demo.accuracies(SAID)
    assert curve == pytest.approx([0.095, 0.6, 0.913])
    fleet_demo.draw(curve, tmp_path / "demo" / "fleet.png")
    assert (tmp_path / "demo" / "fleet.png").read_bytes().startswith(b"\x89PNG")
