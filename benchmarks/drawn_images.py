"""Images that nobody has to fetch: coloured shapes on noisy ground, the same for the same seed."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

Point = tuple[float, float]
NOISE = 12.0  # of a camera, in levels of 255


def polygon(corners: int, *, star: bool = False) -> Callable[[Point, float, float], list[Point]]:
    """Return what places the corners of a shape about its centre, turned by an angle."""

    def points(centre: Point, radius: float, angle: float) -> list[Point]:
        placed = []
        for corner in range(corners * (2 if star else 1)):
            reach = radius * (0.45 if star and corner % 2 else 1.0)
            turn = angle + math.pi * corner * (1 if star else 2) / corners
            placed.append((centre[0] + reach * math.cos(turn), centre[1] + reach * math.sin(turn)))
        return placed

    return points


SHAPES = {
    "disc": polygon(40),
    "square": polygon(4),
    "triangle": polygon(3),
    "star": polygon(5, star=True),
    "cross": polygon(4, star=True),
}
COLOURS = {"red": (210, 60, 50), "blue": (60, 90, 210)}
# Neighbours differ in shape and colour.
LABELS = tuple(
    f"{list(COLOURS)[(number + turn) % 2]} {shape}"
    for turn in range(2)
    for number, shape in enumerate(SHAPES)
)


def write_images(
    folder: Path, *, classes: int, a_class: int, px: int, suffix: str = ".jpg", seed: int = 0
) -> list[Path]:
    """Write class folders; return the images in the order of their names."""
    generator = np.random.default_rng(seed)
    written = []
    for label in LABELS[:classes]:
        (folder / label).mkdir(parents=True)
        for number in range(a_class):
            path = folder / label / f"{number:04}{suffix}"
            draw(label, px, generator).save(path, quality=90)
            written.append(path)
    return sorted(written)


def draw(label: str, px: int, generator: np.random.Generator) -> Image.Image:
    """Draw the shape of this label above others of no colour, as large as a third to all of it."""
    top, bottom = generator.uniform(40, 215, (2, 1, 1, 3))
    ground = top + (bottom - top) * np.linspace(0, 1, px).reshape(px, 1, 1)
    image = Image.fromarray(np.broadcast_to(ground, (px, px, 3)).astype(np.uint8))
    pen = ImageDraw.Draw(image)

    def place(shape: str, colour: np.ndarray, smallest: float, largest: float) -> None:
        radius = px / 2 * generator.uniform(smallest, largest)
        x, y = generator.uniform(radius, px - radius, 2)
        corners = SHAPES[shape]((x, y), radius, generator.uniform(0, math.tau))
        pen.polygon(corners, fill=tuple(int(level) for level in np.clip(colour, 0, 255)))

    for _ in range(4):
        place(str(generator.choice(list(SHAPES))), np.full(3, generator.uniform(0, 255)), 0.05, 0.2)
    colour, shape = label.split()
    place(shape, np.array(COLOURS[colour]) + generator.uniform(-35, 35, 3), 0.35, 0.95)
    noise = generator.normal(0, NOISE, (px, px, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
