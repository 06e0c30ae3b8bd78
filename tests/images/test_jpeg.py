"""JPEGs larger than the limit are decoded at a fraction, if that takes little memory."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from addapt._errors import DataError
from addapt.images.decode import open_image, read_image, read_size
from addapt.images.decode_many import decoding_bytes
from addapt.images.jpeg import coefficient_bytes, open_jpeg

TEAL = (0, 128, 128)


def kept(content: bytes) -> int:
    file = io.BytesIO(content)
    with open_jpeg(file) as image:
        return coefficient_bytes(image, file)


def saved(size: tuple[int, int], mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, TEAL).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def grey_in_scans(side: int, *scans: tuple[int, ...]) -> bytes:
    """Write a JPEG of three colours that all are 128; each scan holds some of them."""
    colours = b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    content = b"\xff\xd8" + segment(0xDB, bytes([0, *[1] * 64]))
    content += segment(0xC0, struct.pack(">BHHB", 8, side, side, 3) + colours)
    for table in (0x00, 0x10):  # one code, of one bit, for "nothing differs"
        content += segment(0xC4, bytes([table, 1, *[0] * 15, 0]))
    for scan in scans:
        parts = b"".join(bytes([number, 0]) for number in scan)
        content += segment(0xDA, bytes([len(scan)]) + parts + bytes([0, 63, 0]))
        content += bytes((side // 8) ** 2 * 2 * len(scan) // 8)
    return content + b"\xff\xd9"


@pytest.mark.parametrize(
    ("options", "bytes_a_pixel"),
    [
        ({}, 0),
        ({"progressive": True, "subsampling": 0}, 6),
        ({"progressive": True, "subsampling": 1}, 4),
        ({"progressive": True, "subsampling": 2}, 3),
        ({"progressive": True, "mode": "L"}, 2),
        ({"progressive": True, "mode": "CMYK", "subsampling": 0}, 8),
        ({"mode": "L"}, 0),
        ({"mode": "CMYK"}, 0),
    ],
)
def test_what_is_kept_at_full_size(options: dict[str, Any], bytes_a_pixel: int) -> None:
    assert kept(saved((64, 48), **options)) == bytes_a_pixel * 64 * 48


def test_several_scans_are_kept_though_nothing_is_progressive(tmp_path: Path) -> None:
    for scans, expected in ([(1, 2, 3)], 0), ([(1,), (2,), (3,)], 6), ([(1,), (2, 3)], 6):
        content = grey_in_scans(64, *scans)
        assert kept(content) == expected * 64 * 64
        (tmp_path / "a.jpg").write_bytes(content)
        assert set(read_image(tmp_path / "a.jpg").tobytes()) == {128}


def test_the_limit_is_for_what_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "phone.jpg"
    path.write_bytes(saved((800, 640)))
    (tmp_path / "large.png").write_bytes(b"")
    Image.new("RGB", (800, 640)).save(tmp_path / "large.png")
    whole = read_image(path, 80)
    monkeypatch.setattr("addapt.images.decode.MAX_PIXELS", 100 * 80)
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 1000)  # Pillow refuses twice that
    assert read_size(path) == (800, 640)
    found = read_image(path, 80)
    assert found.size == (100, 80)
    assert found.tobytes() == whole.tobytes()
    assert decoding_bytes([path], 40, threads=1) == 12 * 100 * 80
    for draft_px in (None, 320):
        with pytest.raises(DataError, match=r"phone\.jpg is too large: it declares "):
            read_image(path, draft_px)
    with pytest.raises(DataError, match=r"large\.png is too large"):
        read_image(tmp_path / "large.png", 80)


def test_what_has_to_be_kept_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "web.jpg"
    path.write_bytes(saved((800, 640), progressive=True))
    monkeypatch.setattr("addapt.images.decode.MAX_COEFFICIENT_BYTES", 3 * 800 * 640)
    assert read_image(path, 80).size == (100, 80)
    monkeypatch.setattr("addapt.images.decode.MAX_COEFFICIENT_BYTES", 3 * 800 * 640 - 1)
    with pytest.raises(DataError, match=r"progressive JPEG its 800 x 640 pixels .* not progress"):
        read_image(path, 80)
    assert decoding_bytes([path], 40, threads=1) == 0


def test_as_large_as_a_file_can_say(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(grey_in_scans(65_528, (1,)))  # others would follow
    with pytest.raises(DataError, match="too large: as a progressive JPEG"):
        read_image(path, 448)
    # Without its end: what is there takes next to nothing.
    path.write_bytes(grey_in_scans(64, (1, 2, 3)).replace(b"\0\x40\0\x40", b"\xff\xf0\xff\xf0"))
    assert read_size(path) == (65_520, 65_520)
    with pytest.raises(DataError, match="damaged, cut off"):
        read_image(path, 448)


def test_of_several_images_in_a_file_the_first_is_taken(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (64, 48), TEAL), Image.new("RGB", (64, 48), "red")
    path = tmp_path / "stereo.jpg"
    first.save(path, "MPO", save_all=True, append_images=[second])
    with Image.open(path) as image:
        assert image.format == "MPO"
    with open_image(path) as (image, size, coefficients):
        assert (image.format, size, coefficients) == ("JPEG", (64, 48), 0)
    assert np.abs(np.asarray(read_image(path), int) - TEAL).max() <= 3
    assert decoding_bytes([path], 32, threads=1) == 12 * 64 * 48
