"""What is refused about a folder before anything is decoded."""

from pathlib import Path

import pytest

from addapt._errors import DataError, OptionError
from addapt.learning.lesson import find_images, refuse_store_inside
from tests.conftest import MakeFolder
from tests.fake_engine import FakeEngine


def test_more_classes_than_a_domain_can_hold(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("addapt.domains.info.CLASSES_LIMIT", 2)
    folder = make_folder(images=2)
    with pytest.raises(DataError, match="there are 3 classes") as caught:
        find_images(folder, FakeEngine(), image_px=32, val_fraction=0.1, gates=None)
    assert str(caught.value).startswith(f"The folder {folder} cannot be learned from. ")


@pytest.mark.parametrize("store", ["images", "images/cat/s", "link/s", "elsewhere/../images"])
def test_a_store_among_the_images(tmp_path: Path, store: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "images")
    with pytest.raises(OptionError, match="lies inside the folder of images"):
        refuse_store_inside(tmp_path / store, tmp_path / "images")
    refuse_store_inside(tmp_path / "images2", tmp_path / "images")


def test_links_in_circles_are_left_to_who_searches_them(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    refuse_store_inside(tmp_path / "s", tmp_path / "loop")
