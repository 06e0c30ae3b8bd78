"""What is noted of each image is little, for there may be 50,000 of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from addapt.learning.budget import IMAGE_BYTES
from addapt.memory import rss_bytes

IMAGES = 20_000

# Nothing is decoded, and nothing learned: what stays are the files' names, classes, sizes ...
PREPARE = """
import sys
from pathlib import Path
import numpy as np
from addapt.images import image_set
from addapt.images.decode_many import Origin
from addapt.learning import Controls
from addapt.learning.lesson import find_images, prepare_lesson
from addapt.memory import measure_process_peak
from tests.fake_engine import FakeEngine

pixels = np.zeros((32, 32, 3), np.uint8)
image_set.decode_in_order = lambda paths, *_: (
    (pixels, Origin(10**6 + i, 10**18 + i, i)) for i, _ in enumerate(paths)
)
engine, kept = FakeEngine(), []

def prepare(folder):
    found = find_images(Path(folder), engine, image_px=32, val_fraction=0.1, gates=None)
    kept.append((found, prepare_lesson(found, engine, 0, Controls(cache_bytes=0))))

prepare(sys.argv[1])
print(measure_process_peak(lambda: prepare(sys.argv[2])).peak_bytes)
assert len(kept[1][1].train) == 18_000
"""


@pytest.mark.skipif(rss_bytes() is None, reason="memory is not known here")
def test_many_images_take_little_memory(tmp_path: Path) -> None:
    for name, images in (("few", 50), ("many", IMAGES)):
        for label in ("a class of images", "another one"):
            folder = tmp_path / name / label
            folder.mkdir(parents=True)
            for i in range(images // 2):
                os.close(os.open(folder / f"IMG_2024_{i:06}.jpg", os.O_CREAT))
    words = [sys.executable, "-c", PREPARE, str(tmp_path / "few"), str(tmp_path / "many")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # A little while they are prepared is more than stays, and something is there for few as well;
    # they are compared with one another piece by piece.
    assert int(done.stdout) < 1.5 * IMAGES * IMAGE_BYTES + 2_000_000
