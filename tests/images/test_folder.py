"""Both layouts are found, junk is passed over, and every wrong folder gets its own sentence."""

import os
from pathlib import Path

import pytest
from PIL import Image

from addapt._errors import DataError
from addapt.images.folder import Sample, scan_classes, scan_folder


def put(root: Path, *names: str) -> None:
    """Write an image of one pixel under each name."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (1, 1)).save(path)


def names(root: Path, samples: tuple[Sample, ...]) -> list[tuple[str, int]]:
    return [(sample.path.relative_to(root).as_posix(), sample.label) for sample in samples]


def test_class_folders(tmp_path: Path) -> None:
    put(tmp_path, "dog/b.png", "dog/a.JPG", "cat/2.png", "cat/10.png")
    found = scan_folder(tmp_path)
    assert found.root == tmp_path
    assert found.classes == ("cat", "dog")
    assert names(tmp_path, found.train) == [
        ("cat/10.png", 0),
        ("cat/2.png", 0),
        ("dog/a.JPG", 1),
        ("dog/b.png", 1),
    ]
    assert found.val == ()


def test_nested_images_count(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "cat/kittens/young/2.png", "dog/1.png", "dog/x.jpg/2.png")
    assert names(tmp_path, scan_folder(tmp_path).train) == [
        ("cat/1.png", 0),
        ("cat/kittens/young/2.png", 0),
        ("dog/1.png", 1),
        ("dog/x.jpg/2.png", 1),
    ]


def test_junk_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")
    expected = scan_folder(tmp_path)
    put(tmp_path, "__MACOSX/cat/1.png", ".git/1.png", "cat/.hidden.png", "cat/.thumbs/1.png")
    put(tmp_path, "cat/__MACOSX/1.png", "dog/@eaDir/1.png", "stray.png")
    for junk in (".DS_Store", "readme.txt", "cat/.DS_Store", "cat/Thumbs.db", "dog/labels.csv"):
        (tmp_path / junk).write_text("junk")
    (tmp_path / "cat" / "empty").mkdir()
    assert scan_folder(tmp_path) == expected


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_split_folders(tmp_path: Path, val: str) -> None:
    put(tmp_path, "train/cat/1.png", "train/dog/1.png", f"{val}/dog/2.png", "test/owl/3.png")
    found = scan_folder(tmp_path)
    assert found.classes == ("cat", "dog")
    assert names(tmp_path, found.train) == [("train/cat/1.png", 0), ("train/dog/1.png", 1)]
    assert names(tmp_path, found.val) == [(f"{val}/dog/2.png", 1)]


def test_split_without_a_part_to_check_on(tmp_path: Path) -> None:
    put(tmp_path, *(f"train/{name}/{i}.png" for name in ("cat", "dog") for i in range(2)))
    found = scan_folder(tmp_path)
    assert found.classes == ("cat", "dog")
    assert found.val == ()


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    put(tmp_path, "train/steam/1.png", "train/electric/2.png", "car/1.png", "car/2.png")
    assert scan_folder(tmp_path).classes == ("car", "train")


def test_classes_called_train_and_test_without_folders_inside(tmp_path: Path) -> None:
    put(tmp_path, "train/1.png", "train/2.png", "test/1.png", "test/2.png")
    assert scan_folder(tmp_path).classes == ("test", "train")


def test_links_to_folders_inside_a_class_are_not_followed(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")
    (tmp_path / "cat" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert len(scan_folder(tmp_path).train) == 4


def test_a_link_in_place_of_a_class_folder_is_named(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(DataError, match="loop is a link to a folder"):
        scan_folder(tmp_path)


def test_links_to_images_count_even_broken_ones_but_pipes_do_not(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "dog/1.png", "dog/2.png")
    (tmp_path / "cat" / "2.png").symlink_to(tmp_path / "dog" / "1.png")
    (tmp_path / "cat" / "3.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "cat" / "4.png")
    found = [name for name, _ in names(tmp_path, scan_folder(tmp_path).train)]
    assert found == ["cat/1.png", "cat/2.png", "cat/3.png", "dog/1.png", "dog/2.png"]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone does not exist"):
        scan_folder(tmp_path / "gone")


def test_a_file_instead_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "images.zip").touch()
    with pytest.raises(DataError, match=r"images\.zip is a file.* one folder per class"):
        scan_folder(tmp_path / "images.zip")


@pytest.mark.parametrize("hidden", [(), (".DS_Store",)])
def test_empty_folder(tmp_path: Path, hidden: tuple[str, ...]) -> None:
    for name in hidden:
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="holds nothing"):
        scan_folder(tmp_path)


def test_folder_without_class_folders(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match="holds no class folders"):
        scan_folder(tmp_path)


def test_images_without_a_class(tmp_path: Path) -> None:
    put(tmp_path, "1.png", "2.png")
    with pytest.raises(DataError, match="Put them into one folder per class"):
        scan_folder(tmp_path)


def test_only_one_class(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "cat/2.png")
    with pytest.raises(DataError, match="only one class, 'cat'"):
        scan_folder(tmp_path)


def test_the_folder_around_the_right_one(tmp_path: Path) -> None:
    put(tmp_path, "pets/cat/1.png", "pets/dog/2.png")
    with pytest.raises(DataError, match=r"Did you mean .*/pets, which holds cat, dog\?"):
        scan_folder(tmp_path)


def test_class_folder_without_a_image(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "cat/2.png")
    (tmp_path / "dog").mkdir()
    with pytest.raises(DataError, match="class folder .*/dog holds no image. Put"):
        scan_folder(tmp_path)


def test_class_folder_with_images_of_an_unknown_kind(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "cat/2.png")
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / "1.HEIC").touch()
    with pytest.raises(DataError, match=r"Its files end in \.heic; images end in \.bmp"):
        scan_folder(tmp_path)


def test_class_with_one_image(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "cat/2.png", "dog/1.png")
    with pytest.raises(DataError, match="/dog holds a single image"):
        scan_folder(tmp_path)


def test_unknown_class_to_check_on(tmp_path: Path) -> None:
    put(tmp_path, "train/cat/1.png", "train/dog/1.png", "val/cats/2.png")
    with pytest.raises(DataError, match=r"val/cats is not .* Did you mean 'cat'\?"):
        scan_folder(tmp_path)


def test_two_parts_to_check_on(tmp_path: Path) -> None:
    put(tmp_path, "train/cat/1.png", "train/dog/1.png", "val/cat/2.png", "valid/cat/2.png")
    with pytest.raises(DataError, match="both val and valid"):
        scan_folder(tmp_path)


@pytest.mark.parametrize("parts", [("Training", "Testing"), ("train", "eval"), ("val", "test")])
def test_a_split_spelt_another_way_is_not_learnt_as_classes(
    tmp_path: Path, parts: tuple[str, str]
) -> None:
    put(tmp_path, *(f"{part}/{name}/1.png" for part in parts for name in ("cat", "dog")))
    with pytest.raises(DataError, match="looks split into .* both hold cat, dog"):
        scan_folder(tmp_path)


def test_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "cat/1.png", "dog/1.png")

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("os.scandir", refuse)  # the tests may run as root
    with pytest.raises(DataError, match="cannot be searched: .*: Permission denied"):
        scan_folder(tmp_path)
    with pytest.raises(DataError, match="cannot be searched: .*: Permission denied"):
        scan_classes(tmp_path, ("cat", "dog"))


def test_to_check_class_folders_are_labelled_by_the_given_classes(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "owl/1.png")
    found = scan_classes(tmp_path, ("owl", "dog", "cat"))
    assert names(tmp_path, found) == [("cat/1.png", 2), ("owl/1.png", 0)]


def test_to_check_test_is_taken_before_val(tmp_path: Path) -> None:
    put(tmp_path, "train/cat/1.png", "val/cat/2.png")
    assert names(tmp_path, scan_classes(tmp_path, ("cat",))) == [("val/cat/2.png", 0)]
    put(tmp_path, "test/cat/3.png")
    assert names(tmp_path, scan_classes(tmp_path, ("cat",))) == [("test/cat/3.png", 0)]


def test_to_check_a_class_called_train_is_no_split(tmp_path: Path) -> None:
    put(tmp_path, "train/steam/1.png")
    found = scan_classes(tmp_path, ("car", "train"))
    assert names(tmp_path, found) == [("train/steam/1.png", 1)]


def test_to_check_training_images_alone_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "train/cat/1.png")
    with pytest.raises(DataError, match=r"none to check on .* give .*/train itself"):
        scan_classes(tmp_path, ("cat",))


def test_to_check_an_unknown_class_is_named(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "dgo/1.png")
    with pytest.raises(DataError, match=r"/dgo .* Did you mean 'dog'\? Known: cat, dog\."):
        scan_classes(tmp_path, ("cat", "dog"))


def test_to_check_one_image_is_needed(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match="hold no images"):
        scan_classes(tmp_path, ("cat", "dog"))
    put(tmp_path, "dog/1.png")
    assert names(tmp_path, scan_classes(tmp_path, ("cat", "dog"))) == [("dog/1.png", 1)]


def test_to_check_unsorted_images_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "train/cat/1.png", "test/1.png")
    with pytest.raises(DataError, match="Put them into one folder per class"):
        scan_classes(tmp_path, ("cat", "dog"))
