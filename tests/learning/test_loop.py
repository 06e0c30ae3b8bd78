"""The loop: the same seed gives the same bits, in one go or in pieces; NaN ends it."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from addapt._errors import TrainingError
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.methods import DA3, AdaptedModel, attach
from addapt.images import Augmentation, ImageSet, load_images, scan_folder
from addapt.learning import loop
from addapt.learning.loop import TrainingOptions, evaluate, lr_factor, train
from addapt.learning.state import TrainingState
from tests.conftest import MakeFolder
from tests.learning.few_steps import OPTIONS


@pytest.fixture
def images(make_folder: MakeFolder) -> ImageSet:
    return load_images(scan_folder(make_folder(images=6)).train, 32, "bilinear")[0]


def new_model(backbone: Backbone) -> AdaptedModel:
    torch.manual_seed(0)
    return attach(backbone, DA3(), classes=3)


def learned(
    backbone: Backbone, images: ImageSet, options: TrainingOptions = OPTIONS
) -> TrainingState:
    state = TrainingState()
    assert train(new_model(backbone), images, images, options, state)
    return state


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def test_same_seed_same_bits(tiny_backbone: Backbone, images: ImageSet) -> None:
    first = learned(tiny_backbone, images)
    torch.manual_seed(99)  # the global generator must not matter
    second = learned(tiny_backbone, images)
    assert_same(first.best, second.best)
    assert [r.train_loss for r in first.history] == [r.train_loss for r in second.history]
    third = learned(tiny_backbone, images, replace(OPTIONS, seed=1))
    assert any(not torch.equal(first.best[name], third.best[name]) for name in first.best)


def test_learns(tiny_backbone: Backbone, images: ImageSet) -> None:
    state = learned(tiny_backbone, images, replace(OPTIONS, epochs=30, patience=30))
    model = new_model(tiny_backbone)
    before, _ = evaluate(model, images)
    model.load_domain_state(state.best)
    after, _ = evaluate(model, images)
    assert after == state.best_accuracy > before
    assert after >= 0.9


@pytest.mark.parametrize("stop_after", [1, 4, 6])
def test_resumed_run_ends_with_the_same_bits(
    tiny_backbone: Backbone, images: ImageSet, stop_after: int
) -> None:
    whole = learned(tiny_backbone, images)
    state = TrainingState()
    steps = 0

    def count(done: int, total: int) -> None:
        nonlocal steps
        steps = done

    finished = train(
        new_model(tiny_backbone),
        images,
        images,
        OPTIONS,
        state,
        on_step=count,
        should_stop=lambda: steps >= stop_after,
    )
    assert not finished
    assert (steps, state.step) == (stop_after, stop_after)
    state = copy.deepcopy(state)
    torch.manual_seed(5)
    other = attach(tiny_backbone, DA3(), classes=3)  # what it starts with must not matter
    assert train(other, images, images, OPTIONS, state)
    assert_same(state.best, whole.best)
    assert_same(state.domain, whole.domain)
    assert [r.train_loss for r in state.history] == [r.train_loss for r in whole.history]
    assert [r.val_loss for r in state.history] == [r.val_loss for r in whole.history]


def test_micro_batches_change_only_rounding(tiny_backbone: Backbone, images: ImageSet) -> None:
    options = replace(OPTIONS, augmentation=Augmentation(flip=True))
    backbone = tiny_backbone.double()
    whole = learned(backbone, images, options)
    parts = learned(backbone, images, replace(options, micro_batch=2))
    for name in whole.domain:
        torch.testing.assert_close(whole.domain[name], parts.domain[name], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("spoilt_step", "message"),
    [(6, "The loss became nan at step 7 of 12"), (8, "validation loss became nan at step 8 of 12")],
)
def test_loss_that_is_not_a_number(
    tiny_backbone: Backbone, images: ImageSet, spoilt_step: int, message: str
) -> None:
    kept: list[dict[str, Tensor]] = []
    model = new_model(tiny_backbone)
    state = TrainingState()

    def spoil(done: int, total: int) -> None:
        if done == spoilt_step:
            with torch.no_grad():
                model.head.weight.fill_(float("nan"))

    with pytest.raises(TrainingError, match=rf"{message}.*smaller --lr than 0.01"):
        train(
            model,
            images,
            images,
            OPTIONS,
            state,
            on_step=spoil,
            on_epoch=lambda s: kept.append(dict(s.domain)),
        )
    assert state.step == 4
    assert_same(state.domain, kept[0])
    assert_same(state.best, kept[0])
    assert all(bool(torch.isfinite(t).all()) for t in state.best.values())


def test_stops_when_validation_became_worse(
    tiny_backbone: Backbone, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = iter([0.2, 0.9, 0.1, 0.1, 0.1])
    monkeypatch.setattr(loop, "evaluate", lambda *_: (next(accuracies), 1.0))
    saved: list[dict[str, Tensor]] = []
    state = TrainingState()
    train(
        new_model(tiny_backbone),
        images,
        images,
        replace(OPTIONS, epochs=20, patience=2),
        state,
        on_epoch=lambda s: saved.append(dict(s.domain)),
    )
    assert (state.best_epoch, state.best_accuracy, len(state.history)) == (2, 0.9, 4)
    assert_same(state.best, saved[1])


def test_learning_rate_warms_up_and_ends_at_zero() -> None:
    factors = [lr_factor(step, 100) for step in range(100)]
    assert max(factors) == 1
    assert factors[0] == pytest.approx(0.1)
    assert factors == sorted(factors[:10]) + sorted(factors[10:], reverse=True)
    assert factors[-1] < 0.001
    assert lr_factor(0, 1) > 0
