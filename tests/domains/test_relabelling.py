"""A class gets another name, and nothing else changes."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from addapt._errors import AddaptError, DamagedError, DomainError, UnknownNameError
from addapt.domains import Store
from addapt.domains.relabelling import with_class_renamed
from tests.domains.domain_cases import INFO, contents, tensors


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    store.save("a", INFO, tensors())
    return store


def test_only_the_name_changes(store: Store) -> None:
    os.utime(store.path("a"), ns=(0, 0))
    renamed = store.rename_class("a", "daisy", "Gänseblümchen")
    assert renamed.classes == ("Gänseblümchen", *INFO.classes[1:])
    info, kept = store.read("a")
    assert info == renamed == replace(INFO, classes=renamed.classes)
    for name, tensor in tensors().items():
        assert kept[name].dtype == tensor.dtype
        np.testing.assert_array_equal(kept[name], tensor)
    store.rename_class("a", "Gänseblümchen", "daisy")
    again = Store(store.folder / "other")
    again.save("a", INFO, tensors())
    assert store.path("a").read_bytes() == again.path("a").read_bytes()


def test_scores_name_the_class_too() -> None:
    weakest = {"label": "daisy", "images": 3, "correct": 1}
    words = "Of the class 'daisy' there are only 3 images of daisy."
    info = replace(INFO, val_report={**INFO.val_report, "weakest": weakest, "meaning": words})
    renamed = with_class_renamed(info, "daisy", "rose").val_report
    assert renamed["weakest"] == {"label": "rose", "images": 3, "correct": 1}
    assert renamed["meaning"] == "Of the class 'rose' there are only 3 images of daisy."
    assert with_class_renamed(info, "tulipán", "rose").val_report == info.val_report
    assert with_class_renamed(replace(INFO, val_report={}), "daisy", "rose").val_report == {}


@pytest.mark.parametrize(
    ("old", "new", "kind", "message"),
    [
        ("daisi", "rose", UnknownNameError, "Unknown class 'daisi'. Did you mean 'daisy'?"),
        ("daisy", "tulipán", DomainError, "There is a class 'tulipán' already"),
        ("daisy", "", DomainError, "A class cannot be called ''"),
        ("daisy", " ", DomainError, "A class cannot be called ' '"),
        ("daisy", "..", DomainError, r"A class cannot be called '\.\.'"),
        ("daisy", "a/b", DomainError, "has no '/' in it"),
        ("daisy", "a\0", DomainError, "A class cannot be called"),
        ("daisy", "x" * 256, DomainError, "more than 255 characters"),
    ],
)
def test_names_that_are_refused(
    store: Store, old: str, new: str, kind: type[AddaptError], message: str
) -> None:
    before = contents(store.folder)
    with pytest.raises(kind, match=message):
        store.rename_class("a", old, new)
    assert contents(store.folder) == before


def test_the_same_name_changes_nothing(store: Store) -> None:
    before = store.path("a").stat().st_ino
    assert store.rename_class("a", "daisy", "daisy") == INFO
    assert store.path("a").stat().st_ino == before


def test_domains_that_are_refused(store: Store) -> None:
    with pytest.raises(UnknownNameError, match="Unknown domain 'b'"):
        store.rename_class("b", "daisy", "rose")
    store.state_path("a").mkdir(parents=True)
    with pytest.raises(DomainError, match="unfinished, and would bring the class 'daisy' back"):
        store.rename_class("a", "daisy", "rose")
    store.state_path("a").rmdir()
    whole = store.path("a").read_bytes()
    store.path("a").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    before = contents(store.folder)
    with pytest.raises(DamagedError):
        store.rename_class("a", "daisy", "rose")
    assert contents(store.folder) == before
