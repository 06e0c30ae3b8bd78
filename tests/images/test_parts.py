"""Splits are known by the usual names; what may as well be one is refused with both readings."""

from pathlib import Path

import pytest

from addapt._errors import DataError
from addapt.images.folder import scan_folder
from addapt.images.parts import MOST_PARTS, role_of
from tests.images.test_folder import put


@pytest.mark.parametrize(
    ("role", "folders"),
    [
        ("train", "train Training trainset Train_Set training-data train2017 TrainImages labelled"),
        ("val", "val VALID validation valid_set Dev dev-set val2017 validationdata"),
        ("test", "test testing test_set Test-Images Evaluation eval holdout hold-out test_2"),
        ("unused", "unlabeled Unlabelled unlabeled_data unsup extra"),
        (None, "cat trains invalid set data images contest 1 2017 fold1 _ testament devil"),
    ],
)
def test_usual_names_of_parts(role: str | None, folders: str) -> None:
    assert {name: role_of(name) for name in folders.split()} == dict.fromkeys(folders.split(), role)


def made(root: Path, *layout: str) -> Path:
    """Make two images in each folder; a/{b,c} stands for a/b and a/c."""
    for folder in layout:
        before, _, inner = folder.removesuffix("}").partition("{")
        for name in inner.split(","):
            put(root, f"{before}{name}/1.png", f"{before}{name}/2.png")
    return root


@pytest.mark.parametrize(
    "layout",
    [
        ("training_set/{eight,three}", "test_set/{eight,three}"),  # split_learned_as_classes/in
        ("train/{eight,three}", "unlabeled"),  # split_learned_as_classes/in3
        ("train/{eight,three}", "Hold-Out/{eight,three}", "extra", "validset/{eight}"),
        ("Train Images/{eight,three}",),
    ],
)
def test_splits_with_usual_names_are_learned_from(tmp_path: Path, layout: tuple[str, ...]) -> None:
    found = scan_folder(made(tmp_path, *layout))
    assert found.classes == ("eight", "three")
    assert len(found.train) == 4


@pytest.mark.parametrize(
    ("layout", "readings"),
    [
        (("fold1/{cat,dog}", "fold2/{cat,dog}"), "parts fold1 and fold2, of the classes cat and d"),
        (("part_a/{cat,dog}", "part_b/{cat,dog,owl}"), "classes cat and dog: .* put their images"),
        (("photo/{cat,dog}", "sketch/{cat,dog}"), "parts photo and sketch, of .* cat and dog"),
        (("a/{0,1,2,10}", "b/{0,1,2,10}"), "classes 0, 1, 2 and 10"),
        (("fold1/{cat}", "fold2/{cat}"), "classes cat: .*directly into these folders, out of cat"),
        (("train/{cat,dog}", "others/{cat,dog}"), "parts others and train"),
        (("train/{cat,dog}", "val/{cat,dog}", "labels"), "with nothing else beside them"),
        (("train/{cat,dog}", "others"), "parts others and train, of the classes cat and dog"),
        (("fold1/{cat,dog}", "fold2"), "parts fold1 and fold2, of the classes cat and dog"),
        (("val/{cat,dog}", "test/{cat,dog}"), "Either test and val are parts .* called train"),
        (("train", "test"), "Or they are classes: then give them other names"),
        (("cat/{train,test}", "dog/{train,test}"), "such as .*/train/cat. Or all of their images"),
        (tuple(f"s{i}/{{{','.join('abcdefghijklm')}}}" for i in range(12)), "f, g|e and 8 more"),
    ],
)
def test_what_may_be_a_split_is_refused_with_both_readings(
    tmp_path: Path, layout: tuple[str, ...], readings: str
) -> None:
    with pytest.raises(DataError, match="can be read in two ways") as caught:
        scan_folder(made(tmp_path, *layout))
    assert pytest.raises(DataError, match=readings).matches(caught.value)


SPECIES = tuple(f"species {i}/{{male,female}}" for i in range(MOST_PARTS + 1))


@pytest.mark.parametrize(
    ("layout", "told"),
    [
        (("cat/{young,old}", "dog/{puppies,old}"), ""),
        (("cat/{images}", "dog/{images}"), ""),
        (("cat/{young,old}", "cat", "dog/{young,old}", "dog"), "Folders called old and young lie"),
        (("cat/{old,young}", "dog/{old,young}", "elk", "fox", "owl"), "called old and young lie"),
        (("anna/{day1,day2}", "ben/{day1,day2}"), "Folders called day1 and day2 lie in several"),
        (("anna/{2024-01-03,2024-02-11}", "ben/{2024-01-03,2024-02-11}"), "their images are taken"),
        (SPECIES, "Folders called female and male lie in several classes"),
        (("cat", "dog", "unlabeled"), "'unlabeled' is learned as a class. .* move the folder out"),
        (("cat", "dog", "test"), "'test' is learned as a class"),
        (("bus", "car", "train/{steam,diesel}"), "'train' is learned as a class"),
        (("train", "car"), ""),
    ],
)
def test_folders_inside_classes_are_told_where_they_repeat(
    tmp_path: Path, layout: tuple[str, ...], told: str
) -> None:
    found = scan_folder(made(tmp_path, *layout))
    assert set(found.classes) == {folder.partition("/")[0] for folder in layout}
    if not told:
        assert found.warnings == ()
    else:
        (warning,) = found.warnings
        assert pytest.raises(DataError, match=told).matches(DataError(warning))
