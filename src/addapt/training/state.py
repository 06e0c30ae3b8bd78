"""What a run needs to go on: tensors, the number of the next step, the best epoch so far."""

from dataclasses import dataclass, field

from torch import Tensor

from addapt.methods import AdaptedModel
from addapt.training.adamw import AdamW


@dataclass(frozen=True)
class EpochRecord:
    """One finished epoch, one line of the history."""

    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    lr: float
    train_s: float


@dataclass
class TrainingState:
    """A run between two steps.

    `domain` and `optimiser` are those of step `step`; `best` is the domain's
    state after the epoch with the lowest validation loss.
    """

    step: int = 0
    epoch_loss_sum: float = 0.0
    train_s: float = 0.0
    best_epoch: int = 0
    best_accuracy: float = 0.0
    best_loss: float = float("inf")
    history: list[EpochRecord] = field(default_factory=list)
    domain: dict[str, Tensor] = field(default_factory=dict)
    optimiser: dict[str, Tensor] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)

    def restore(self, model: AdaptedModel, optimiser: AdamW) -> None:
        """Put the tensors of this state into `model` and `optimiser`; a new state does nothing."""
        if not self.domain:
            return
        model.load_domain_state(self.domain)
        names = _parameter_names(model, optimiser)
        for parameter, name in names.items():
            optimiser.state[parameter] = {
                key: saved.to(parameter.device, copy=True)
                for key in ("step", "exp_avg", "exp_avg_sq")
                if (saved := self.optimiser.get(f"{name}.{key}")) is not None
            }

    def capture(
        self,
        model: AdaptedModel,
        optimiser: AdamW,
        step: int,
        epoch_loss_sum: float,
    ) -> None:
        """Copy the tensors of `model` and `optimiser` as they are before step `step`."""
        self.step = step
        self.epoch_loss_sum = epoch_loss_sum
        self.domain = _copy(model.domain_state())
        self.optimiser = {
            f"{name}.{key}": value.detach().cpu().clone()
            for parameter, name in _parameter_names(model, optimiser).items()
            for key, value in optimiser.state.get(parameter, {}).items()
        }

    def release(self) -> None:
        """Let go of what is on the disk by now, all tensors but the best epoch's."""
        self.domain, self.optimiser = {}, {}

    def end_epoch(
        self,
        record: EpochRecord,
        model: AdaptedModel,
        optimiser: AdamW,
        step: int,
    ) -> None:
        """Take note of a finished epoch, and of its tensors when it is the best so far."""
        self.history.append(record)
        self.capture(model, optimiser, step, 0.0)
        # By loss: on few pictures accuracy is so coarse that its best epoch is one by chance.
        if record.val_loss < self.best_loss:
            self.best_epoch = record.epoch
            self.best_accuracy = record.val_accuracy
            self.best_loss = record.val_loss
            self.best = dict(self.domain)


def _parameter_names(model: AdaptedModel, optimiser: AdamW) -> dict[Tensor, str]:
    names = {tensor: name for name, tensor in model.domain_state().items()}
    return {parameter: names[parameter] for parameter in optimiser.parameters()}


def _copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
