"""Learning on a CUDA device gives a domain that the processor can use."""

from pathlib import Path

import pytest
import torch

from addapt import Learner, load_backbone
from tests.conftest import MakeFolder


@pytest.mark.gpu
def test_domain_learned_on_a_gpu_works_without_it(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder, store = make_folder(), tmp_path / "store"
    gpu = Learner(load_backbone("efficientnet_lite0", device="cuda"), store)
    gpu.learn("colours", folder, epochs=20, image_px=64)
    x = torch.randn(4, 3, 64, 64)
    expected = gpu.load("colours")[1](x.cuda()).cpu()
    cpu = Learner("efficientnet_lite0", store)
    torch.testing.assert_close(cpu.load("colours")[1](x), expected, rtol=1e-2, atol=1e-2)
    assert cpu.evaluate("colours", folder).accuracy >= 0.9
