"""Watching a camera, a video or a folder: what is seen now, computed only when something changes.

It knows no engine: what recognises an image is given to it.
"""

from addapt.watching.pace import Clock
from addapt.watching.sources import Source, open_source
from addapt.watching.summary import Summary
from addapt.watching.watch import NONE, Answer, Recognise, Sight, Watching, watch_frames

__all__ = [
    "NONE",
    "Answer",
    "Clock",
    "Recognise",
    "Sight",
    "Source",
    "Summary",
    "Watching",
    "open_source",
    "watch_frames",
]
