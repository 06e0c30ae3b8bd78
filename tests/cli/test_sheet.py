"""Sheets of mistakes: hostile names, odd images, and as many as there is room for."""

import dataclasses
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from addapt.cli import sheet
from addapt.cli.sheet import draw_sheet
from addapt.images import Sample, Samples
from addapt.learning import Evaluation, ImageScores

HOSTILE = ("<script>alert(1)</script>\x1b[31m\n\udce9\u202e", '日本語 Blüte " onload="x', "W" * 250)


def evaluation_of(paths: list[Path], classes: tuple[str, ...]) -> Evaluation:
    """Make one in which each image was taken for the next class."""
    labels = np.arange(len(paths)) % len(classes)
    samples = Samples.of(Sample(p, int(k)) for p, k in zip(paths, labels, strict=True))
    predicted = ((labels + 1) % len(classes)).astype(np.int32)
    scores = ImageScores(samples, classes, predicted, np.linspace(1, 0.1, len(paths), dtype="f4"))
    return Evaluation(
        domain="do<main",
        accuracy=0.0,
        images=len(paths),
        per_class=(),
        per_image=scores,
        confusion=scores.confusion(),
        unreadable=(),
    )


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Return an image, one that is gone, a very wide one, a tiny one, and one of a hostile name."""
    paths = [tmp_path / f"{name}.png" for name in ("red", "gone", "wide", "tiny", HOSTILE[0][-9:])]
    exif = Image.Exif()
    exif[270] = "where I live"
    Image.new("RGB", (300, 200), "red").save(paths[0], exif=exif)
    Image.new("L", (5000, 1), 0).save(paths[2])
    Image.new("1", (1, 1), 0).save(paths[3])
    Image.new("RGBA", (20, 20), (0, 0, 255, 255)).save(paths[4])
    return paths


class Reader(HTMLParser):
    """Collects what a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_a_page_is_text_and_its_own_images(images: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "sheet.html"
    draw_sheet(evaluation_of(images, HOSTILE), 20, page)
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    assert reader.tags.count("img") == len(images)
    assert not {"script", "link", "iframe", "object", "a"} & set(reader.tags)
    assert {name for name, _ in reader.attributes}.isdisjoint({"onload", "href"})
    sources = [value or "" for name, value in reader.attributes if name == "src"]
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert "do<main: 5 of 5 mistakes, the most confident first" in reader.texts
    assert r"<script>alert(1)</script>\x1b[31m\n\udce9\u202e" in reader.texts
    assert f"taken for {HOSTILE[1]}, 100.0%" in reader.texts
    assert b"where I live" not in page.read_bytes()


@pytest.mark.parametrize("fonts", [(), sheet.FONTS])
def test_a_grid_has_the_images_in_their_order(
    fonts: tuple[str, ...], images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet, "FONTS", fonts)
    path = tmp_path / "sheet.png"
    draw_sheet(evaluation_of(images, HOSTILE), 20, path)
    with Image.open(path) as opened:
        grid = opened.convert("RGB")
        assert "where I live" not in str(opened.info)
    step, top = sheet.THUMBNAIL_PX + sheet.GAP_PX, sheet.LINE_PX + 2 * sheet.GAP_PX
    middle = sheet.GAP_PX + sheet.THUMBNAIL_PX // 2
    below = top + sheet.THUMBNAIL_PX + sheet.LINES * sheet.LINE_PX + sheet.GAP_PX
    row = top + sheet.THUMBNAIL_PX // 2 - 1
    assert grid.getpixel((middle, row)) == (255, 0, 0)
    assert grid.getpixel((middle + step, row)) == (0xEE, 0xEE, 0xEE)  # it is gone
    assert grid.getpixel((middle + 2 * step, row)) == (0, 0, 0)
    assert grid.getpixel((middle + 2 * step, row - 9)) == (0xEE, 0xEE, 0xEE)
    assert grid.getpixel((middle + 3 * step, row)) == (0, 0, 0)
    assert grid.getpixel((middle, below + sheet.THUMBNAIL_PX // 2)) == (0, 0, 255)
    # Long names end before the next image.
    gap = grid.crop((sheet.GAP_PX + sheet.THUMBNAIL_PX, top, sheet.GAP_PX + step, grid.height))
    assert gap.getextrema() == ((255, 255),) * 3


def test_a_sheet_has_room_for_so_many(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet, "MOST", {".png": 2, ".html": 3})
    page = tmp_path / "sheet.html"
    draw_sheet(evaluation_of(images, ("a", "b")), 1000, page)
    text = page.read_text(encoding="utf-8")
    assert text.count("<img ") == 3
    assert "3 of 5 mistakes" in text


def test_deep_images_are_shown_as_the_domain_reads_them(tmp_path: Path) -> None:
    Image.fromarray(np.full((160, 160), 694, np.uint16)).save(tmp_path / "deep.tif")
    evaluation = evaluation_of([tmp_path / "deep.tif"], ("a", "b"))
    draw_sheet(dataclasses.replace(evaluation, value_range=(291, 694)), 1, tmp_path / "s.png")
    with Image.open(tmp_path / "s.png") as shown:
        thumbnail = shown.crop((sheet.GAP_PX, 60, sheet.GAP_PX + sheet.THUMBNAIL_PX, 100))
    assert thumbnail.getextrema() == ((255, 255),) * 3
