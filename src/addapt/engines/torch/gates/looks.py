"""Two looks at an image: a coarse one, and a second at full size where the first is not sure."""

import math
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from addapt._errors import OptionError
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.gates.gates import Gates
from addapt.engines.torch.gates.multiply_adds import count_multiply_adds

STEP_PX = 8  # sizes are multiples of this
SMALLEST_PX = 32
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

    def __init__(self, gates: Gates) -> None:
        super().__init__()
        self.gates = gates
        self.active = True
        self.register_buffer("threshold", torch.ones(()))
        self.register_buffer("turn", torch.zeros((), dtype=torch.int64))
        self.second: Tensor | None = None  # which images of the last batch had a second look

    def forward(
        self, x: Float[Tensor, "n 3 h w"], classify: Classify
    ) -> Float[Tensor, "n classes"]:
        """Classify images of full size.

        Args:
            x: normalised images.
            classify: images of any size to logits.
        """
        if not self.active or x.is_meta:  # meta: no values to decide by
            return classify(x)
        if self.training:
            return self._in_turn(x, classify)
        logits = classify(self.first_look(x))
        second = logits.softmax(1).amax(1) < self.threshold
        self.second = second
        if second.all():
            return classify(x)
        if second.any():
            logits[second] = classify(x[second])
        return logits

    def first_look(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h2 w2"]:
        """Make images smaller, as the share of compute asks for."""
        size = [first_look_px(side, self.gates.compute) for side in x.shape[2:]]
        return F.interpolate(x, size, mode="bilinear", antialias=True)

    def _in_turn(self, x: Tensor, classify: Classify) -> Tensor:
        """Look at the first half in full and at the others in small; of one image, in turn."""
        whole = (len(x) + 1 - int(self.turn) % 2) // 2
        self.turn += 1
        parts = (x[:whole], x[whole:])
        looked = [
            classify(self.first_look(part) if coarse else part)
            for coarse, part in enumerate(parts)
            if len(part)
        ]
        return torch.cat(looked)

    @torch.no_grad()
    def settle(self, batches: Iterable[Tensor], classify: Classify) -> None:
        """Set the threshold so that images cost the share of compute that is asked for.

        Args:
            batches: normalised images that were not learned from, all of one size.
            classify: images of any size to logits, in evaluation mode.
        """
        sure = torch.cat([classify(self.first_look(x)).softmax(1).amax(1) for x in batches])
        one = next(iter(batches))[:1]
        whole, first = (count_multiply_adds(classify, x) for x in (one, self.first_look(one)))
        share = max(0.0, self.gates.compute - first / whole)
        looked_at_again = math.floor(share * len(sure))
        in_order = sure.sort().values
        if looked_at_again == len(sure):
            self.threshold.fill_(1)
        else:  # that one and the surer ones are not looked at again
            self.threshold.fill_(in_order[looked_at_again])


def first_look_px(px: int, compute: float) -> int:
    """Return the side of the first look at images of `px`."""
    return scaled_px(px, compute * FIRST_SHARE)


def scaled_px(px: int, compute: float) -> int:
    """Return the side of images of about this share of the area."""
    side = int(px * math.sqrt(compute) + 1e-9) // STEP_PX * STEP_PX
    return min(px, max(SMALLEST_PX, side))


@torch.no_grad()
def static_px(backbone: Backbone, px: int, compute: float) -> int:
    """Return the largest side at which an image costs at most this share of one of `px`.

    Small images cost more than their share of the area, as maps are rounded up.

    Raises:
        OptionError: even the smallest costs more.
    """
    weight = next(backbone.parameters())

    def cost(side: int) -> int:
        return count_multiply_adds(backbone, weight.new_zeros(1, 3, side, side))

    if compute == 1:
        return px
    whole = cost(px)
    for side in range(scaled_px(px, compute), SMALLEST_PX - 1, -STEP_PX):
        if cost(side) <= compute * whole:
            return side
    raise OptionError(
        f"Images of {px} px cannot be made so small that {compute:.0%} of the compute is left: "
        f"those of {SMALLEST_PX} px cost {cost(SMALLEST_PX) / whole:.0%}. Give more, or begin "
        "with larger ones (--image-px)."
    )
