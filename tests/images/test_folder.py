"""Both layouts are found, junk is passed over, and every wrong folder gets its own sentence."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from addapt._errors import DataError
from addapt.images.folder import scan_classes, scan_folder
from addapt.images.samples import Sample


def put(root: Path, *names: str) -> None:
    """Write an image of one pixel under each name."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (1, 1)).save(path)


def names(root: Path, samples: Sequence[Sample]) -> list[tuple[str, int]]:
    return [(sample.path.relative_to(root).as_posix(), sample.label) for sample in samples]


def test_class_folders(tmp_path: Path) -> None:
    put(tmp_path, "dog/b.png", "dog/a.JPG", "dog/x.jpg/2.png")
    put(tmp_path, "cat/2.png", "cat/10.png", "cat/kittens/young/2.png")
    found = scan_folder(tmp_path)
    assert found.root == tmp_path
    assert found.classes == ("cat", "dog")
    assert names(tmp_path, found.train) == [
        ("cat/10.png", 0),
        ("cat/2.png", 0),
        ("cat/kittens/young/2.png", 0),
        ("dog/a.JPG", 1),
        ("dog/b.png", 1),
        ("dog/x.jpg/2.png", 1),
    ]
    assert len(found.val) == 0


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


@pytest.mark.parametrize(
    ("images", "classes"),
    [
        (("train/cat/1", "train/cat/2", "train/dog/1", "train/dog/2"), ("cat", "dog")),
        (("train/steam/1", "train/electric/2", "car/1", "car/2"), ("car", "train")),
        (("train/1", "train/2", "test/1", "test/2"), ("test", "train")),
    ],
)
def test_train_is_a_split_or_a_class(
    tmp_path: Path, images: tuple[str, ...], classes: tuple[str, ...]
) -> None:
    put(tmp_path, *(f"{image}.png" for image in images))
    assert scan_folder(tmp_path).classes == classes
    assert len(scan_folder(tmp_path).val) == 0


def test_a_link_in_place_of_a_class_folder_is_named(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(DataError, match="loop is a link to a folder"):
        scan_folder(tmp_path)


@pytest.mark.parametrize(
    ("images", "others", "message"),
    [
        ([], [], "holds nothing"),
        ([], [".DS_Store"], "holds nothing"),
        ([], ["notes.txt"], "holds no class folders"),
        (["1", "2"], [], "Put them into one folder per class"),
        (["cat/1", "cat/2"], [], "only one class, 'cat'"),
        (["pets/cat/1", "pets/dog/2"], [], r"Did you mean .*/pets, which holds cat, dog\?"),
        (["cat/1", "cat/2"], ["dog/.x"], "class folder .*/dog holds no image. Put"),
        (["cat/1", "cat/2"], ["dog/1.HEIC"], r"Its files end in \.heic; images end in \.bmp"),
        (["cat/1", "cat/2", "dog/1"], [], "/dog holds a single image"),
        (["train/cat/1", "train/dog/1", "val/cats/2"], [], r"val/cats is not .* mean 'cat'\?"),
        (["train/cat/1", "train/dog/1", "val/cat/2", "valid/cat/2"], [], "both val and valid"),
        (
            ["Training/cat/1", "Training/dog/1", "Testing/cat/1", "Testing/dog/1"],
            [],
            "looks split into .* both hold cat, dog",
        ),
        (
            ["val/cat/1", "val/dog/1", "test/cat/1", "test/dog/1"],
            [],
            "looks split into test and val",
        ),
    ],
)
def test_folders_to_learn_nothing_from(
    tmp_path: Path, images: list[str], others: list[str], message: str
) -> None:
    put(tmp_path, *(f"{image}.png" for image in images))
    for other in others:
        (tmp_path / other).parent.mkdir(exist_ok=True)
        (tmp_path / other).touch()
    with pytest.raises(DataError, match=message):
        scan_folder(tmp_path)


def test_what_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "images.zip").touch()
    with pytest.raises(DataError, match=r"images\.zip is a file.* one folder per class"):
        scan_folder(tmp_path / "images.zip")
    with pytest.raises(DataError, match="gone does not exist"):
        scan_folder(tmp_path / "gone")


def test_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "cat/1.png", "dog/1.png")

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("os.scandir", refuse)  # the tests may run as root
    for scan in (scan_folder, lambda folder: scan_classes(folder, ("cat", "dog"))):
        with pytest.raises(DataError, match="cannot be searched: .*: Permission denied"):
            scan(tmp_path)


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


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("train/cat/1.png", r"none to check on .* give .*/train itself"),
        ("dgo/1.png", r"/dgo .* Did you mean 'dog'\? Known: cat, dog\."),
        ("cat/1.txt", r"hold no images\. Its files end in \.txt"),
        ("test/1.png", "Put them into one folder per class"),
    ],
)
def test_to_check_what_cannot_be(tmp_path: Path, image: str, message: str) -> None:
    path = tmp_path / image
    path.parent.mkdir(parents=True)
    path.touch()
    if image.startswith("test"):
        put(tmp_path, "train/cat/1.png")
    with pytest.raises(DataError, match=message):
        scan_classes(tmp_path, ("cat", "dog"))
