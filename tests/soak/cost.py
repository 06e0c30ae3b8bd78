"""What share of the time of learning goes into saving its state, at the default interval."""

import time
from pathlib import Path
from typing import Any
from unittest import mock

from addapt.learning import Controls, Learner, LearningStopped, Progress
from addapt.learning.checkpoint import save_run
from addapt.learning.controls import SAVE_EVERY_S
from tests.soak.lessons import IMAGE_PX


def saving_cost(
    images: Path, store: Path, seconds: float, backbone: Any = "efficientnet_lite0"
) -> dict[str, float]:
    """Learn for so many seconds, in this process, and time every state that is written."""
    taken_s: list[float] = []
    begun_s = 0.0

    def timed_save(*words: Any) -> None:
        started = time.perf_counter()
        save_run(*words)
        taken_s.append(time.perf_counter() - started)

    def watch(progress: Progress) -> None:
        nonlocal begun_s
        if progress.phase == "learning" and not begun_s:
            begun_s = time.perf_counter()  # after the first step, as the first save before it

    with mock.patch("addapt.learning.saving.save_run", timed_save):
        try:
            Learner(backbone, store).learn(
                "cost",
                images,
                image_px=IMAGE_PX,
                epochs=100_000,
                controls=Controls(watch, lambda: time.perf_counter() - begun_s >= seconds),
            )
        except LearningStopped:
            pass
    learned_s = time.perf_counter() - begun_s
    return {
        "share": round(sum(taken_s) / learned_s, 5),
        "saves": len(taken_s),
        "longest_save_s": round(max(taken_s), 4),
        "learned_s": round(learned_s, 1),
        "interval_s": SAVE_EVERY_S,
    }
