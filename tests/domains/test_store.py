"""The store: names, and domains that are saved, renamed and removed with all that is theirs."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from addapt._errors import DomainError, UnknownNameError
from addapt.domains.layout import check_name
from addapt.domains.store import Store
from tests.domains.domain_cases import INFO, contents, tensors


def fill(folder: Path, *names: str) -> Store:
    store = Store(folder)
    for name in names:
        store.save(name, INFO, tensors())
        store.history_path(name).write_text(f"history of {name}")
        store.state_path(name).mkdir(parents=True)
        (store.state_path(name) / "state").write_text(f"state of {name}")
    return store


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "_a", "-rf", "a.", "a b", "a\n", "a:b"]
    + ["con", "CON", "nul.txt", "Com1", "lpt9.a.b", "x" * 65, "ü", "１", "a\0"],
)
def test_illegal_names(name: str) -> None:
    with pytest.raises(DomainError, match="use at most 64 letters a-z or A-Z, digits"):
        check_name(name)


def test_a_store_refuses_illegal_names(tmp_path: Path) -> None:
    for name in ("a", "7", "Flowers-2_b.v1", "x" * 64, "console", "com10"):
        assert check_name(name) == name
    store = fill(tmp_path, "a")
    before = contents(tmp_path)
    with pytest.raises(DomainError, match="cannot be called"):
        store.save("../x", INFO, {})
    with pytest.raises(DomainError, match="cannot be called"):
        store.rename("a", "../x")
    with pytest.raises(UnknownNameError):
        store.remove("../a")
    assert contents(tmp_path) == before


@given(st.text(max_size=80))
def test_an_allowed_name_stays_in_the_folder(name: str) -> None:
    try:
        path = Store("folder").path(name)
    except DomainError:
        return
    assert path == Path("folder") / f"{name}.safetensors"
    assert path.parent == Path("folder")


def test_save_makes_the_folder_and_read_gives_it_back(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "some" / "store"))
    assert store.names() == ()
    assert not store.exists("a.b")
    store.save("a.b", INFO, tensors())
    assert store.names() == ("a.b",)
    assert store.exists("a.b")
    assert store.info("a.b") == INFO
    info, read = store.read("a.b")
    assert info == INFO
    assert set(read) == set(tensors())
    store.save("a.b", INFO, {"w": np.ones(1)})
    assert set(store.read("a.b")[1]) == {"w"}


def test_names_are_sorted_and_other_files_left_out(tmp_path: Path) -> None:
    fill(tmp_path, "b", "a", "C")
    for other in (".a.1234.tmp", ".hidden.safetensors", "my flowers.safetensors", "notes.txt"):
        (tmp_path / other).touch()
    (tmp_path / "folder.safetensors").mkdir()
    assert Store(tmp_path).names() == ("C", "a", "b")


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "store"):
        with pytest.raises(DomainError, match="Store .* because"):
            Store(folder).save("a", INFO, tensors())


def test_unknown_domain_suggests_the_nearest(tmp_path: Path) -> None:
    store = fill(tmp_path, "flowers", "cars")
    for act in (store.require, store.info, store.read, store.remove):
        with pytest.raises(UnknownNameError) as caught:
            act("flowres")
        assert str(caught.value) == (
            "Unknown domain 'flowres'. Did you mean 'flowers'? Known: cars, flowers. "
            f"Store: {tmp_path}."
        )
    with pytest.raises(UnknownNameError, match="There is no domain yet. Store: "):
        Store(tmp_path / "empty").require("a")
    assert store.require("cars") == store.path("cars")


def test_remove_takes_everything_of_that_domain_only(tmp_path: Path) -> None:
    fill(tmp_path, "a.b")
    before = contents(tmp_path)
    store = fill(tmp_path, "a")
    store.remove("a")
    assert contents(tmp_path) == before
    assert not store.state_path("a").exists()


@pytest.mark.parametrize("new", ["b", "A"])
def test_rename_takes_everything_along(tmp_path: Path, new: str) -> None:
    store = fill(tmp_path, "a")
    before = sorted(contents(tmp_path).values())
    store.rename("a", new)
    assert store.names() == (new,)
    assert store.history_path(new).read_text() == "history of a"
    assert (store.state_path(new) / "state").read_text() == "state of a"
    assert sorted(contents(tmp_path).values()) == before


def test_rename_of_a_domain_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save("a", INFO, tensors())
    store.rename("a", "a")
    assert store.names() == ("a",)
    store.rename("a", "b")
    assert contents(tmp_path).keys() == {"b.safetensors"}


def test_names_that_are_taken_or_differ_only_in_case(tmp_path: Path) -> None:
    store = fill(tmp_path, "a", "b")
    store.state_path("c").mkdir()
    store.history_path("d").touch()
    before = contents(tmp_path)
    with pytest.raises(DomainError, match="There is a domain 'b' in .* already: choose another"):
        store.rename("a", "b")
    with pytest.raises(DomainError, match="differs from the domain 'b' in"):
        store.rename("a", "B")
    with pytest.raises(DomainError, match="'A' differs from the domain 'a'"):
        store.save("A", INFO, {})
    with pytest.raises(UnknownNameError):
        store.remove("A")
    assert not store.exists("A")
    for unfinished in ("c", "d"):
        with pytest.raises(DomainError, match=f"domain '{unfinished}' is being learned, or"):
            store.rename("a", unfinished)
    with pytest.raises(UnknownNameError):
        store.rename("nothing", "e")
    assert contents(tmp_path) == before
