"""A contender's steps, in this very process, on both engines."""

from dataclasses import replace

import numpy as np
import pytest

from addapt.bench.contender import Contender, Workload
from addapt.bench.worker import BenchedStep, open_benched
from addapt.engines.base import Model
from addapt.engines.torch.bench.worker import load_benched

WORK = Workload("resnet18", "random", batch=4, image_px=32, threads=1, device="cpu")
DEVICE = Contender("da3", "onnx", "device", None, packed=False)
DEFAULT = Contender("da3", "torch", "default", 4, packed=False)


def load(contender: Contender, workload: Workload = WORK) -> BenchedStep:
    return (open_benched if contender is DEVICE else load_benched)(contender, workload)


@pytest.mark.parametrize("contender", [DEVICE, DEFAULT])
def test_parts_of_a_batch_make_the_same_step(contender: Contender) -> None:
    learned = []
    for micro_batch in (1, 4):
        benched = load(contender)
        model = benched.model
        assert isinstance(model, Model)
        before = model.state()
        assert benched.time(micro_batch) > 0
        after = model.state()
        assert not all(np.array_equal(before[name], after[name]) for name in after)
        learned.append(model.optimiser_state())
    assert learned[0].keys() == learned[1].keys()
    for name, one in learned[0].items():
        np.testing.assert_allclose(one, learned[1][name], rtol=1e-3, atol=1e-5)


def test_as_many_images_at_once_as_the_engine_takes_by_itself() -> None:
    assert load(DEFAULT).at_once == 4
    assert load(DEVICE).at_once == 4
    assert load(DEVICE, replace(WORK, image_px=160)).at_once == 2
    assert load(DEVICE, replace(WORK, image_px=164)).at_once == 1
