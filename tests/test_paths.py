"""Paths in home folders, and addresses that are none."""

from pathlib import Path

import pytest

from addapt._paths import absent, expanded


def test_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert expanded("~/a b") == expanded(Path("~/a b")) == Path("/home/ann/a b")
    assert expanded("~") == Path("/home/ann")
    for other in ("x/~/y", "~$open.jpg", "a~", ""):
        assert expanded(other) == Path(other)


@pytest.mark.parametrize(
    "address", ["https://x.org/a.zip", "HTTP://x.org", "s3://bucket/cats", "gs://b/c?d=1"]
)
def test_an_address_is_not_downloaded(address: str) -> None:
    for path in (address, Path(address)):
        assert absent(path, "folder").startswith(
            f"{address} is an address, and addapt downloads no"
        )
        assert "Fetch the folder yourself, then give its path." in absent(path, "folder")


@pytest.mark.parametrize("path", ["gone", "c:/gone", "/a/https://x", "12:30/a", "a:b"])
def test_other_paths_do_not_exist(path: str) -> None:
    assert absent(Path(path), "image") == f"The image {Path(path)} does not exist: check the path."
