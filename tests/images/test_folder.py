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
    assert expected.passed_over.counts == {}
    put(tmp_path, "__MACOSX/cat/1.png", ".git/1.png", "cat/.hidden.png", "cat/.thumbs/1.png")
    put(tmp_path, "cat/__MACOSX/1.png", "dog/@eaDir/1.png", "stray.png")
    for junk in (".DS_Store", "readme.txt", "cat/.DS_Store", "cat/Thumbs.db", "dog/labels.csv"):
        (tmp_path / junk).write_text("junk")
    (tmp_path / "cat" / "empty").mkdir()
    found = scan_folder(tmp_path)
    assert (found.classes, found.samples) == (expected.classes, expected.samples)
    assert found.passed_over.counts == {"no class": 1, ".txt": 1, ".db": 1, ".csv": 1}
    assert found.warnings == ()


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val-Set", "dev"])
@pytest.mark.parametrize("train", ["train", "TRAINING", "training_set"])
def test_split_folders(tmp_path: Path, train: str, val: str) -> None:
    put(tmp_path, f"{train}/cat/1.png", f"{train}/dog/1.png", f"{val}/dog/2.png", "test/owl/3.png")
    found = scan_folder(tmp_path)
    assert found.classes == ("cat", "dog")
    assert names(tmp_path, found.train) == [(f"{train}/cat/1.png", 0), (f"{train}/dog/1.png", 1)]
    assert names(tmp_path, found.val) == [(f"{val}/dog/2.png", 1)]
    assert found.left_alone == ("test",)


def test_what_learning_leaves_alone_never_stops_it(tmp_path: Path) -> None:
    put(tmp_path, "train/cat/1.png", "train/cat/2.png", "train/dog/1.png", "train/dog/2.png")
    for nothing in ("test", "eval/owl", "Test Set 2"):
        (tmp_path / nothing).mkdir(parents=True)
    put(tmp_path, "unlabeled/1.png", "unlabeled/2.png", "extra/cat/x.png")
    (tmp_path / "extra" / "cat" / "x.cr2").write_bytes(b"II*")
    (tmp_path / "holdout").symlink_to(tmp_path)
    (tmp_path / "test_set").mkdir(mode=0)
    (tmp_path / "testing").symlink_to(tmp_path / "testing")
    found = scan_folder(tmp_path)
    assert found.classes == ("cat", "dog")
    assert found.left_alone == (
        *("eval", "extra", "holdout", "test", "Test Set 2", "test_set", "unlabeled"),
    )
    assert len(found.val) == 0


def test_class_folders_and_parts_may_be_links(tmp_path: Path) -> None:
    put(tmp_path, "elsewhere/cat/1.png", "elsewhere/cat/2.png", "data/dog/1.png", "data/dog/2.png")
    (tmp_path / "data" / "cat").symlink_to(tmp_path / "elsewhere/cat")
    assert names(tmp_path / "data", scan_folder(tmp_path / "data").train) == [
        ("cat/1.png", 0),
        ("cat/2.png", 0),
        ("dog/1.png", 1),
        ("dog/2.png", 1),
    ]
    (tmp_path / "split").mkdir()
    put(tmp_path, "elsewhere/more/dog/1.png")
    (tmp_path / "split" / "train").symlink_to(tmp_path / "data")
    (tmp_path / "split" / "val").symlink_to(tmp_path / "elsewhere/more")
    found = scan_folder(tmp_path / "split")
    assert len(found.train) == 4
    assert names(tmp_path / "split", found.val) == [("val/dog/1.png", 1)]


@pytest.mark.parametrize(
    ("images", "classes"),
    [
        (("train/cat/1", "train/cat/2", "train/dog/1", "train/dog/2"), ("cat", "dog")),
        (("train/steam/1", "train/diesel/2", "bus/1", "bus/2", "car/1", "car/2"), None),
        (("train/1", "train/2", "car/1", "car/2"), ("car", "train")),
    ],
)
def test_train_is_a_split_or_a_class(
    tmp_path: Path, images: tuple[str, ...], classes: tuple[str, ...] | None
) -> None:
    put(tmp_path, *(f"{image}.png" for image in images))
    assert scan_folder(tmp_path).classes == (classes or ("bus", "car", "train"))
    assert len(scan_folder(tmp_path).val) == 0


