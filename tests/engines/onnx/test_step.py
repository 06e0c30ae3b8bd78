"""What a step computes is what PyTorch computes: logits, loss, and the gradient of every array."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from addapt.backbones import BACKBONES
from addapt.methods import DA3, Bias, Head, Method
from tests.engines.onnx.pair import Pair, relative, some_images, some_labels, worst

LOGITS, GRADIENTS = 1e-4, 1e-5  # of the largest element
# Where an activation is within rounding of a kink, an engine passes its gradient or not, and it is
# not always PyTorch in float32 that does as float64 would. So either will do; where both are
# elsewhere, as with one image in ten and with more in large maps, other images are taken.
TRIES = 8

# Maps on which no grid fits, one-image batches, a last block alone, and all blocks.
QUICK = [
    ("efficientnet_lite0", DA3(), 100, 2),
    ("efficientnet_lite0", Bias(), 45, 2),
    ("mobilenet_v2", DA3(), 33, 3),
    ("mobilenet_v2", Bias(), 97, 1),
    ("mobilenet_v2", Head(), 40, 3),
    ("resnet18", DA3(), 112, 1),
    ("resnet18", Bias(), 45, 2),
    ("resnet26", DA3(), 97, 1),
    ("resnet26", Bias(), 33, 2),
]
SIZES = {33: 3, 96: 2, 100: 1, 112: 1, 144: 1, 224: 1}  # and the number of images
EVERY = [
    (name, method, px, n)
    for name in sorted(BACKBONES)
    for method in (DA3(), Bias(), Head())
    for px, n in SIZES.items()
]
HYPERPARAMETERS = [
    ("mobilenet_v2", DA3(first_block=16), 100),
    ("mobilenet_v2", DA3(first_block=14, inner=False), 45),
    ("mobilenet_v2", DA3(first_block=14, shortcut=False), 45),
    ("mobilenet_v2", DA3(first_block=14, spatial=False), 45),
    ("mobilenet_v2", DA3(first_block=14, channel=False), 45),
    ("mobilenet_v2", DA3(first_block=14, spatial=False, channel=False), 45),
    ("mobilenet_v2", DA3(first_block=14, channel=False, shortcut=False), 45),
    # The means alone, of maps of several elements and of one.
    ("mobilenet_v2", DA3(first_block=14, spatial=False, shortcut=False), 129),
    ("mobilenet_v2", DA3(first_block=14, spatial=False, shortcut=False), 32),
    ("mobilenet_v2", DA3(first_block=14, biases=False), 45),
    ("mobilenet_v2", DA3(first_block=14, inner=False, shortcut=False, biases=False), 33),
    ("mobilenet_v2", DA3(first_block=14, grid=1), 129),
    ("mobilenet_v2", DA3(first_block=14, kernel=1, groups=1, width=7, reduction=2), 72),
    ("mobilenet_v2", DA3(first_block=14, kernel=9, groups=6, width=10, reduction=9), 72),
    # A map of 9 in squares of 4 is 3 squares, and so it is in squares of 3.
    ("mobilenet_v2", DA3(first_block=12, grid=3), 144),
    ("resnet18", DA3(first_block=7), 97),
    ("resnet18", DA3(first_block=0, grid=5, biases=False), 49),
    ("resnet26", DA3(first_block=5, grid=3, inner=False), 104),
]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


def assert_same_step(pair: Pair, px: int, n: int) -> None:
    """Compare the engines on a few images."""
    labels, differences = some_labels(n), []
    for seed, exact in itertools.product(range(TRIES), (False, True)):
        images = some_images(n, px, seed)
        expected, found = pair.torch_step(images, labels, exact), pair.onnx_step(images, labels)
        assert relative(found.logits, expected.logits) <= LOGITS
        assert found.loss == pytest.approx(expected.loss, rel=1e-5)
        differences.append(worst(found.gradients, expected.gradients))
        if differences[-1] <= GRADIENTS:
            break
    assert min(differences) <= GRADIENTS, differences
    assert relative(pair.onnx_logits(images), pair.torch_logits(images)) <= LOGITS


@pytest.mark.parametrize(("name", "method", "px", "n"), QUICK)
def test_a_step_equals_pytorchs(name: str, method: Method, px: int, n: int, graphs: Path) -> None:
    pair = Pair(name, method, graphs)
    assert_same_step(pair, px, n)
    assert list(pair.onnx_first) == list(pair.torch_first)  # the order of drawing, too
    for key, values in pair.torch_first.items():
        assert np.array_equal(pair.onnx_first[key], values), key


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method", "px", "n"), EVERY)
def test_every_step_equals_pytorchs(
    name: str, method: Method, px: int, n: int, graphs: Path
) -> None:
    test_a_step_equals_pytorchs(name, method, px, n, graphs)


@pytest.mark.parametrize(("name", "method", "px"), HYPERPARAMETERS)
def test_hyperparameters(name: str, method: DA3, px: int, graphs: Path) -> None:
    test_a_step_equals_pytorchs(name, method, px, 2, graphs)


def test_a_batch_is_the_sum_of_its_parts(graphs: Path) -> None:
    pair = Pair("mobilenet_v2", DA3(first_block=12), graphs)
    images, labels = some_images(6, 64), some_labels(6)
    whole = pair.onnx_step(images, labels)
    parts = [pair.onnx_step(images[part], labels[part]) for part in (slice(0, 1), slice(1, 6))]
    assert sum(part.loss for part in parts) == pytest.approx(whole.loss, rel=1e-5)
    summed = {name: np.add(*(part.gradients[name] for part in parts)) for name in whole.gradients}
    assert worst(summed, whole.gradients) <= GRADIENTS


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("mobilenet_v2", DA3(first_block=14)),
        ("resnet18", DA3(first_block=6)),
        ("resnet18", Bias()),
    ],
)
def test_what_is_no_number_shows_in_the_loss(name: str, method: Method, graphs: Path) -> None:
    """Learning ends with a sentence, then; nothing on the way may take it for zero."""
    pair = Pair(name, method, graphs)
    images, labels = some_images(1, 64), some_labels(1)
    assert np.isfinite(pair.onnx_step(images, labels).loss)
    for values in pair.state.values():
        element = values.reshape(-1)[:1]
        before = element.copy()
        element[:] = np.nan
        assert np.isnan(pair.onnx_step(images, labels).loss)
        assert np.isnan(pair.onnx_logits(images)).any()
        element[:] = before
