"""Two looks at an image: a coarse one, and a second at full size where the first is not sure."""

import math
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from addapt.engines.torch.gates.multiply_adds import count_multiply_adds
from addapt.gates import GateConfig, scaled_px

# Of the compute that two looks may take, the part that goes into the first.
FIRST_SHARE = 0.5

Classify = Callable[[Tensor], Tensor]


class TwoLooks(nn.Module):
    """Classifies the image made smaller, and again at full size where no class is probable.

    The answer of an image comes from the last look that it got. In training half of the images of
    a batch, which come in no order, are looked at in full, the others in small, so that both are
    learned. Until `settle` every image gets its second look.

    *Memory:* nothing; a step keeps less than without, as half of its images are smaller.
    """

    threshold: Tensor
    turn: Tensor

    def __init__(self, config: GateConfig) -> None:
        super().__init__()
        self.config = config
        self.active = True
        self.register_buffer("threshold", torch.ones(()))
        self.register_buffer("turn", torch.zeros((), dtype=torch.int64))

    def forward(
        self, x: Float[Tensor, "n 3 h w"], classify: Classify
    ) -> Float[Tensor, "n classes"]:
        """Classify normalised images of full size; `classify` makes logits of those of any."""
        if not self.active or x.is_meta:  # meta: no values to decide by
            return classify(x)
        if self.training:
            return self._in_turn(x, classify)
        logits = classify(self.first_look(x))
        second = _sureness(logits) < self.threshold
        if second.all():
            return classify(x)
        if second.any():
            logits[second] = classify(x[second])
        return logits

    def first_look(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h2 w2"]:
        """Make images smaller, as the share of compute asks for."""
        size = [first_look_px(side, self.config.compute) for side in x.shape[2:]]
        return F.interpolate(x, size, mode="bilinear", antialias=True)

    def _in_turn(self, x: Tensor, classify: Classify) -> Tensor:
        """Look at the first half in full and at the others in small; of one image, in turn."""
        whole = (len(x) + 1 - int(self.turn) % 2) // 2
        self.turn += 1
        looked = []
        if whole:
            looked.append(classify(x[:whole]))
        if whole < len(x):
            looked.append(classify(self.first_look(x[whole:])))
        return torch.cat(looked)

    @torch.no_grad()
    def settle(self, batches: Iterable[Tensor], classify: Classify) -> None:
        """Set the threshold so that images cost the share of compute that is asked for.

        The batches are images that were not learned from, all of one size.
        """
        sure = self._first_sureness(batches, classify)
        one = next(iter(batches))[:1]
        whole, first = (count_multiply_adds(classify, x) for x in (one, self.first_look(one)))
        share = max(0.0, self.config.compute - first / whole)
        looked_at_again = math.floor(share * len(sure))
        in_order = sure.sort().values
        # That one and the surer ones are not looked at again.
        self.threshold.fill_(1 if looked_at_again == len(sure) else in_order[looked_at_again])

    @torch.no_grad()
    def second_share(self, batches: Iterable[Tensor], classify: Classify) -> float:
        """Return the share of images that get a second look."""
        second = self._first_sureness(batches, classify) < self.threshold
        return float(second.double().mean())

    def _first_sureness(self, batches: Iterable[Tensor], classify: Classify) -> Tensor:
        return torch.cat([_sureness(classify(self.first_look(x))) for x in batches])


def _sureness(logits: Float[Tensor, "n classes"]) -> Float[Tensor, " n"]:
    """Return the probability of the most probable class."""
    return logits.softmax(1).amax(1)


def first_look_px(px: int, compute: float) -> int:
    """Return the side of the first look at images of `px`."""
    return scaled_px(px, compute * FIRST_SHARE)
