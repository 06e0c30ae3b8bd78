"""What `addapt watch` computes of still and moving scenes, and how soon it answers a change.

    python benchmarks/watch.py [--clip FILE ...] [--threads 2] [--soak 100000] [--quick]

Learns silhouettes, ten images a class, at 96 and 224 px. The still clip is made of photographs of
the test set, shown one after another for ten seconds each, on a table whose light drifts, with a
camera's noise, and encoded as video; the moving one passes over them. Real clips may be given by
`--clip`. Each is watched with the gate and without it, in turns. A change is answered when
the right class is told; the time includes recognising. At last the still clip is watched again and
again, and the memory of the process looked at. Writes `results/watch.json`.
"""

import argparse
import json
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from unittest import mock

import av
import numpy as np
from domains import domain_folders
from PIL import Image
from watch_table import ANSWERED_S, FILE

from addapt.bench.surroundings import versions
from addapt.images import Given
from addapt.learning import Learner
from addapt.memory import rss_bytes
from addapt.watching import Sight, Watching, watch, watch_frames
from addapt.watching.frames import Frame
from addapt.watching.pace import Clock
from addapt.watching.video import video_frames

DOMAIN = "silhouettes"
RATE = 25
SHOWN_S = 10
SIZE = (320, 240)
NOISE = 4.0  # levels of 255
DRIFT, DRIFT_S = 0.15, 20.0  # the light goes up and down by so much, in such a time
STEP_PX = 4  # a frame, of the scene that moves
SURE = 0.8  # a photograph is shown if it is recognised like that
EVERY = Watching(every_frame=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clip", type=Path, action="append", default=[], help="a moving one")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--soak", type=int, default=100_000, help="frames; 0: none")
    parser.add_argument("--quick", action="store_true", help="to see whether it works")
    options = parser.parse_args()
    scenes, rounds, sizes = (3, 1, (96,)) if options.quick else (12, 2, (96, 224))
    result: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for px in sizes:
            learner = learn(
                folder / str(px), px, options.threads, "head" if options.quick else "da3"
            )
            shown = choose(learner, scenes)
            clips = {
                "still": encode(folder / "still.mp4", still_scene([path for path, _ in shown])),
                "moving": encode(folder / "moving.mp4", moving_scene([path for path, _ in shown])),
                **{clip.name: clip for clip in options.clip},
            }
            result[f"{px} px"] = {
                "changes": changes(learner, clips["still"], [label for _, label in shown]),
                "clips": {clip: compare(learner, path, rounds) for clip, path in clips.items()},
            }
            print(json.dumps(result[f"{px} px"], indent=2))
        if options.soak:
            result["soak"] = soak(learner, clips["still"], options.soak)
    # PyTorch comes with it, and is not to be in the memory that was looked at.
    from result_rows import surroundings

    result |= {"rate": RATE, "size": SIZE, "noise": NOISE, "drift": DRIFT}
    command = shlex.join(("python", "benchmarks/watch.py", *sys.argv[1:]))
    result |= surroundings(command, threads=options.threads)
    result["versions"] = versions() | {"av": av.__version__}
    print(json.dumps(result, indent=2))
    if not options.quick:
        FILE.write_text(json.dumps(result, indent=2) + "\n")


def learn(store: Path, px: int, threads: int, method: str) -> Learner:
    folders = domain_folders(DOMAIN)
    assert folders.few is not None
    learner = Learner(store=store)
    learner.engine.threads = threads
    learner.learn(DOMAIN, folders.few, image_px=px, method=method)
    return learner


def choose(learner: Learner, count: int) -> list[tuple[Path, str]]:
    """Return photographs that are recognised as they are shown, neighbours of other classes.

    Shown in all light, and with noise: else a change that is not answered says nothing of the gate.
    """
    test, generator = domain_folders(DOMAIN).test, np.random.default_rng(1)
    chosen: list[tuple[Path, str]] = []
    by_class = [sorted(folder.iterdir()) for folder in sorted(test.iterdir())]
    for path in (paths[i] for i in range(min(map(len, by_class))) for paths in by_class):
        label = path.parent.name
        if chosen and chosen[-1][1] == label:
            continue
        frames = [noisy(light * picture(path), generator) for light in (1 - DRIFT, 1.0, 1 + DRIFT)]
        found = learner.predict(frames, DOMAIN)
        if all(one.label == label and one.probability >= SURE for one in found):
            chosen.append((path, label))
        if len(chosen) == count:
            break
    if len(chosen) < count:
        raise SystemExit(f"Only {len(chosen)} photographs are recognised: too few to show.")
    return chosen


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        shown = image.convert("RGB").resize(SIZE, Image.Resampling.BICUBIC)
    return 0.85 * np.asarray(shown, np.float32)  # so that more light is not cut off


