"""What the result of `watch.py` says."""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "results" / "watch.json"
ANSWERED_S = 0.5  # within which a change is answered in time
NOT_RUN = "Not run here."


def read(path: Path = FILE) -> dict[str, Any]:
    """Return the result; nothing if there is none yet."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def parts(result: dict[str, Any]) -> list[str]:
    """Say what it recognised, how soon it answered, and how memory grew."""
    if not result:
        return [NOT_RUN]
    said = [table(result)]
    if "soak" in result:
        held = [held / 1e6 for held in result["soak"]["process_bytes"]]
        said.append(
            f"The process held {held[0]:.0f} MB after a tenth of {result['soak']['frames']:,} "
            f"frames of the still scene, and {held[-1]:.0f} MB after all."
        )
    return said


def table(result: dict[str, Any]) -> str:
    """Render clips as Markdown."""
    lines = [
        "| images, clip | frames | recognised | answered in time | time |",
        "|---|---:|---:|---:|---:|",
    ]
    for size in sizes(result):
        for name, clip in result[size]["clips"].items():
            changes = result[size]["changes"]
            answered = f"{changes['answered_in_time']} of {changes['changes']}"
            cells = [
                f"{clip['frames']:,}",
                f"{100 * clip['share_recognised']:.1f} %",
                answered if name == "still" else "–",
                f"{100 * clip['ratio']:.0f} %",
            ]
            lines.append(f"| {size}, {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def words(result: dict[str, Any]) -> list[str]:
    """Return what the README says, of all sizes of images together."""
    found = [result[size] for size in sizes(result)]
    still = [each["clips"]["still"] for each in found]
    moving = [
        round(100 * clip["ratio"])
        for each in found
        for name, clip in each["clips"].items()
        if name != "still"
    ]
    answered, changes = (
        sum(each["changes"][name] for each in found) for name in ("answered_in_time", "changes")
    )
    return [
        f"{100 * max(clip['share_recognised'] for clip in still):.1f} % of the frames recognised",
        f"{answered} of {changes} changes answered within {ANSWERED_S} s",
        f"{min(moving)} to {max(moving)} % of the time without the gate",
    ]


def sizes(result: dict[str, Any]) -> list[str]:
    """Return the sizes of images that it was run with, such as "96 px"."""
    return [name for name in result if name.endswith(" px")]
