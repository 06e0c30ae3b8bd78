"""Which gates open for how many images, and for which images most and fewest."""

from pathlib import Path

from addapt._disk import disk_reason
from addapt._errors import OptionError
from addapt.bench.gates import EXTREMES, GatesRow
from addapt.images import Sample, load_images

SHOWN_PX = 128


def draw_gates(row: GatesRow, path: Path) -> None:
    """Draw a bar for each block, and the images that open most and fewest gates, to `path`.

    Raises:
        OptionError: the image cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.5), layout="constrained")
    grid = figure.add_gridspec(2, 2 * EXTREMES, height_ratios=(2, 1))
    axes = figure.add_subplot(grid[0, :])
    for place, shares in enumerate(row.open_shares):
        opened = shares[-1]
        for share, below, grey in ((1 - opened, 0.0, "1"), (opened, 1 - opened, "0.25")):
            axes.bar(place, share, bottom=below, color=grey, edgecolor="0.4", linewidth=0.4)
    looks = len(row.open_shares) == 1
    axes.set_xlabel(
        "one look (white) or two (dark)" if looks else "block: closed (white) or open (dark)"
    )
    axes.set_ylabel("share of the images")
    axes.set_xticks(range(len(row.open_shares)))
    axes.set_title(
        f"{row.domain}: {row.kind} gates of {row.unit}, "
        f"{row.multiply_adds / row.ungated_multiply_adds:.0%} of the multiply-adds",
        parse_math=False,
    )
    for start, words, paths in (
        (0, "fewest gates open", row.fewest_open),
        (EXTREMES, "most gates open", row.most_open),
    ):
        if not paths:
            continue
        images, _ = load_images(
            [Sample(each, 0) for each in paths], SHOWN_PX, "bicubic", refuse_many_unreadable=False
        )
        for place in range(len(images)):
            shown = figure.add_subplot(grid[1, start + place])
            shown.imshow(images.batch([place])[0])
            shown.set_axis_off()
            shown.set_title(words if place == 0 else "", loc="left", fontsize=9)
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise OptionError(f"{path} could not be written because {disk_reason(error)}") from error
