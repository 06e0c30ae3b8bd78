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
        below = 0.0
        for width, share in enumerate(shares):
            # From closed, white, to whole, dark.
            grey = 1 - 0.75 * (width + 1 if len(shares) == 1 else width) / max(1, len(shares) - 1)
            axes.bar(place, share, bottom=below, color=str(grey), edgecolor="0.4", linewidth=0.4)
            below += share
    looks = len(row.open_shares) == 1
    axes.set_xlabel("one look (light) or two (dark)" if looks else "block: closed (white) to whole")
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
            shown.imshow(images.batch([place])[0].permute(1, 2, 0).numpy())
            shown.set_axis_off()
            shown.set_title(words if place == 0 else "", loc="left", fontsize=9)
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise OptionError(f"{path} could not be written because {disk_reason(error)}") from error
