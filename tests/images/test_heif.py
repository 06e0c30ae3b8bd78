"""HEIC is read where the package for it is installed, which nothing else imports."""

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from addapt._errors import DataError
from addapt.images.decode import open_image, read_image, read_size
from addapt.images.decode_many import decoding_bytes
from addapt.images.heif import heif_is_readable

HEAD = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"  # and nothing behind it

installed = pytest.mark.skipif(not heif_is_readable(), reason="the extra heic is not installed")


def write(path: Path, image: Image.Image, **options: Any) -> bytes:
    from pillow_heif import from_pillow

    from_pillow(image).save(path, **options)
    return path.read_bytes()


def halves(width: int = 64, height: int = 32) -> Image.Image:
    """Return an image, red at its left and blue at its right."""
    image = Image.new("RGB", (width, height), "red")
    image.paste((0, 0, 255), (width // 2, 0, width, height))
    return image


@pytest.mark.parametrize(
    ("name", "although"),
    [
        ("IMG_1.jpg", r", although its name ends in \.jpg\."),
        ("IMG_1.HEIC", r"\."),
        ("IMG_1.hif", r"\."),
        ("IMG_1", r"\."),
    ],
)
def test_without_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, although: str
) -> None:
    monkeypatch.setattr("addapt.images.listing.heif_is_readable", lambda: False)
    (tmp_path / name).write_bytes(HEAD)
    for read in (read_image, read_size):
        with pytest.raises(
            DataError, match=rf"{name} is a HEIC image, as iPhones take them{although}"
        ) as caught:
            read(tmp_path / name)
        assert str(caught.value).endswith("pip install 'addapt[heic]'. Or save it as JPEG.")


@installed
@pytest.mark.parametrize("name", ["a.heic", "a.jpg"])
def test_whatever_its_name(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a.heic", halves(), quality=100)
    (tmp_path / "a.heic").rename(tmp_path / name)
    found = np.asarray(read_image(tmp_path / name, 8), int)  # nothing is decoded smaller
    assert found.shape == (32, 64, 3)
    assert np.abs(found - np.asarray(halves(), int)).mean() < 8
    assert read_size(tmp_path / name) == (64, 32)
    assert decoding_bytes([tmp_path / name], 4, threads=1) == 20 * 64 * 32


@installed
def test_upright_and_the_image_itself(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 8
    other = Image.new("RGB", (64, 32), "lime")
    path = tmp_path / "a.heic"
    write(path, halves().transpose(Image.Transpose.ROTATE_270), exif=exif.tobytes(), quality=100)
    found = np.asarray(read_image(path), int)
    assert found.shape == (32, 64, 3)
    assert np.abs(found - np.asarray(halves(), int)).mean() < 8

    from pillow_heif import from_pillow

    several = from_pillow(other)
    several.add_from_pillow(halves())
    several.save(path, primary_index=1, quality=100, thumbnails=[16])
    found = np.asarray(read_image(path), int)
    assert np.abs(found - np.asarray(halves(), int)).mean() < 8


@installed
def test_transparent_parts_become_white(tmp_path: Path) -> None:
    write(tmp_path / "a.heic", Image.new("RGBA", (32, 32), (255, 0, 0, 0)), quality=-1)
    assert np.asarray(read_image(tmp_path / "a.heic")).min() > 250


@installed
def test_sizes_that_are_lies(tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    whole = write(path, halves(512, 256), quality=50)
    size = struct.pack(">II", 512, 256)
    assert whole.count(size) == 1
    path.write_bytes(whole.replace(size, struct.pack(">II", 30_000, 30_000)))
    for read in (read_image, read_size):
        with pytest.raises(DataError, match=r"a\.heic is too large: it declares"):
            read(path)
    path.write_bytes(whole.replace(size, struct.pack(">II", 64, 32)))
    with pytest.raises(DataError, match=r"a\.heic"):
        read_image(path)


@installed
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_cut_off(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.heic"
    whole = write(path, halves())
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=r"a\.heic"):
        read_image(path)


@installed
def test_noise_never_escapes_as_another_error(tmp_path: Path) -> None:
    rng, path = np.random.default_rng(0), tmp_path / "a.heic"
    whole = write(path, halves())
    for _ in range(50):
        broken = bytearray(whole)
        for place in rng.integers(12, len(whole), 5):
            broken[place] = rng.integers(256)
        path.write_bytes(broken)
        try:
            assert read_image(path).mode == "RGB"
        except DataError as error:
            assert str(path) in str(error)


@installed
def test_only_a_heif_file_imports_the_package(tmp_path: Path) -> None:
    halves().save(tmp_path / "a.jpg")
    write(tmp_path / "a.heic", halves())
    words = """
import sys
from pathlib import Path
from addapt.images import read_image
from addapt.images.heif import heif_is_readable
folder = Path(sys.argv[1])
read_image(folder / "a.jpg")
assert heif_is_readable() and "pillow_heif" not in sys.modules
read_image(folder / "a.heic")
assert "pillow_heif" in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", words, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr


@installed
def test_what_lies_beside_the_image_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "a.heic", halves(), thumbnails=[16])
    with open_image(tmp_path / "a.heic") as (image, _, _):
        assert image.info["thumbnails"] == image.info["depth_images"] == []
        image.draft(None, (8, 8))
        image.load()
        assert image.size == (64, 32)
