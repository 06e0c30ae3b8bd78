"""The gates of a model, whatever they leave out: measured, refitted, settled, switched."""

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager

from torch import Tensor, nn

from addapt._errors import OptionError
from addapt.engines.torch.gates.block_gates import BlockGates, Seen
from addapt.engines.torch.gates.measure import measure_blocks, refit_blocks, settle_blocks
from addapt.gates import GateConfig


class ModelGates:
    """What is done with the gates of a model, in three steps around any training loop.

    `measure` before training, `refit` before each epoch, `settle` after training; each takes a list
    of batches of normalised images and leaves the model in the mode in which it was. `part` keeps
    what they know.
    """

    def __init__(self, part: BlockGates, model: nn.Module) -> None:
        self._part, self._model = part, model

    @property
    def config(self) -> GateConfig:
        """What was asked for."""
        return self._part.config

    @property
    def active(self) -> bool:
        """Whether gates decide; else all of them are open, and the model is the ungated one."""
        return self._part.active

    @active.setter
    def active(self, active: bool) -> None:
        self._part.active = active

    @property
    def rescues(self) -> int:
        """How often in training almost all gates were closed, or open, and were set anew."""
        return int(self._part.rescues)

    def measure(self, batches: Iterable[Tensor]) -> None:
        """Before training, find out on images of the size to be learned what can be left out.

        Raises:
            OptionError: not so much can be left out as is asked for.
        """
        with self._evaluating(batches):
            measure_blocks(self._part, self._model, batches)

    def refit(self, batches: Iterable[Tensor]) -> None:
        """Before each epoch, fit gates that decide for each image to the adaptors as they are.

        The batches are some of the images that are learned.
        """
        with self._evaluating(batches):
            if self.config.dynamic:
                refit_blocks(self._part, self._model, batches)

    def settle(self, batches: Iterable[Tensor]) -> None:
        """After training, have images cost on average the share of compute that is asked for.

        The batches are images that were not learned from, such as those for validation.
        """
        with self._evaluating(batches):
            if self.config.dynamic:
                settle_blocks(self._part, self._model, batches)

    def open_shares(self, batches: Iterable[Tensor]) -> tuple[tuple[float, ...], ...]:
        """Return for how many of the images gates are closed and open; see `GateReport`."""
        with self._evaluating(batches):
            return _open_shares(self._part, self._model, batches)

    @contextmanager
    def _evaluating(self, batches: Iterable[Tensor]) -> Iterator[None]:
        """Refuse batches that cannot be gone through twice; have the model evaluate meanwhile."""
        if iter(batches) is batches:
            raise OptionError(
                "The batches can be gone through only once, but gates need to see them several "
                "times: give a list, such as list(batches)."
            )
        if isinstance(batches, Sized) and len(batches) == 0:
            raise OptionError("There are no images for gates to see: give at least one batch.")
        training = self._model.training
        self._model.eval()
        try:
            yield
        finally:
            self._model.train(training)


def _open_shares(
    gates: BlockGates, forward: Callable[[Tensor], object], batches: Iterable[Tensor]
) -> tuple[tuple[float, ...], ...]:
    opened: list[list[bool]] = [[] for _ in gates]

    def note(seen: Seen) -> None:
        opened[seen.block.place] += seen.opened

    with gates.watched(note, active=True):
        for batch in batches:
            forward(batch)
    shares = [sum(each) / len(each) for each in opened]
    return tuple(
        (1 - share, share) if gate.can_close else (1.0,)
        for gate, share in zip(gates, shares, strict=True)
    )
