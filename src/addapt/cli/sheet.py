"""A sheet of thumbnails of images that were taken for another class, as PNG or HTML."""

import base64
import io
import math
import warnings
from collections.abc import Iterator
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from addapt._errors import DataError
from addapt._text import printable
from addapt.cli.drawing import check_place, write_file
from addapt.cli.mistakes import mistakes_title
from addapt.images import ValueRange, read_image

if TYPE_CHECKING:
    from addapt.learning import Evaluation, ImageScore, ImageScores

    Thumbnails = Iterator[tuple[ImageScore, Image.Image]]

# So many mistakes a sheet shows at most: beyond, pixels or pages would fill the memory.
MOST = {".png": 500, ".html": 2000}
MISTAKES = 20  # where no number is asked for

THUMBNAIL_PX = 160
GAP_PX = 12
LINE_PX = 18
FONT_PX = 14
LINES = 3  # under each thumbnail: the class, what it was taken for, probability and file

# The built-in font has ASCII only; these, where the system has one, write most alphabets.
FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf")

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
  body {{ font: 15px/1.4 system-ui, sans-serif; color: #222; margin: 2rem; }}
  .images {{ display: flex; flex-wrap: wrap; gap: 1.2rem .8rem; }}
  figure {{ margin: 0; width: 10rem; overflow-wrap: anywhere; }}
  img {{ width: 160px; height: 160px; display: block; border: 1px solid #ddd; }}
  .wrong {{ color: #b3261e; }}
  small {{ color: #666; }}
</style>
</head>
<body>
<h1>{title}</h1>
<div class="images">
{figures}
</div>
</body>
</html>
"""
FIGURE = """<figure><img src="data:image/jpeg;base64,{image}" alt="">
<b>{label}</b><br><span class="wrong">taken for {predicted}, {probability:.1%}</span><br>
<small>{name}</small></figure>"""


def check_sheet(path: Path) -> None:
    """Refuse before any work a sheet that could not be written after it.

    Raises:
        OptionError: as `check_place`.
    """
    check_place(path, MOST)


def draw_sheet(evaluation: "Evaluation", most: int, path: Path) -> None:
    """Write thumbnails of the most confident mistakes, `most` or as many as there is room for.

    A page refers to nothing outside itself and runs no scripts.

    Raises:
        OptionError: the disk refused.
    """
    ending = path.suffix.lower()
    mistakes = evaluation.mistakes(min(most, MOST[ending]))
    title = printable(f"{evaluation.domain}: {mistakes_title(evaluation, len(mistakes))}")
    thumbnails = _thumbnails(mistakes, evaluation.value_range)
    if ending == ".html":
        content = _page(thumbnails, title).encode()
    else:
        arrow = " (class -> taken for)" if mistakes else ""
        content = _encoded(_grid(thumbnails, len(mistakes), f"{title}{arrow}"), "PNG")
    write_file(path, content)


def _page(thumbnails: "Thumbnails", title: str) -> str:
    figures = (
        FIGURE.format(
            image=base64.b64encode(_encoded(thumbnail, "JPEG")).decode(),
            label=escape(printable(mistake.label)),
            predicted=escape(printable(mistake.predicted)),
            probability=mistake.probability,
            name=escape(printable(str(mistake.image))),
        )
        for mistake, thumbnail in thumbnails
    )
    return PAGE.format(title=escape(title), figures="\n".join(figures))


def _grid(thumbnails: "Thumbnails", count: int, title: str) -> Image.Image:
    wide, high = THUMBNAIL_PX + GAP_PX, THUMBNAIL_PX + LINES * LINE_PX + GAP_PX
    # A title needs the width of a few thumbnails; more are laid out about as wide as high.
    columns = max(4, math.ceil(math.sqrt(count * high / wide)))
    rows = math.ceil(count / columns)
    top = LINE_PX + 2 * GAP_PX
    sheet = Image.new("RGB", (columns * wide + GAP_PX, top + rows * high), "white")
    pen = _Pen(sheet)
    pen.write(GAP_PX, GAP_PX, title, "black", sheet.width - 2 * GAP_PX)
    for number, (mistake, thumbnail) in enumerate(thumbnails):
        x, y = GAP_PX + number % columns * wide, top + number // columns * high
        sheet.paste(thumbnail, (x, y))
        y += THUMBNAIL_PX
        file = f"{mistake.probability:.1%}  {mistake.image.name}"
        pen.write(x, y, mistake.label, "black", THUMBNAIL_PX)
        pen.write(x, y + LINE_PX, f"-> {mistake.predicted}", "#b3261e", THUMBNAIL_PX)
        pen.write(x, y + 2 * LINE_PX, file, "#666666", THUMBNAIL_PX)
    return sheet


def _thumbnails(mistakes: "ImageScores", value_range: ValueRange) -> "Thumbnails":
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # evaluating has told what matters
        for mistake in mistakes:
            yield mistake, _thumbnail(mistake.image, value_range)


def _thumbnail(path: Path, value_range: ValueRange) -> Image.Image:
    """Fit the image into a square, grey beside it; one that is gone by now is grey altogether."""
    square = Image.new("RGB", (THUMBNAIL_PX, THUMBNAIL_PX), "#eeeeee")
    try:
        image = read_image(path, THUMBNAIL_PX, value_range)
    except DataError:
        return square
    scale = THUMBNAIL_PX / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    # Small images, such as digits of 8 px, are shown as the squares that they are made of.
    resampling = Image.Resampling.LANCZOS if scale < 2 else Image.Resampling.NEAREST
    small = image.resize((width, height), resampling)
    square.paste(small, ((THUMBNAIL_PX - width) // 2, (THUMBNAIL_PX - height) // 2))
    return square


class _Pen:
    """Writes single lines of what strangers may have named."""

    def __init__(self, sheet: Image.Image) -> None:
        self._draw = ImageDraw.Draw(sheet)
        self._font, self._is_built_in = ImageFont.load_default(FONT_PX), True
        for name in FONTS:
            with suppress(OSError):
                self._font, self._is_built_in = ImageFont.truetype(name, FONT_PX), False
                break

    def write(self, x: int, y: int, text: str, colour: str, width: int) -> None:
        """Write `text`, cut to `width`; there are question marks for what the font lacks."""
        line = printable(text)
        if self._is_built_in:
            line = line.encode("ascii", "replace").decode()
        if self._font.getlength(line) > width:
            while self._font.getlength(f"{line}...") > width:
                line = line[:-1]
            line += "..."
        self._draw.text((x, y), line, colour, self._font)


def _encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, quality=85)
    return buffer.getvalue()