def test_links_that_bring_images_again_are_passed_over_and_counted(tmp_path: Path) -> None:
    put(
        tmp_path, "x/cat/1.png", "x/cat/2.png", "x/dog/1.png", "x/dog/2.png", "y/1.png", "y/z/2.png"
    )
    for link, target in {
        "x/all": "x",
        "x/cat/above": "",
        "x/cat/dogs": "x/dog",
        "x/cat/more": "y",
        "x/dog/again": "y",
        "x/dog/a part": "y/z",
        "y/z/back": "y",
    }.items():
        (tmp_path / link).symlink_to(tmp_path / target)
    found = scan_folder(tmp_path / "x")
    assert found.classes == ("cat", "dog")
    assert names(tmp_path / "x", found.train) == [
        ("cat/1.png", 0),
        ("cat/2.png", 0),
        ("cat/more/1.png", 0),
        ("cat/more/z/2.png", 0),
        ("dog/1.png", 1),
        ("dog/2.png", 1),
    ]
    assert found.passed_over.counts == {"link": 6}
    with pytest.raises(DataError, match="holds nothing but links to folders around it"):
        scan_folder(_with_link(tmp_path / "empty", tmp_path))


def _with_link(folder: Path, target: Path) -> Path:
    folder.mkdir()
    (folder / "link").symlink_to(target)
    return folder


def test_a_link_to_a_folder_inside_a_class_is_followed(tmp_path: Path) -> None:
    """The case link_inside_class."""
    put(tmp_path, *(f"in/{label}/0{i}.png" for label in ("eight", "three") for i in range(3)))
    put(tmp_path, *(f"elsewhere/x{i}.png" for i in range(8)))
    (tmp_path / "in/three/more").symlink_to("../../elsewhere")
    found = scan_folder(tmp_path / "in")
    assert len(found.train) == 14
    assert ("three/more/x7.png", 1) in names(tmp_path / "in", found.train)
    assert found.passed_over.counts == {}


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
        (["cat/1", "cat/2"], ["dog/1.csv"], r"holds no image\. Its files end in \.csv\. Put"),
        (["cat/1", "cat/2", "dog/1"], [], "/dog holds a single image"),
        (["train/cat/1", "train/dog/1", "val/cats/2"], [], r"val/cats is not .* mean 'cat'\?"),
        (["train/cat/1", "train/dog/1", "val/cat/2", "valid/cat/2"], [], "both val and valid"),
        (["train/cat/1", "train/dog/1", "Training/dog/1"], [], "both Training and train"),
        (["fold1/a/1", "fold1/b/1", "fold2/a/1", "fold2/b/1"], [], "split into the parts fold1"),
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
    with pytest.raises(
        DataError, match=r"https://x\.org/a\.zip is an address, .* downloads nothing"
    ):
        scan_folder(Path("https://x.org/a.zip"))


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
    assert found.classes == ("owl", "dog", "cat")
    assert names(tmp_path, found.val) == [("cat/1.png", 2), ("owl/1.png", 0)]


def test_to_check_test_is_taken_before_val(tmp_path: Path) -> None:
    put(tmp_path, "training set/cat/1.png", "Validation/cat/2.png", "unlabeled/4.png")
    found = scan_classes(tmp_path, ("cat",))
    assert names(tmp_path, found.samples) == [("Validation/cat/2.png", 0)]
    put(tmp_path, "test-set/cat/3.png")
    found = scan_classes(tmp_path, ("cat",))
    assert names(tmp_path, found.samples) == [("test-set/cat/3.png", 0)]
    put(tmp_path, "holdout/cat/3.png")
    with pytest.raises(DataError, match="has both holdout and test-set. Keep one"):
        scan_classes(tmp_path, ("cat",))


def test_to_check_a_class_called_train_is_no_split(tmp_path: Path) -> None:
    put(tmp_path, "train/steam/1.png")
    found = scan_classes(tmp_path, ("car", "train"))
    assert names(tmp_path, found.samples) == [("train/steam/1.png", 1)]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("train/cat/1.png", r"none to check on .* give .*/train itself"),
        ("dgo/1.png", r"/dgo .* Did you mean 'dog'\? Known: cat, dog\."),
        ("cat/1.txt", r"hold no images\. Its files end in \.txt\."),
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
