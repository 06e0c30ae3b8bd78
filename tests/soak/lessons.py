"""What is learned during a soak, and how: small images, and the command line in a process."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

IMAGE_PX = 96
IMAGES = 16  # of each class
CLASSES = ("blue", "green", "red")
EPOCHS = 8
BATCH = 8
EPOCH_S = "1700000000"  # the date that files get: any, but always the same


def make_images(folder: Path, images: int = IMAGES, px: int = IMAGE_PX) -> Path:
    """Write class folders of noise, each with a tint."""
    rng = np.random.default_rng(0)
    for k, label in enumerate(CLASSES):
        (folder / label).mkdir(parents=True)
        for i in range(images):
            pixels = rng.integers(0, 200, (px, px, 3))
            pixels[..., k] += 50
            Image.fromarray(pixels.astype(np.uint8)).save(folder / label / f"{i}.png")
    return folder


@dataclass(frozen=True)
class CommandLine:
    """Learns with the `addapt` command, one thread, in a process of its own.

    Args:
        images: the folder of class folders.
        store: where the domains are.
        errors: a file that gets what the processes say on standard error.
        save_every_s: seconds between two states.
    """

    images: Path
    store: Path
    errors: Path
    save_every_s: float

    def words(self, name: str, *, restart: bool = False, seed: int = 0) -> list[str]:
        """Spell out the command."""
        words = ["learn", name, str(self.images), "--store", str(self.store), "--threads", "1"]
        words += ["--image-px", str(IMAGE_PX), "--epochs", str(EPOCHS), "--batch", str(BATCH)]
        words += ["--seed", str(seed), "--save-every", str(self.save_every_s)]
        return [*words, "--restart"] if restart else words

    def start(self, name: str, restart: bool) -> "subprocess.Popen[bytes]":
        """Begin to learn, or go on."""
        return self._start(self.words(name, restart=restart))

    def learn(self, name: str, seed: int = 0) -> float:
        """Learn to the end; return how many seconds it took."""
        started = time.perf_counter()
        self.run(self.words(name, seed=seed))
        return time.perf_counter() - started

    def run(self, words: Sequence[str]) -> None:
        """Run a command that must not fail.

        Raises:
            RuntimeError: it did.
        """
        code = self._start(words).wait()
        if code != 0:
            raise RuntimeError(f"addapt {' '.join(words)} ended with {code}; see {self.errors}")

    def is_whole(self) -> bool:
        """Ask `addapt check` about the store."""
        return self._start(["check", "--load", "--store", str(self.store)]).wait() == 0

    def _start(self, words: Sequence[str]) -> "subprocess.Popen[bytes]":
        with self.errors.open("ab") as errors:
            return subprocess.Popen(
                [sys.executable, "-c", "from addapt.cli.main import main; main()", *words],
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={**os.environ, "OMP_NUM_THREADS": "1", "SOURCE_DATE_EPOCH": EPOCH_S},
            )
