"""Every mode becomes upright 8-bit RGB; everything that is no image becomes a sentence."""

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, UnidentifiedImageError

from addapt._errors import DataError
from addapt.images.decode import (
    IMAGE_SUFFIXES,
    MAX_FILE_BYTES,
    MAX_PIXELS,
    open_image,
    read_image,
    read_size,
)

RED, GREEN, BLUE, WHITE, BLACK = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
    (0, 0, 0),
)


def colours(image: Image.Image) -> list[tuple[int, ...]]:
    assert image.mode == "RGB"
    return [tuple(map(int, pixel)) for pixel in np.asarray(image).reshape(-1, 3)]


def png_declaring(width: int, height: int) -> bytes:
    """A 1-bit PNG of a few bytes that claims to be that large."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checked = name + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0")
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def jpeg_bytes(side: int) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES - {".pbm", ".pgm"}))
def test_every_known_suffix_can_be_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"red{suffix}"
    Image.new("RGB", (16, 16), RED).save(path)
    assert np.abs(np.asarray(read_image(path), dtype=int) - RED).max() <= 3


def test_grey_is_repeated(tmp_path: Path) -> None:
    path = tmp_path / "grey.pgm"
    Image.new("L", (1, 1), 77).save(path)
    assert colours(read_image(path)) == [(77, 77, 77)]


@pytest.mark.parametrize("suffix", [".png", ".pbm", ".tif"])
def test_one_bit_becomes_black_and_white(tmp_path: Path, suffix: str) -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    image.save(tmp_path / f"bits{suffix}")
    assert colours(read_image(tmp_path / f"bits{suffix}")) == [BLACK, WHITE]


def test_palette(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*BLUE, *GREEN])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "palette.png")
    assert colours(read_image(tmp_path / "palette.png")) == [BLUE, GREEN]


def test_transparent_palette_entry_becomes_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*BLUE, *GREEN])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "palette.png", transparency=bytes([255, 0]))
    image.save(tmp_path / "palette.gif", transparency=1)
    assert colours(read_image(tmp_path / "palette.png")) == [BLUE, WHITE]
    assert colours(read_image(tmp_path / "palette.gif")) == [BLUE, WHITE]


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("RGBA", (255, 0, 0, 255), RED),
        ("RGBA", (255, 0, 0, 0), WHITE),
        ("RGBA", (0, 0, 0, 128), (127, 127, 127)),
        ("LA", (0, 255), BLACK),
        ("LA", (0, 0), WHITE),
    ],
)
def test_alpha_is_laid_over_white(
    tmp_path: Path, mode: str, value: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    Image.new(mode, (1, 1), value).save(tmp_path / "alpha.png")
    assert colours(read_image(tmp_path / "alpha.png")) == [expected]


def test_a_colour_declared_transparent_becomes_white(tmp_path: Path) -> None:
    image = Image.new("RGB", (2, 1), RED)
    image.putpixel((1, 0), BLUE)
    image.save(tmp_path / "key.png", transparency=BLUE)
    assert colours(read_image(tmp_path / "key.png")) == [RED, WHITE]


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (1, 1), (0, 255, 255, 0)).save(tmp_path / "cmyk.tif")
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg")
    assert colours(read_image(tmp_path / "cmyk.tif")) == [RED]
    assert np.abs(np.asarray(read_image(tmp_path / "cmyk.jpg"), dtype=int) - RED).max() <= 3


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
        ([0.0, 0.2, 1.0], np.float32, [0, 51, 255]),
        ([0.0, 0.2, 0.4], np.float32, [0, 51, 102]),
        ([-3e38, 0.0, 3e38], np.float32, [0, 128, 255]),
        ([10.0, 20.0, 30.0], np.float32, [0, 128, 255]),
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


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path, suffix: str) -> None:
    first, second = Image.new("RGB", (8, 8), WHITE), Image.new("RGB", (8, 8), BLACK)
    first.save(tmp_path / f"moving{suffix}", save_all=True, append_images=[second])
    assert set(colours(read_image(tmp_path / f"moving{suffix}"))) == {WHITE}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
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


def test_content_decides_not_the_suffix(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), RED).save(tmp_path / "red.jpg", format="PNG")
    assert colours(read_image(tmp_path / "red.jpg")) == [RED]


def test_formats_outside_the_list_stay_closed(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), RED).save(tmp_path / "red.jpg", format="EPS")
    with pytest.raises(DataError, match="not an image of a known kind"):
        read_image(tmp_path / "red.jpg")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jpg does not exist"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(DataError, match=r"gone\.jpg does not exist"):
        read_size(tmp_path / "gone.jpg")


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(DataError, match=r"folder\.jpg is a folder"):
        read_image(tmp_path / "folder.jpg")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)  # the tests may run as root, whom nothing stops
    with pytest.raises(DataError, match=r"a\.jpg may not be read"):
        read_image(tmp_path / "a.jpg")


def test_text_called_jpg(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not an image at all")
    with pytest.raises(DataError, match=r"text\.jpg is not an image of a known kind"):
        read_image(tmp_path / "text.jpg")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError, match=r"empty\.png is empty"):
        read_image(tmp_path / "empty.png")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".bmp", ".tif", ".webp", ".ppm"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_cut_off_files_are_refused(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"cut{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DataError, match=rf"cut\{suffix}"):
        read_image(path)


def test_noise_behind_a_good_beginning_never_escapes_as_another_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole = jpeg_bytes(16)
    for i in range(100):
        broken = bytearray(whole)
        for place in rng.integers(2, len(whole), 20):
            broken[place] = rng.integers(256)
        path = tmp_path / f"{i}.jpg"
        path.write_bytes(broken)
        try:
            read_image(path)
        except DataError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (10_000, 10_000)])
def test_huge_images_are_refused_before_decoding(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_declaring(width, height))
    for read in (read_image, read_size):
        with pytest.raises(DataError, match=r"bomb\.png is too large"):
            read(path)


def test_the_limit_does_not_depend_on_warning_filters(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_declaring(MAX_PIXELS + 1, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DataError, match=f"declares {MAX_PIXELS + 1} x 1 pixels"):
            read_image(path)


def test_a_image_without_pixels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nothing.gif"
    path.write_bytes(b"GIF89a" + struct.pack("<HHBBB", 0, 0, 0, 0, 0) + b";")
    with pytest.raises(DataError, match=r"nothing\.gif"):
        read_image(path)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")  # reading it would wait for a writer, for ever
    for read in (read_image, read_size):
        with pytest.raises(DataError, match=r"pipe\.png is a pipe or a device"):
            read(tmp_path / "pipe.png")
    with pytest.raises(DataError, match="null is a pipe or a device"):
        read_image(Path("/dev/null"))


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
    with open_image(tmp_path / name) as image:
        with pytest.raises(OSError):
            image.fp.fileno()  # type: ignore[attr-defined]  # the TIFF library would map what has a number
        image.load()
    assert set(colours(read_image(tmp_path / name))) == {RED}


def test_a_file_that_vanishes_between_two_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "text.png"
    path.write_text("not an image")

    def vanish(*_: object, **__: object) -> None:
        path.unlink()
        raise UnidentifiedImageError

    monkeypatch.setattr(Image, "open", vanish)
    with pytest.raises(DataError, match=r"text\.png is not an image"):
        read_image(path)
