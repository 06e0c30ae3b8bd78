"""What the points of `gates.py` say: means over domains, tables and a plot."""

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from domains import DOMAINS
from gates_points import PX
from result_rows import Row

NOT_RUN = "Not run here.\n"
ASKED = ("px", "first_px", "compute_target", "lose")  # which make a point
SIZE_MATTERS = ("solar-cells", "cifar-10")
LOSSES = (0.2, 0.5, 1.0)  # points that one may be ready to lose
HARDLY = 1e-9


@dataclass(frozen=True)
class Times:
    """Milliseconds: of one look by its size, and of making an image of one size another."""

    look: Mapping[int, float]
    shrinking: Mapping[tuple[int, int], float]
    two_looks: Sequence[Row]

    def of(self, row: Row) -> float:
        """Return those that an image of a point takes."""
        return self.sum(row) if row["first_px"] is None else self.in_use * self.sum(row)

    def sum(self, row: Row) -> float:
        """Return those of a point's parts, each measured alone."""
        px, first_px = row["px"], row["first_px"]
        if first_px is None:
            return self.look[px]
        first = self.look[first_px] + self.shrinking[px, first_px]
        return first + float(row["second_share"]) * self.look[px]

    @property
    def in_use(self) -> float:
        """How many times the sum of their parts two looks take, in the median of those timed."""
        ratios = [
            row["ms"] / row["full_ms"] * self.look[row["px"]] / self.sum(row)
            for row in self.two_looks
        ]
        return statistics.median(ratios) if ratios else 1.0


@dataclass(frozen=True)
class Point:
    """A size alone, or two looks, and what it does in the mean over domains.

    `lost` and `lost_error`, its standard error, are shares of the images against those in full;
    `ms` is not a number where it was not measured, and `accuracies` are by domain.
    """

    px: int
    first_px: int | None
    compute_target: float | None
    lose: float | None
    accuracy: float
    lost: float
    lost_error: float
    compute: float
    second_share: float
    ms: float
    seeds: int
    accuracies: Mapping[str, float]

    @property
    def words(self) -> str:
        """What it is."""
        if self.first_px is None:
            return f"{self.px} px"
        asked = (
            f"{self.compute_target:.0%} of the compute"
            if self.lose is None
            else f"to lose {points(self.lose / 100)}"
        )
        return f"{self.first_px}, then {self.px} px; {asked}"


def read_points(path: Path) -> list[Row]:
    """Return the rows of all domains and seeds; none if there is no such file yet."""
    rows: list[Row] = json.loads(path.read_text("utf-8"))["rows"] if path.exists() else []
    return rows


def read_times(path: Path) -> Times | None:
    """Return the milliseconds, if they were measured."""
    if not path.exists():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return Times(
        {row["image_px"]: row["ms"] for row in found["rows"] if row["images"] == 1},
        {(row["px"], row["first_px"]): row["ms"] for row in found["shrinking"]},
        found["two_looks"],
    )


def summary(
    rows: Sequence[Row], times: Times | None, names: Sequence[str] = DOMAINS
) -> list[Point]:
    """Return the points that all of these domains have which were learned in full."""
    names = [name for name in names if any(row["domain"] == name for row in rows)]
    of_point: dict[tuple[Any, ...], dict[str, list[Row]]] = {}
    for row in rows:
        key = tuple(row[field] for field in ASKED)
        of_point.setdefault(key, {}).setdefault(row["domain"], []).append(row)
    return [
        _point(key, {name: own[name] for name in names}, times)
        for key, own in of_point.items()
        if names and own.keys() >= set(names)
    ]


def _point(key: tuple[Any, ...], own: Mapping[str, Sequence[Row]], times: Times | None) -> Point:
    def mean(value: Callable[[Row], float]) -> float:
        return statistics.mean(_over_seeds(rows, value) for rows in own.values())

    # The test images are the same for all seeds, so that these do not make it smaller.
    errors = [_over_seeds(rows, lambda row: row["lost_error"]) for rows in own.values()]
    made: dict[str, Any] = dict(zip(ASKED, key, strict=True))
    return Point(
        **made,
        accuracy=mean(lambda row: row["accuracy"]),
        lost=mean(lambda row: row["lost"]),
        lost_error=float(np.linalg.norm(errors)) / len(errors),
        compute=mean(lambda row: row["compute"]),
        second_share=mean(lambda row: row["second_share"]),
        ms=math.nan if times is None else mean(times.of),
        seeds=min(map(len, own.values())),
        accuracies={
            name: _over_seeds(rows, lambda row: row["accuracy"]) for name, rows in own.items()
        },
    )


def _over_seeds(rows: Sequence[Row], value: Callable[[Row], float]) -> float:
    return statistics.mean(map(value, rows))


def edge(found: Sequence[Point]) -> list[Point]:
    """Return the points of which none that is as fast loses less, the slowest first."""
    best: list[Point] = []
    for point in sorted(timed(found), key=lambda point: (point.ms, point.lost)):
        if not best or point.lost < best[-1].lost - HARDLY:
            best.append(point)
    return best[::-1]


def timed(found: Sequence[Point]) -> list[Point]:
    return [point for point in found if not math.isnan(point.ms)]


def in_full(found: Sequence[Point]) -> Point:
    """Return what all points are compared with."""
    (full,) = (point for point in found if (point.px, point.first_px) == (PX, None))
    return full


def faster(found: Sequence[Point], point: Point) -> float:
    """Return how many times faster a point is than images in full."""
    return in_full(found).ms / point.ms


