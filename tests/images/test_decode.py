"""Every mode becomes upright 8-bit RGB; everything that is no image becomes a sentence."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from addapt._errors import DataError
from addapt.images.decode import MAX_FILE_BYTES, MAX_PIXELS, open_image, read_image, read_size
from addapt.images.kinds import KIND_OF_SUFFIX

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def colours(image: Image.Image) -> list[tuple[int, ...]]:
    assert image.mode == "RGB"
    return [tuple(map(int, pixel)) for pixel in np.asarray(image).reshape(-1, 3)]


def noise(side: int) -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))


GREY_ONLY = {".pbm", ".pgm", ".pfm"}
# `tests/images/test_heif.py` has those that Pillow alone neither reads nor writes
OF_OTHERS = {suffix for suffix, kind in KIND_OF_SUFFIX.items() if kind in ("HEIF", "AVIF")}
KINDS = [(suffix, "RGB") for suffix in sorted(KIND_OF_SUFFIX.keys() - GREY_ONLY - OF_OTHERS)]


@pytest.mark.parametrize(("suffix", "mode"), [*KINDS, (".jpg", "CMYK")])
def test_every_known_suffix_can_be_read(tmp_path: Path, suffix: str, mode: str) -> None:
    path = tmp_path / f"red{suffix}"
    Image.new("RGB", (16, 16), RED).convert(mode).save(path, KIND_OF_SUFFIX[suffix])
    image = read_image(path)
    assert image.mode == "RGB"
    assert np.abs(np.asarray(image, dtype=int) - RED).max() <= 3


def two(mode: str, *pixels: Any) -> Image.Image:
    image = Image.new(mode, (2, 1))
    if mode == "P":
        image.putpalette([*BLUE, *GREEN])
    image.putdata(pixels)
    return image


@pytest.mark.parametrize(
    ("name", "image", "options", "expected"),
    [
        ("grey.pgm", two("L", 77, 78), {}, [(77, 77, 77), (78, 78, 78)]),
        ("bits.png", two("1", 0, 1), {}, [BLACK, WHITE]),
        ("bits.pbm", two("1", 0, 1), {}, [BLACK, WHITE]),
        ("bits.tif", two("1", 0, 1), {}, [BLACK, WHITE]),
        ("palette.png", two("P", 0, 1), {}, [BLUE, GREEN]),
        ("palette.png", two("P", 0, 1), {"transparency": bytes([255, 0])}, [BLUE, WHITE]),
        ("palette.gif", two("P", 0, 1), {"transparency": 1}, [BLUE, WHITE]),
        ("alpha.png", two("RGBA", (255, 0, 0, 255), (255, 0, 0, 0)), {}, [RED, WHITE]),
        ("alpha.png", two("RGBA", (0, 0, 0, 128), (0, 0, 0, 255)), {}, [(127, 127, 127), BLACK]),
        ("alpha.png", two("LA", (0, 255), (0, 0)), {}, [BLACK, WHITE]),
        ("key.png", two("RGB", RED, BLUE), {"transparency": BLUE}, [RED, WHITE]),
        ("cmyk.tif", two("CMYK", (0, 255, 255, 0), (0, 0, 0, 255)), {}, [RED, BLACK]),
        ("content counts.jpg", two("RGB", RED, BLUE), {"format": "PNG"}, [RED, BLUE]),
    ],
)
def test_every_mode_becomes_rgb_on_white(
    tmp_path: Path,
    name: str,
    image: Image.Image,
    options: dict[str, Any],
    expected: list[tuple[int, ...]],
) -> None:
    image.save(tmp_path / name, **options)
    assert colours(read_image(tmp_path / name)) == expected


def test_sixteen_bits_lose_their_low_byte(tmp_path: Path) -> None:
    values = np.array([[0, 0x00FF, 0x1234, 0xFFFF]], dtype=np.uint16)
    for name in ("deep.png", "deep.tif"):
        Image.fromarray(values).save(tmp_path / name)
    (tmp_path / "deep.pgm").write_bytes(b"P5 4 1 65535 " + values.astype(">u2").tobytes())
    for name in ("deep.png", "deep.tif", "deep.pgm"):
        assert colours(read_image(tmp_path / name)) == [(v, v, v) for v in (0, 0, 0x12, 0xFF)]


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([0, 0x1234, 0xFFFF], np.int32, [0, 0x12, 255]),
        ([0, 50_000, 100_000], np.int32, [0, 128, 255]),
        ([-100, 0, 100], np.int32, [0, 128, 255]),
        ([0.0, 0.2, 0.4], np.float32, [0, 51, 102]),
        ([-3e38, 0.0, 3e38], np.float32, [0, 128, 255]),
        ([7.0, 7.0, 7.0], np.float32, [0, 0, 0]),
        ([np.nan, 10.0, np.inf, 20.0], np.float32, [0, 0, 255, 255]),
        ([np.nan, np.nan], np.float32, [0, 0]),
    ],
)
def test_wide_greys_are_scaled_by_what_they_hold(
    tmp_path: Path, values: list[float], dtype: type[np.generic], expected: list[int]
) -> None:
    Image.fromarray(np.array([values], dtype=dtype)).save(tmp_path / "wide.tif")
    assert colours(read_image(tmp_path / "wide.tif")) == [(v, v, v) for v in expected]


@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path, suffix: str) -> None:
    first, second = Image.new("RGB", (8, 8), WHITE), Image.new("RGB", (8, 8), BLACK)
    first.save(tmp_path / f"moving{suffix}", save_all=True, append_images=[second])
    assert set(colours(read_image(tmp_path / f"moving{suffix}"))) == {WHITE}


@pytest.mark.parametrize(
    ("orientation", "suffix"),
    [*((number, ".png") for number in range(1, 9)), (6, ".jpg"), (6, ".tif"), (6, ".webp")],
)
def test_every_orientation_is_turned_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = Image.new("RGB", (48, 32), BLACK)
    upright.paste(RED, (0, 0, 16, 16))
    upright.paste(BLUE, (32, 0, 48, 16))
    stored = {
        1: lambda x: x,
        2: lambda x: x.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda x: x.transpose(Image.Transpose.ROTATE_180),
        4: lambda x: x.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda x: x.transpose(Image.Transpose.TRANSPOSE),
        6: lambda x: x.transpose(Image.Transpose.ROTATE_90),
        7: lambda x: x.transpose(Image.Transpose.TRANSVERSE),
        8: lambda x: x.transpose(Image.Transpose.ROTATE_270),
    }[orientation](upright)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / f"turned{suffix}"
    stored.save(path, exif=exif, quality=100)
    image = read_image(path)
    assert image.size == (48, 32)
    for place, colour in [((8, 8), RED), ((40, 8), BLUE), ((8, 24), BLACK), ((40, 24), BLACK)]:
        assert np.abs(np.asarray(image, dtype=int)[place[1], place[0]] - colour).max() < 30
    assert max(read_size(path)) == 48


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_block_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "exif.jpg"
    Image.new("RGB", (8, 8), WHITE).save(path, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert set(colours(read_image(path))) == {WHITE}


@pytest.mark.parametrize(("draft_px", "size"), [(None, 400), (400, 400), (101, 200), (50, 50)])
def test_draft_decodes_a_jpeg_smaller_but_never_too_small(
    tmp_path: Path, draft_px: int | None, size: int
) -> None:
    Image.new("RGB", (400, 800), RED).save(tmp_path / "large.jpg")
    assert read_image(tmp_path / "large.jpg", draft_px).size == (size, 2 * size)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.jpg", None, r"gone\.jpg does not exist"),
        ("text.jpg", b"not an image at all", r"text\.jpg is not an image of a known kind"),
        ("empty.png", b"", r"empty\.png is empty"),
        ("none.gif", b"GIF89a" + bytes(7) + b";", r"none\.gif"),  # no pixels
    ],
)
def test_what_is_no_image_is_told(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    for read in (read_image, read_size):
        with pytest.raises(DataError, match=message):
            read(tmp_path / name)


def test_an_address_is_told_to_be_none() -> None:
    with pytest.raises(DataError, match=r"https://x\.org/a\.jpg is an address, .* the image yours"):
        read_image(Path("https://x.org/a.jpg"))


@pytest.mark.parametrize(
    ("name", "head", "message"),
    [
        ("a.jpg", b"\xff\x0a\x01", r"a\.jpg is a JPEG XL image, although its name ends in \.jpg, "),
        ("a.JXL", b"\xff\x0a\x01", r"is a JPEG XL image, which cannot be read here\. Save it as"),
        ("a.tif", b"8BPS\0\1", r"is a Photoshop image, although its name ends in \.tif, which"),
        ("a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n", r"is a JPEG 2000 image, which cannot be read"),
        ("a.exr", b"\x76\x2f\x31\x01", "is an OpenEXR image, which cannot"),
        (
            "a.tif",
            b"II*\0\x10\0\0\0CR\x02",
            r"raw file of a camera, although its name ends in \.tif",
        ),
        ("a.jpg", b"\0\0\0\x18ftypcrx \0\0\0\0crx isom", "raw file of a camera, although"),
    ],
)
def test_known_kinds_that_cannot_be_read(
    tmp_path: Path, name: str, head: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(head)
    for read in (read_image, read_size):
        with pytest.raises(DataError, match=message):
            read(tmp_path / name)


def test_a_raw_file_does_not_pass_for_its_thumbnail(tmp_path: Path) -> None:
    Image.new("RGB", (16, 12)).save(tmp_path / "IMG_1.NEF", format="TIFF")
    with pytest.raises(DataError, match=r"NEF is a raw file of a camera, and .* save it as JPEG"):
        read_image(tmp_path / "IMG_1.NEF")


@pytest.mark.parametrize("name", ["a.avif", "a.jpg"])
def test_avif(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (16, 12), RED).save(tmp_path / name, "AVIF", quality=100)
    assert np.abs(np.asarray(read_image(tmp_path / name), int) - RED).max() <= 3
    assert read_size(tmp_path / name) == (16, 12)


def test_a_pillow_without_avif(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (16, 12), RED).save(tmp_path / "a.jpg", "AVIF")
    monkeypatch.setattr("PIL.features.check", lambda feature: feature != "avif")
    with pytest.raises(DataError, match="an AVIF image, although .* pip install --upgrade pillow"):
        read_image(tmp_path / "a.jpg")


def test_formats_outside_the_list_stay_closed(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), RED).save(tmp_path / "red.jpg", format="EPS")
    with pytest.raises(DataError, match="not an image of a known kind"):
        read_image(tmp_path / "red.jpg")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)  # the tests may run as root, whom nothing stops
    with pytest.raises(DataError, match=r"a\.jpg may not be read"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".bmp", ".tif", ".webp", ".ppm"])
@pytest.mark.parametrize("share", [0.1, 0.9])
def test_cut_off_files_are_refused(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"cut{suffix}"
    noise(64).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DataError, match=rf"cut\{suffix}"):
        read_image(path)


def test_noise_behind_a_good_beginning_never_escapes_as_another_error(tmp_path: Path) -> None:
    rng, path = np.random.default_rng(0), tmp_path / "a.jpg"
    noise(16).save(path)
    whole = path.read_bytes()
    for _ in range(50):
        broken = bytearray(whole)
        for place in rng.integers(2, len(whole), 20):
            broken[place] = rng.integers(256)
        path.write_bytes(broken)
        try:
            read_image(path)
        except DataError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize("width", [400_000_000, MAX_PIXELS + 1])
@pytest.mark.parametrize("warned", [True, False])
def test_huge_images_are_refused_before_decoding(tmp_path: Path, width: int, warned: bool) -> None:
    path = tmp_path / "bomb.pbm"
    path.write_bytes(f"P4 {width} 1 ".encode())
    with warnings.catch_warnings():
        warnings.simplefilter("error" if warned else "ignore")
        for read in (read_image, read_size):
            with pytest.raises(DataError, match=r"bomb\.pbm is too large: it declares"):
                read(path)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")  # reading it would wait for a writer, for ever
    for read in (read_image, read_size):
        with pytest.raises(DataError, match=r"pipe\.png is a pipe or a device"):
            read(tmp_path / "pipe.png")
    with pytest.raises(DataError, match="null is a pipe or a device"):
        read_image(Path("/dev/null"))
    with pytest.raises(DataError, match="is a folder, not an image"):
        read_image(tmp_path)


def test_a_file_larger_than_any_image_is_refused_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "large.webp"
    with path.open("wb") as file:
        file.write(b"RIFF\x00\x00\x00\x00WEBPVP8 ")
        file.truncate(MAX_FILE_BYTES + 1)  # takes no space on the disk
    with pytest.raises(DataError, match=r"large\.webp is too large: it takes 715,827,881 bytes"):
        read_image(path)


@pytest.mark.parametrize(
    ("name", "compression"),
    [("a.bmp", None), ("a.ppm", None), ("a.tif", "raw"), ("a.tif", "tiff_deflate")],
)
def test_no_file_is_mapped_into_memory(
    tmp_path: Path, name: str, compression: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a mapped file that is cut short meanwhile, reading ends the process."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("mapped")

    options = {} if compression is None else {"compression": compression}
    Image.new("RGB", (16, 16), RED).save(tmp_path / name, **options)
    monkeypatch.setattr("mmap.mmap", refuse)
    with open_image(tmp_path / name) as (image, _, _):
        with pytest.raises(OSError):
            image.fp.fileno()  # type: ignore[attr-defined]  # the TIFF library would map what has a number
        image.load()
    assert set(colours(read_image(tmp_path / name))) == {RED}
