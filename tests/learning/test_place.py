"""Places where a domain could not be saved are refused before the work."""

from pathlib import Path

import pytest

from addapt._errors import DomainError, OptionError
from addapt.domains import Store
from addapt.learning.checkpoint import STATE_FILE
from addapt.learning.place import refuse_place, refuse_store_inside
from tests.domains.domain_cases import INFO, tensors


def test_a_domain_that_is_in_the_way(tmp_path: Path) -> None:
    store, images = Store(tmp_path / "store"), tmp_path / "images"
    refuse_place(store, "a", images, over=False)
    store.save("a", INFO, tensors())
    with pytest.raises(DomainError, match="'a' in .* already.*`extend=True`.*`restart=True`"):
        refuse_place(store, "a", images, over=False)
    refuse_place(store, "a", images, over=True)
    with pytest.raises(DomainError, match="only in letter case"):
        refuse_place(store, "A", images, over=True)
    store.state_path("a").mkdir(parents=True)
    (store.state_path("a") / STATE_FILE).touch()
    refuse_place(store, "a", images, over=False)  # what is unfinished goes on
    with pytest.raises(OptionError, match="lies inside the folder of images"):
        refuse_place(store, "a", tmp_path, over=True)


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