def still_scene(paths: Sequence[Path]) -> Iterator[np.ndarray]:
    pictures = [picture(path) for path in paths]
    for number in range(len(paths) * SHOWN_S * RATE):
        light = 1 + DRIFT * np.sin(2 * np.pi * number / RATE / DRIFT_S)
        yield light * pictures[number // (SHOWN_S * RATE)]


def moving_scene(paths: Sequence[Path]) -> Iterator[np.ndarray]:
    wide = np.concatenate([picture(path) for path in paths], axis=1)
    for left in range(0, wide.shape[1] - SIZE[0], STEP_PX):
        yield wide[:, left : left + SIZE[0]]


def noisy(scene: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return (scene + generator.normal(0, NOISE, scene.shape)).clip(0, 255).astype(np.uint8)


def encode(path: Path, scenes: Iterator[np.ndarray]) -> Path:
    generator = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "23"})
        stream.width, stream.height = SIZE
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, RATE)
        for scene in scenes:
            pixels = noisy(scene, generator)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def changes(learner: Learner, clip: Path, labels: Sequence[str]) -> dict[str, object]:
    """Return how soon each change of the still clip was answered."""
    waited: list[float | None] = [None] * len(labels)
    for answer in learner.watch(clip, DOMAIN, watching=EVERY):
        scene = min(int(answer.time_s / SHOWN_S + 1e-6), len(labels) - 1)
        if waited[scene] is None and answer.label == labels[scene]:
            waited[scene] = round(answer.time_s - scene * SHOWN_S + answer.recognise_s, 3)
    answered = [seconds for seconds in waited[1:] if seconds is not None]
    return {
        "changes": len(labels) - 1,
        "answered_in_time": sum(seconds <= ANSWERED_S for seconds in answered),
        "seconds": waited[1:],
    }


class NoGate:
    """Stands in for `FrameGate`."""

    def __init__(self, at_least_every_s: float) -> None:
        pass

    def opens(self, small: object, at_s: float) -> bool:
        """Let every frame through."""
        return True

    def recognised(self, at_s: float) -> None:
        """Keep nothing."""


def compare(learner: Learner, clip: Path, rounds: int) -> dict[str, object]:
    """Watch a clip, and the same without the gate, which recognises each frame, in turns."""
    watched_s, every_s = list[float](), list[float]()
    frames = recognised = 0
    for _ in range(rounds):
        started = time.perf_counter()
        answers = [a.recognised for a in learner.watch(clip, DOMAIN, watching=EVERY)]
        watched_s.append(time.perf_counter() - started)
        frames, recognised = len(answers), sum(answers)
        started = time.perf_counter()
        with mock.patch.object(watch, "FrameGate", NoGate):
            for _ in learner.watch(clip, DOMAIN, watching=EVERY):
                pass
        every_s.append(time.perf_counter() - started)
    return {
        "frames": frames,
        "recognised": recognised,
        "share_recognised": round(recognised / frames, 4),
        "watched_s": [round(seconds, 3) for seconds in watched_s],
        "every_frame_s": [round(seconds, 3) for seconds in every_s],
        "ratio": round(statistics.median(watched_s) / statistics.median(every_s), 4),
    }


def soak(learner: Learner, clip: Path, count: int) -> dict[str, object]:
    """Watch a clip again and again, and look at the memory after each tenth."""
    info, model = learner.load(DOMAIN)
    held: list[int | None] = []

    def again() -> Iterator[Frame]:
        number, begun_s = 0, 0.0
        while True:
            for frame in video_frames(clip):
                if number == count:
                    return
                yield replace(frame, number=number, at_s=begun_s + frame.at_s)
                number += 1
            begun_s += frame.at_s + 1 / RATE

    def recognise(image: Given, _: int) -> np.ndarray:
        (found,) = learner.predict(image, DOMAIN, top=len(info.classes))
        by_label = dict(found.top)
        return np.array([by_label[label] for label in info.classes], np.float32)

    recognised = 0
    sights = [Sight(DOMAIN, label) for label in info.classes]
    for answer in watch_frames(again(), sights, recognise, Watching(), Clock(), print):
        recognised += answer.recognised
        if (answer.frame + 1) % (count // 10) == 0:
            held.append(rss_bytes())
    return {"frames": count, "recognised": recognised, "process_bytes": held}


if __name__ == "__main__":
    main()
