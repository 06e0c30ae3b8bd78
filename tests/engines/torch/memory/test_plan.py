"""The planner: what it counts on the device `meta` is what a real step takes."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from addapt import DA3
from addapt._errors import OptionError, UnknownNameError
from addapt.engines.torch.backbones import Backbone, load_backbone
from addapt.engines.torch.memory import (
    KeptTensors,
    LiveTensors,
    add_gradient,
    plan,
    too_small_budget,
)
from addapt.engines.torch.memory.simulate import Simulation
from addapt.engines.torch.memory.workspace import Convolutions
from addapt.engines.torch.methods import AdaptedModel, Head, Method, build_method

PX, CLASSES, BATCH = 48, 3, 4
BACKBONE = "resnet18"


@dataclass(frozen=True)
class Real:
    """Numbers of a real step."""

    live_bytes: int
    kept_bytes: int
    weight_bytes: int


def make_model(method: Method) -> AdaptedModel:
    backbone = load_backbone(BACKBONE, "random", plain=method.plain)
    return method.attach(backbone, CLASSES).train()


def run_real_step(method: Method, micro_batch: int) -> Real:
    model = make_model(method)
    x = torch.randn(BATCH, 3, PX, PX)
    labels = torch.zeros(BATCH, dtype=torch.long)

    def step() -> None:
        for part, part_labels in zip(
            torch.split(x, micro_batch), torch.split(labels, micro_batch), strict=True
        ):
            # Copied when its turn comes, as the training loop normalises each part.
            copied = partial(part.to, memory_format=torch.channels_last, copy=True)
            add_gradient(model, copied, part_labels, images=BATCH)

    with LiveTensors() as live:
        step()
    with KeptTensors(model) as kept:
        model(x[:micro_batch].contiguous(memory_format=torch.channels_last))
    weights = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in (*model.parameters(), *model.buffers())
    }
    return Real(live.peak_bytes, kept.peak_bytes, sum(weights.values()))


@pytest.mark.parametrize(
    ("name", "micro_batch"), [("da3", 1), ("da3", BATCH), ("head", 2), ("finetune", BATCH)]
)
def test_simulation_equals_a_real_step(name: str, micro_batch: int) -> None:
    method = build_method(name)
    real = run_real_step(method, micro_batch)
    simulation = Simulation(BACKBONE, method, CLASSES)
    step = simulation.step(BATCH, micro_batch, PX)
    assert step.live_bytes == pytest.approx(real.live_bytes, rel=0.02)
    assert step.kept_bytes == pytest.approx(real.kept_bytes, rel=0.02)
    assert simulation.weight_bytes == pytest.approx(real.weight_bytes, rel=0.001)


def test_optimiser_state_is_twice_the_domain() -> None:
    simulation = Simulation(BACKBONE, Head(), CLASSES)
    assert simulation.step(2, 1, PX).state_bytes == 2 * 4 * (512 * CLASSES + CLASSES)
    assert not simulation.adapts_features
    assert Simulation(BACKBONE, DA3(), CLASSES).adapts_features


def test_kernels_that_the_first_image_needed_are_not_new() -> None:
    simulation = Simulation(BACKBONE, Head(), CLASSES)
    assert simulation.step(2, 1, PX).forward_kernels == 0
    step = simulation.step(2, 2, PX)
    assert step.forward_kernels > 10
    assert step.backward_kernels == 0


def count(x: Tensor, weight: Tensor, groups: int = 1, stride: int = 1) -> Convolutions:
    """Watch one convolution and its backward."""
    live = LiveTensors()
    convolutions = Convolutions(live)
    with convolutions, live:
        y = F.conv2d(x, weight, None, stride, weight.shape[2] // 2, 1, groups)
        y.sum().backward()  # type: ignore[no-untyped-call]
    return convolutions


def on_meta(*shape: int, trained: bool = True) -> Tensor:
    return torch.empty(shape, device="meta", requires_grad=trained)


def test_a_dense_kernel_is_copied_in_blocks() -> None:
    x, weight = on_meta(2, 64, 8, 8), on_meta(64, 64, 3, 3)
    seen = count(x, weight)
    # Forward, gradient of the input, gradient of the weight: each as much arithmetic.
    assert seen.multiply_adds == 3 * x.numel() * 64 * 9
    assert len(seen.kernels) == 3
    # In backward: the map's gradient (from the sum, one number expanded), both results, one copy.
    assert seen.peak_bytes >= x.nbytes + 2 * weight.nbytes


def test_narrow_groups_are_padded_to_blocks() -> None:
    wide = count(on_meta(2, 64, 8, 8), on_meta(64, 1, 5, 5), groups=64)
    assert wide.peak_bytes > 64 * 16 * 16 * 25 * 4
    small = count(on_meta(2, 64, 8, 8), on_meta(64, 1, 3, 3), groups=64)
    assert small.peak_bytes < 64 * 16 * 16 * 9 * 4


def test_one_small_image_is_left_to_pytorch() -> None:
    alone = count(on_meta(1, 64, 8, 8, trained=False), on_meta(64, 64, 3, 3))
    assert {kernel[0] for kernel in alone.kernels} == {"weight"}
    two = count(on_meta(2, 64, 8, 8, trained=False), on_meta(64, 64, 3, 3))
    assert {kernel[0] for kernel in two.kernels} == {"forward", "weight"}


def test_rows() -> None:
    made = plan(BACKBONE, "da3", 3, PX, CLASSES)
    assert [row.micro_batch for row in made.rows] == [1, 2, 3]
    assert all(row.fits and row.method == "da3" and row.step_s > 0 for row in made.rows)
    for less, more in zip(made.rows, made.rows[1:], strict=False):
        assert less.kept_bytes < more.kept_bytes
    assert plan(BACKBONE, "da3", 3, 2 * PX).rows[2].predicted_peak_bytes > (
        made.rows[2].predicted_peak_bytes
    )
    for row in made.rows:
        assert row.predicted_process_bytes > row.predicted_peak_bytes + 100e6
    assert made.smallest_budget_bytes == made.rows[0].predicted_process_bytes


def test_batch_statistics_take_the_whole_batch() -> None:
    assert [row.micro_batch for row in plan(BACKBONE, "finetune", 4, PX).rows] == [4]


def test_budget_decides_what_fits() -> None:
    free = plan(BACKBONE, "head", 4, PX, CLASSES)
    limit = free.rows[1].predicted_process_bytes
    kept_to = plan(BACKBONE, Head(), 4, PX, CLASSES, limit)
    assert [row.fits for row in kept_to.rows] == [True, True, False]


def test_too_small_a_budget_names_one_that_would_do() -> None:
    assert "the smallest that would do is 288 MB" in str(too_small_budget(287_400_001))


def test_it_leaves_randomness_and_defaults_alone() -> None:
    before = torch.random.get_rng_state()
    plan(BACKBONE, "da3", 1, PX)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.empty(0).device.type == "cpu"


@dataclass(frozen=True)
class Unbatched(Head):
    """A method that needs more than one image."""

    name: ClassVar[str] = "unbatched"
    batch_statistics: ClassVar[bool] = True

    def attach(self, backbone: Backbone, classes: int) -> AdaptedModel:
        raise AssertionError("refused before anything is built")


@pytest.mark.parametrize(
    ("method", "batch", "image_px", "budget_bytes", "message"),
    [
        ("da3", 0, PX, None, "The batch is 0"),
        (Unbatched(), 1, PX, None, "takes at least 2"),
        ("da3", 1, 31, None, "31 px"),
        ("da3", 1, PX, 0, "0 bytes"),
        ("da3", 1, PX, -5, "-5 bytes"),
    ],
)
def test_mistakes(
    method: str | Method, batch: int, image_px: int, budget_bytes: int | None, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        plan(BACKBONE, method, batch, image_px, budget_bytes=budget_bytes)


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="resnet18"):
        plan("resnet19", "da3", 1, PX)
    with pytest.raises(UnknownNameError, match="da3"):
        plan(BACKBONE, "da4", 1, PX)
