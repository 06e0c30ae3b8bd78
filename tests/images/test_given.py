"""Images as people give them: of every kind the same pixels, of any other a sentence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from addapt._errors import DataError
from addapt.images import Given, decode_given, in_groups, load_images
from addapt.images.kept import Pixels
from addapt.images.samples import Sample

PX = 8
RNG = np.random.default_rng(0)
ARRAY = RNG.integers(0, 256, (10, 12, 3), np.uint8)
GREY = ARRAY[..., 0]


def decode_one(image: Any, **how: Any) -> Pixels:
    (found,) = decode_given([image], PX, "bicubic", **how)
    assert not isinstance(found, DataError), found
    return found


def refuse_one(image: Any, **how: Any) -> str:
    (found,) = decode_given([image], PX, "bicubic", **how)
    assert isinstance(found, DataError)
    return str(found)


def test_a_file_an_image_of_pillow_and_an_array_give_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for array in (ARRAY, GREY):
        Image.fromarray(array).save(path)
        images, _ = load_images([Sample(path, 0)], PX, "bicubic")
        expected = images.batch([0])[0]
        with Image.open(path) as opened:
            for given in (path, opened, Image.fromarray(array), array, array[::-1][::-1]):
                assert np.array_equal(decode_one(given), expected)


def test_images_of_pillow_are_converted_as_files_are(tmp_path: Path) -> None:
    plain, path = Image.fromarray(ARRAY), tmp_path / "turned.tif"
    alpha = Image.fromarray(np.dstack([ARRAY, GREY]))
    deep = Image.fromarray(GREY.astype(np.uint16) << 8)
    for image in (plain, alpha, deep, plain.convert("P"), plain.convert("1")):
        image.getexif()[ExifTags.Base.Orientation] = 6
        image.save(path, exif=image.getexif())
        before = image.tobytes()
        assert np.array_equal(decode_one(image), decode_one(path))
        assert image.tobytes() == before


def test_all_keep_their_places_and_broken_ones_are_errors_there(tmp_path: Path) -> None:
    there, broken = tmp_path / "a.png", tmp_path / "b.png"
    Image.fromarray(ARRAY).save(there)
    broken.write_text("text")
    given: list[Any] = [broken, ARRAY, there, None, GREY, tmp_path / "none.png", there]
    found = decode_given(given, PX, "bilinear", threads=2, first=10)
    errors = {place: str(one) for place, one in enumerate(found) if isinstance(one, DataError)}
    assert {
        place: words.split(" is ")[0].split(" does ")[0] for place, words in errors.items()
    } == {
        0: str(broken),
        3: "Image number 13, counted from 0,",
        5: f"The image {tmp_path / 'none.png'}",
    }
    assert np.array_equal(found[1], found[2])  # type: ignore[arg-type]
    assert np.array_equal(found[2], found[6])  # type: ignore[arg-type]
    assert found[4].shape == (PX, PX, 3)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (ARRAY.astype(np.float32), "shape (10, 12, 3) and the type float32. Give bytes (uint8)"),
        (GREY.astype(np.uint16), "shape (10, 12) and the type uint16"),
        (GREY > 5, "the type bool"),
        (ARRAY.transpose(2, 0, 1), "shape (3, 10, 12)"),
        (ARRAY[..., :2], "shape (10, 12, 2)"),
        (ARRAY[None], "shape (1, 10, 12, 3)"),
        (ARRAY[0, 0], "shape (3,)"),
        (ARRAY[:0], "has no pixels (12 x 0)"),
        (GREY[:, :0], "has no pixels (0 x 10)"),
        (Image.new("RGB", (0, 5)), "has no pixels (0 x 5)"),
        ({}, "is of the type dict: give a path, an image of Pillow or an array"),
        (3, "is of the type int"),
    ],
)
def test_what_is_no_image(image: Any, words: str) -> None:
    message = refuse_one(image, first=4)
    assert message.startswith("Image number 4, counted from 0, ")
    assert words in message


def test_an_opened_file_that_breaks_off(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.tile(ARRAY, (9, 9, 1))).save(path)
    path.write_bytes(path.read_bytes()[:300])
    with Image.open(path) as opened:
        assert "number 0, counted from 0, cannot be used (" in refuse_one(opened)


def groups(images: Any, most: int = 2) -> list[list[Given]]:
    return list(in_groups(images, most))


def test_groups() -> None:
    assert groups(["a", Path("b"), "c"]) == [[Path("a"), Path("b")], [Path("c")]]
    assert groups(iter(["a", "b", "c"])) == [[Path("a")], [Path("b")], [Path("c")]]
    assert groups({"a": 1, "b": 2, "c": 3}.keys(), most=9) == [[Path("a"), Path("b"), Path("c")]]
    assert groups([]) == []


def test_one_image_needs_no_list() -> None:
    image = Image.fromarray(ARRAY)
    for one, given in (("a", Path("a")), (Path("a"), Path("a")), (image, image)):
        assert groups(one) == [[given]]
    for array in (ARRAY, GREY):
        ((found,),) = groups(array)
        assert found is array
    several = groups(np.stack([ARRAY, ARRAY, ARRAY]))
    assert [len(group) for group in several] == [2, 1]
    assert np.array_equal(several[0][0], ARRAY)  # type: ignore[arg-type]


def test_of_an_iterator_no_more_is_taken_than_is_asked_for() -> None:
    taken: list[int] = []

    def camera() -> Iterator[Given]:
        for i in range(9):
            taken.append(i)
            yield ARRAY

    coming = in_groups(camera(), 8)
    next(coming)
    next(coming)
    assert taken == [0, 1]
