"""Learning on a CUDA device gives a domain that the processor can use."""

from pathlib import Path

import numpy as np
import pytest

from addapt import Learner, load_backbone
from tests.conftest import MakeFolder


@pytest.mark.gpu
def test_domain_learned_on_a_gpu_works_without_it(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder, store = make_folder(), tmp_path / "store"
    gpu = Learner(load_backbone("efficientnet_lite0", device="cuda"), store)
    gpu.learn("colours", folder, epochs=20, image_px=64)
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    expected = gpu.load("colours")[1].logits(images)
    cpu = Learner("efficientnet_lite0", store)
    found = cpu.load("colours")[1].logits(images)
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-2)
    assert cpu.evaluate("colours", folder).accuracy >= 0.9
