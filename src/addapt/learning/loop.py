"""The training loop: plain PyTorch, deterministic given the seed, resumable at any step.

Nothing random is carried from step to step: the order of an epoch and the augmentation
of a batch are drawn from generators seeded by (seed, purpose, number). A state is therefore
only the tensors and the number of the next step.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from addapt._errors import TrainingError
from addapt.engines.torch.memory import add_gradient
from addapt.engines.torch.methods import AdaptedModel
from addapt.images import Augmentation, ImageSet, normalise
from addapt.learning.adamw import AdamW, ParameterGroup
from addapt.learning.state import EpochRecord, TrainingState

WARM_UP_SHARE = 0.1
EVALUATION_BATCH = 8  # whole maps of all blocks, though for a moment only


class _ValidationStopped(Exception):
    """Ends a validation that nobody waits for any more."""


@dataclass(frozen=True)
class TrainingOptions:
    """What a run does; together with the data and the model it decides every bit of the result.

    `micro_batch` images are in memory at once; gradients of `batch` images make one step.
    """

    epochs: int
    batch: int
    micro_batch: int
    lr: float
    backbone_lr: float
    weight_decay: float
    label_smoothing: float
    patience: int
    seed: int
    augmentation: Augmentation


def train(
    model: AdaptedModel,
    images: ImageSet,
    validation: ImageSet,
    options: TrainingOptions,
    state: TrainingState,
    *,
    before_epoch: Callable[[], None] = lambda: None,
    on_step: Callable[[int, int], None] | None = None,
    on_epoch: Callable[[TrainingState], None] | None = None,
    evaluation_batch: int = EVALUATION_BATCH,
    should_stop: Callable[[], bool] = lambda: False,
    should_save: Callable[[], bool] = lambda: False,
    save: Callable[[TrainingState], None] = lambda state: None,
) -> bool:
    """Train until the epochs are over or validation stops improving; keep the best epoch.

    `state` is updated in place. Whenever a callback sees it, and at the end, it can be resumed;
    after the last step `state.best` holds the domain's tensors of the best validation epoch.

    Args:
        model: its domain parameters are trained.
        images: training images.
        validation: images on which epochs are compared.
        options: everything that decides the result.
        state: `TrainingState()` for a new run, or a loaded one to go on with.
        before_epoch: called before each epoch, also by who goes on there; what it makes of the
            model must follow from that alone.
        on_step: told how many of how many steps are done.
        on_epoch: called when an epoch has been validated, e.g. to save the state.
        evaluation_batch: validation images in memory at once.
        should_stop: asked after every step, and between images of validation, which is then
            made anew by who goes on; True ends the run early.
        should_save: asked after every step; True has `save` called.
        save: given the state between two steps.

    Returns:
        True when the run is complete, False when `should_stop` ended it.

    Raises:
        TrainingError: the loss is not finite. What `save` or `on_epoch` saw last is good.
    """

    def stop_validation() -> None:
        if should_stop():
            raise _ValidationStopped

    optimiser = build_optimiser(model, options)
    state.restore(model, optimiser)
    steps_per_epoch = math.ceil(len(images) / options.batch)
    steps = options.epochs * steps_per_epoch
    model.train()
    step, loss_sum = state.step, state.epoch_loss_sum
    while len(state.history) < options.epochs and not _is_stale(state, options):
        epoch = len(state.history)
        if step == epoch * steps_per_epoch:
            before_epoch()
        order = torch.randperm(len(images), generator=_generator(options.seed, 0, epoch))
        # Nothing is left of them where the run was stopped before or during validation.
        for indices in order.tensor_split(steps_per_epoch)[step - epoch * steps_per_epoch :]:
            started = time.perf_counter()
            loss = _step(model, optimiser, images, indices, options, step, steps)
            _refuse_divergence(loss, "loss", step, steps, options)
            loss_sum += loss
            step += 1
            state.train_s += time.perf_counter() - started
            if on_step is not None:
                on_step(step, steps)
            if should_stop():
                state.capture(model, optimiser, step, loss_sum)
                return False
            if should_save():
                state.capture(model, optimiser, step, loss_sum)
                save(state)
        try:
            accuracy, validation_loss = evaluate(
                model, validation, evaluation_batch, stop_validation
            )
        except _ValidationStopped:
            state.capture(model, optimiser, step, loss_sum)
            return False
        _refuse_divergence(validation_loss, "validation loss", step - 1, steps, options)
        model.train()
        state.end_epoch(
            EpochRecord(
                epoch=epoch + 1,
                train_loss=loss_sum / steps_per_epoch,
                val_loss=validation_loss,
                val_accuracy=accuracy,
                lr=options.lr * lr_factor(step - 1, steps),
                train_s=round(state.train_s, 3),
            ),
            model,
            optimiser,
            step,
            len(validation),
        )
        loss_sum = 0.0
        if on_epoch is not None:
            on_epoch(state)
    if not state.domain:  # released
        state.capture(model, optimiser, step, loss_sum)
    model.eval()
    return True


def lr_factor(step: int, steps: int) -> float:
    """Return the share of the peak learning rate at `step`: linear warm-up, cosine to zero."""
    warm_up = max(1, round(steps * WARM_UP_SHARE))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


@torch.no_grad()
def predict_logits(
    model: AdaptedModel,
    images: ImageSet,
    batch: int = EVALUATION_BATCH,
    before_batch: Callable[[], None] = lambda: None,
) -> Tensor:
    """Compute the logits of all images, (n, classes), in evaluation mode, on the CPU.

    Args:
        model: predicts.
        images: what is predicted.
        batch: images in memory at once.
        before_batch: called before each; it may raise an exception to end this early.
    """
    model.eval()
    logits = []
    for indices in torch.split(torch.arange(len(images)), batch):
        before_batch()
        logits.append(model(to_input(model, images.batch(indices))).float().cpu())
    return torch.cat(logits)


def evaluate(
    model: AdaptedModel,
    images: ImageSet,
    batch: int = EVALUATION_BATCH,
    before_batch: Callable[[], None] = lambda: None,
) -> tuple[float, float]:
    """Return accuracy and mean cross-entropy of `model` on `images`; see `predict_logits`."""
    logits = predict_logits(model, images, batch, before_batch)
    correct = int((logits.argmax(1) == images.labels).sum())
    return correct / len(images), F.cross_entropy(logits, images.labels).item()


def _step(
    model: AdaptedModel,
    optimiser: AdamW,
    images: ImageSet,
    indices: Tensor,
    options: TrainingOptions,
    step: int,
    steps: int,
) -> float:
    """Make one optimiser step from one batch; return the batch's mean loss."""
    # The whole batch's random numbers at once: the parts do not change them.
    draws = options.augmentation.draw(len(indices), _generator(options.seed, 1, step))
    optimiser.zero_grad()
    loss = 0.0
    for part, part_draws in zip(
        torch.split(indices, options.micro_batch),
        torch.split(draws, options.micro_batch),
        strict=True,
    ):
        loss += add_gradient(
            model,
            partial(_varied_input, model, images, part, options.augmentation, part_draws),
            images.labels[part].to(model.head.weight.device),
            images=len(indices),
            label_smoothing=options.label_smoothing,
        ).item()
    if math.isfinite(loss):
        optimiser.step(lr_factor(step, steps))
    return loss


