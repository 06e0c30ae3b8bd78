"""Content decides what is an image; what cannot be read is counted, told, and refused if much."""

import re
from pathlib import Path

import pytest

from addapt._errors import DataError
from addapt.images.folder import ImageFolder, scan_classes, scan_folder
from addapt.images.passed_over import in_words
from tests.images.test_folder import names, put

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
JXL = b"\xff\x0a\x01"


@pytest.fixture(autouse=True)
def _without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addapt.images.listing.heif_is_readable", lambda: False)


def write(root: Path, content: bytes, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def scanned(root: Path) -> ImageFolder:
    """Scan it in both ways, which have to agree."""
    found = scan_folder(root)
    checked = scan_classes(root, found.classes)
    assert (checked.samples, checked.passed_over) == (found.samples, found.passed_over)
    assert checked.warnings == found.warnings
    return found


def twenty(root: Path) -> None:
    put(root, *(f"{label}/{i}.png" for label in ("cat", "dog") for i in range(20)))


def test_files_are_opened_only_where_the_ending_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twenty(tmp_path)
    endings = "jpe jfif JIF mpo apng dib avif webp"
    write(tmp_path, b"", *(f"cat/x.{ending}" for ending in endings.split()))
    opened: list[str] = []

    def head(path: str) -> bytes:
        opened.append(path)
        return HEIC

    monkeypatch.setattr("addapt.images.listing._head", head)
    assert len(scan_folder(tmp_path).train) == 48
    assert opened == []
    write(tmp_path, b"", "cat/y.txt")
    assert scan_folder(tmp_path).passed_over.counts == {"HEIF": 1}
    assert [Path(path).name for path in opened] == ["y.txt"]


def test_content_decides_where_the_ending_is_odd_or_missing(tmp_path: Path) -> None:
    """The case jfif_mixed, and downloads without an ending."""
    put(tmp_path, "cat/1.png", "dog/1.png")
    image = (tmp_path / "cat/1.png").read_bytes()
    write(tmp_path, image, "cat/2.jfif", "cat/IMG_3", "dog/4.jpg_large", "dog/5.heic", "dog/6.dat")
    write(tmp_path, b"text", "dog/7.dat", "dog/README", "dog/clip.mp4", "dog/IMG.aae", "dog/x.AAE")
    found = scanned(tmp_path)
    assert names(tmp_path, found.train) == [
        ("cat/1.png", 0),
        ("cat/2.jfif", 0),
        ("cat/IMG_3", 0),
        ("dog/1.png", 1),
        ("dog/4.jpg_large", 1),
        ("dog/5.heic", 1),
        ("dog/6.dat", 1),
    ]
    assert found.passed_over.counts == {".dat": 1, ".aae": 2, "no ending": 1, ".mp4": 1}
    assert found.warnings == ()


def test_a_class_that_would_lose_more_than_a_tenth_is_refused(tmp_path: Path) -> None:
    """The case heic_skipped."""
    for label in ("eight", "three"):
        put(tmp_path, f"{label}/00.png", f"{label}/01.png")
        write(tmp_path, HEIC, *(f"{label}/0{i}.HEIC" for i in range(2, 6)))
    told = (
        "4 of the 6 images in the class folder .*eight are of kinds that cannot be read, .* 10%: 4"
    )
    for scan in (scan_folder, lambda root: scan_classes(root, ("eight", "three"))):
        with pytest.raises(DataError, match=told) as caught:
            scan(tmp_path)
        assert "The first: " + str(tmp_path / "eight/02.HEIC") in str(caught.value)
        assert "pip install 'addapt[heic]'; or save them as JPEG or PNG." in str(caught.value)


def test_with_the_extra_they_are_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addapt.images.listing.heif_is_readable", lambda: True)
    write(tmp_path, HEIC, "cat/1.heic", "cat/2.HIF", "dog/1.heif", "dog/2")
    assert len(scanned(tmp_path).train) == 4


def test_a_few_that_cannot_be_read_are_a_warning_and_counted(tmp_path: Path) -> None:
    twenty(tmp_path)
    write(tmp_path, HEIC, "cat/x.heic", "dog/x.heic")
    write(tmp_path, JXL, "cat/y.jxl")
    found = scanned(tmp_path)
    assert len(found.train) == 40
    assert found.passed_over.counts == {"HEIF": 2, "JPEG XL": 1}
    (warning,) = found.warnings
    assert warning.startswith("2 HEIF images, 1 JPEG XL image cannot be read and are left out. The")
    assert f"The first: {tmp_path / 'cat/x.heic'}. HEIF, such as the HEIC of iPhones," in warning


def test_what_lies_beside_a_readable_image_of_the_same_name_is_no_loss(tmp_path: Path) -> None:
    put(tmp_path, *(f"{label}/IMG_{i}.JPG" for label in ("cat", "dog") for i in range(3)))
    write(tmp_path, b"II*\0" + bytes(30), *(f"cat/IMG_{i}.CR2" for i in range(3)))
    write(tmp_path, HEIC, *(f"dog/img_{i}.heic" for i in range(3)))
    found = scanned(tmp_path)
    assert found.passed_over.counts == {"camera raw": 3, "HEIF": 3}
    assert found.warnings == ()
    write(tmp_path, HEIC, "dog/deeper/IMG_0.heic")
    with pytest.raises(DataError, match="1 of the 4 images in the class folder .*dog"):
        scan_folder(tmp_path)


def test_a_validation_class_is_judged_by_itself(tmp_path: Path) -> None:
    put(tmp_path, *(f"train/{label}/{i}.png" for label in ("cat", "dog") for i in range(30)))
    put(tmp_path, "val/cat/1.png", "val/dog/1.png")
    write(tmp_path, JXL, "val/dog/2.jxl", "test/dog/1.jxl")
    with pytest.raises(
        DataError, match=r"1 of the 2 images in .*val/dog .* Save them as JPEG or PNG"
    ):
        scan_folder(tmp_path)


def test_links_that_lead_nowhere_are_a_warning(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")
    (tmp_path / "dog" / "more").symlink_to(tmp_path / "unplugged")
    (tmp_path / "owl").symlink_to(tmp_path / "unplugged")
    found = scanned(tmp_path)
    assert found.passed_over.counts == {"broken link": 2}
    (warning,) = found.warnings
    assert warning.startswith("There are 2 links that lead nowhere. The first: ")
    assert f"{tmp_path / 'owl'}. Mend or remove it." in warning


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"HEIF": 32, ".txt": 3}, "32 HEIF images, 3 .txt files"),
        ({"camera raw": 1, ".json": 1}, "1 camera raw image, 1 .json file"),
        (
            {"no class": 1, "no ending": 1},
            "1 image outside the class folders, 1 file without an en",
        ),
        ({"broken link": 1}, "1 link that leads nowhere"),
        ({"link": 2}, "2 links to folders that are read already"),
    ],
)
def test_counts_in_words(counts: dict[str, int], words: str) -> None:
    assert re.match(re.escape(words), in_words(counts))