def above_static(found: Sequence[Point], point: Point) -> float | None:
    """Return the share of images by which two looks are above one of as many milliseconds.

    Between two sizes it is their straight line. None outside of the sizes.
    """
    alone = sorted((each.ms, each.lost) for each in timed(found) if each.first_px is None)
    if point.first_px is None or not alone or not alone[0][0] <= point.ms <= alone[-1][0]:
        return None
    ms, lost = zip(*alone, strict=True)
    return float(np.interp(point.ms, ms, lost)) - point.lost


def points(share: float) -> str:
    """Write a share of the images as points."""
    value = round(100 * share, 1) + 0.0  # there is no -0
    return f"{value:.1f}".removeprefix("0").replace("-0.", "-.")


def tables(rows: Sequence[Row], times: Times | None) -> list[str]:
    """Render all that the points say: the fastest, all of them, by domain, the check of the sum."""
    found, detailed = summary(rows, times), summary(rows, times, SIZE_MATTERS)
    return [
        fastest_table(found),
        table(found, detailed),
        domains_table(shown_by_domain(found)),
        check_table(times),
    ]


def fastest(found: Sequence[Point], limit: float, looks: int) -> Point | None:
    """Return what is fastest with so many looks and loses at most so many points, if anything."""
    good = [
        point
        for point in timed(found)
        if (point.first_px is None) == (looks == 1)
        and point.lost <= limit / 100 + HARDLY
        and point != in_full(found)
    ]
    return min(good, key=lambda point: point.ms, default=None)


def gain_words(found: Sequence[Point], point: Point) -> str:
    """Say how fast a point is, and for what."""
    change = f"{points(abs(point.lost))} points {'lost' if point.lost >= 0 else 'gained'}"
    return f"{faster(found, point):.2f}x faster, {change} ({point.words})"


def fastest_table(found: Sequence[Point]) -> str:
    """Show what is fastest of each kind among what loses little."""
    if not timed(found):
        return NOT_RUN
    lines = ["| points lost at most | smaller images | two looks |", "|---:|---|---|"]
    for limit in LOSSES:
        best = [fastest(found, limit, looks) for looks in (1, 2)]
        cells = ["–" if point is None else gain_words(found, point) for point in best]
        lines.append(f"| {points(limit / 100)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def table(
    found: Sequence[Point], detailed: Sequence[Point], shown: Sequence[Point] | None = None
) -> str:
    """Render points as Markdown: those that are `shown`, or all.

    `detailed` are the same points on the domains where the size of images matters.
    """
    if not found:
        return NOT_RUN
    upper = edge(found)
    lines = [
        "| images | ms | faster | compute | second looks | accuracy | points lost "
        "| above one size | where size matters | seeds |",
        f"|---|{'---:|' * 9}",
    ]
    of_detailed = {point.words: point for point in detailed}
    for point in shown or found:
        also = of_detailed.get(point.words)
        cells = [
            f"**{point.words}**" if point in upper else point.words,
            "not run here" if math.isnan(point.ms) else f"{point.ms:.1f}",
            "–" if math.isnan(point.ms) else f"{faster(found, point):.2f}x",
            f"{point.compute:.0%}",
            f"{point.second_share:.0%}" if point.first_px else "–",
            f"{100 * point.accuracy:.1f}",
            f"{points(point.lost)} ± {points(point.lost_error)}",
            _gain(above_static(found, point)),
            _gain(above_static(detailed, also) if also else None),
            str(point.seeds),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _gain(share: float | None) -> str:
    return "–" if share is None else points(share)


def domains_table(found: Sequence[Point]) -> str:
    """Render the accuracies of some points, domain by domain."""
    if not found:
        return NOT_RUN
    names = list(found[0].accuracies)
    lines = [f"| images | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for point in found:
        cells = [f"{100 * point.accuracies[name]:.1f}" for name in names]
        lines.append(f"| {point.words} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def check_table(times: Times | None) -> str:
    """Compare two looks that were timed as such with the sum of what their parts take."""
    if times is None or not times.two_looks:
        return NOT_RUN
    lines = [
        "| domain | first look, px | second looks | measured, of one look in full | the sum |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in times.two_looks:
        of_full = times.sum(row) / times.look[row["px"]]
        lines.append(
            f"| {row['domain']} | {row['first_px']} | {row['second_share']:.0%} "
            f"| {row['ms'] / row['full_ms']:.0%} | {of_full:.0%} |"
        )
    return "\n".join(lines) + "\n"


def shown_by_domain(found: Sequence[Point]) -> list[Point]:
    """Return each size alone, and of two looks what lies on the edge."""
    upper = edge(found)
    return [point for point in found if point.first_px is None or point in upper]


def draw(found: Sequence[Point], axes: Any) -> None:
    """Draw accuracy lost against milliseconds, a line for each size of the first look."""
    lines: dict[tuple[int, int] | None, list[Point]] = {}
    for point in sorted(timed(found), key=lambda point: point.ms):
        sizes = (point.px, point.first_px) if point.first_px else None
        lines.setdefault(sizes, []).append(point)
    for sizes, own in lines.items():
        if sizes is None:
            label, style = "one look", "k-o"
        else:
            label = f"two looks, {sizes[1]} and {sizes[0]} px"
            style = "-s" if sizes[0] == PX else "--^"
        axes.plot(*_places(found, own), style, label=label, markersize=5)
    for point, *place in zip(lines[None], *_places(found, lines[None]), strict=True):
        axes.annotate(f"{point.px} px", place, (4, -12), textcoords="offset points")
    axes.plot(
        *_places(found, edge(found)),
        color="gold",
        linewidth=6,
        alpha=0.5,
        zorder=0,
        label="nothing as fast loses less",
    )


def _places(found: Sequence[Point], some: Sequence[Point]) -> tuple[list[float], list[float]]:
    """Return milliseconds, and the accuracy in full less what is lost, which compares seeds."""
    full = 100 * in_full(found).accuracy
    return [point.ms for point in some], [full - 100 * point.lost for point in some]
