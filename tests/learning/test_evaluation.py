"""Probabilities and loss are those of PyTorch; batches and their size change nothing."""

import numpy as np
import torch
import torch.nn.functional as F

from addapt.images import load_images, scan_folder
from addapt.learning.evaluation import cross_entropy, evaluate, logits_of, softmax
from addapt.methods import Head
from tests.conftest import MakeFolder
from tests.fake_engine import FakeEngine

RNG = np.random.default_rng(0)
LOGITS = np.concatenate([RNG.normal(0, 3, (20, 5)), [[1e4, -1e4, 0, 1e4, 50]]]).astype(np.float32)
LABELS = np.append(RNG.integers(0, 5, 20), 4)


def test_softmax_and_cross_entropy_are_those_of_torch() -> None:
    logits, labels = torch.from_numpy(LOGITS), torch.from_numpy(LABELS)
    np.testing.assert_allclose(softmax(LOGITS), logits.softmax(1).numpy(), rtol=1e-5, atol=1e-30)
    expected = F.cross_entropy(logits.double(), labels).item()
    np.testing.assert_allclose(cross_entropy(LOGITS, LABELS), expected, rtol=1e-6)


def test_images_are_gone_through_once_in_order(make_folder: MakeFolder) -> None:
    images, _ = load_images(scan_folder(make_folder(images=5)).train, 32, "bilinear")
    model = FakeEngine().new_model(Head(), 3, seed=0)
    weight = RNG.normal(size=(3, 12)).astype(np.float32)
    model.load_state({"head.weight": weight, "head.bias": np.zeros(3, np.float32)})
    whole = model.logits(images.batch(range(15)))
    told: list[None] = []
    parts = logits_of(model, images, 4, lambda: told.append(None))
    np.testing.assert_allclose(parts, whole, rtol=1e-6)
    assert len(told) == 4
    scores, loss = evaluate(model, images, 4)
    right = whole.argmax(1) == images.labels
    assert scores.correct.tolist() == [int(right[images.labels == k].sum()) for k in range(3)]
    np.testing.assert_allclose(loss, cross_entropy(whole, images.labels), rtol=1e-6)