def _varied_input(
    model: AdaptedModel, images: ImageSet, part: Tensor, augmentation: Augmentation, draws: Tensor
) -> Tensor:
    return to_input(model, augmentation.apply(images.batch(part), draws))


def to_input(model: AdaptedModel, x: Tensor) -> Tensor:
    """Make images of values 0..255 what the model's backbone expects."""
    parameter = next(model.backbone.parameters())
    info = model.backbone.info.input
    return normalise(x, info.mean, info.std).to(parameter.device, parameter.dtype)


def _refuse_divergence(
    value: float, what: str, step: int, steps: int, options: TrainingOptions
) -> None:
    if not math.isfinite(value):
        raise TrainingError(
            f"The {what} became {value} at step {step + 1} of {steps}. The last good state is "
            f"kept. Try a smaller --lr than {options.lr:g}, with --restart."
        )


def build_optimiser(model: AdaptedModel, options: TrainingOptions) -> AdamW:
    """Make the optimiser of all that belongs to the domain."""
    pretrained = list(model.adaptor.pretrained_parameters())
    known = {id(parameter) for parameter in pretrained}
    fresh = [p for p in model.domain_parameters() if id(p) not in known]
    groups = [ParameterGroup(fresh, options.lr), ParameterGroup(pretrained, options.backbone_lr)]
    return AdamW(groups, options.weight_decay)


def _is_stale(state: TrainingState, options: TrainingOptions) -> bool:
    """Say whether validation has not improved for `patience` epochs."""
    done = len(state.history)
    return done - state.best_epoch >= options.patience


def _generator(seed: int, purpose: int, number: int) -> torch.Generator:
    """Make a generator that depends on nothing but its arguments."""
    generator = torch.Generator()
    # Large primes keep the products of different triples apart; torch takes 63 bits.
    generator.manual_seed(((seed * 1_000_003 + purpose) * 1_000_003 + number) % 2**63)
    return generator
