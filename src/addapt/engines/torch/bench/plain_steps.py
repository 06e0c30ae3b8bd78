"""Steps as an ordinary loop of PyTorch makes them."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from addapt.engines.base import Images, Labels, Logits, StepSettings
from addapt.engines.torch.model import to_floats


class PlainSteps:
    """What `addapt.bench.worker` asks of a model, for a network with an optimiser of its own.

    Args:
        network: from normalised images to logits.
        to_input: makes normalised images.
        optimiser: of what is trained. It is given, as making the first one imports PyTorch's
            compiler, some 70 MB that are no part of a step.
        batch_statistics: whether batch norms take their statistics from the batch.
    """

    def __init__(
        self,
        network: nn.Module,
        to_input: Callable[[Images], Float[Tensor, "n 3 h w"]],
        optimiser: torch.optim.Optimizer,
        *,
        batch_statistics: bool,
    ) -> None:
        self.network, self._to_input, self._optimiser = network, to_input, optimiser
        self._batch_statistics = batch_statistics

    def prepare(self, settings: StepSettings) -> None:
        """Set the rate."""
        for group in self._optimiser.param_groups:
            group["lr"] = settings.lr

    def step(self, images: Images, labels: Labels, *, batch: int) -> float:
        """Forward, loss and backward of the whole batch."""
        assert len(images) == batch, "batch statistics would be those of a part"
        self.network.train(self._batch_statistics)  # nothing else depends on the mode
        x = self._to_input(images)
        loss = F.cross_entropy(self.network(x), torch.from_numpy(labels).to(x.device))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def update(self, share: float) -> None:
        """Make a step of the optimiser, at its full rate."""
        self._optimiser.step()
        self._optimiser.zero_grad()

    @torch.no_grad()
    def logits(self, images: Images) -> Logits:
        """Forward, in evaluation mode."""
        self.network.eval()
        return to_floats(self.network(self._to_input(images)))
