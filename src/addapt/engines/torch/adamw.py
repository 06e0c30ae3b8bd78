"""AdamW without what torch.optim's class brings along.

`torch.optim.AdamW(...)` imports PyTorch's compiler when it is made, about 70 MB of memory that
nothing here needs. The arithmetic is PyTorch's own, through its functional form.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8  # torch.optim's defaults


@dataclass
class ParameterGroup:
    """Parameters that share a learning rate, which is `peak_lr` times the schedule's factor."""

    parameters: list[nn.Parameter]
    peak_lr: float


@dataclass
class AdamW:
    """Adam with decoupled weight decay.

    `state` holds for each parameter "step", "exp_avg" and "exp_avg_sq", once it has been trained.

    *Memory:* twice the parameters' bytes.

    Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019.
    """

    groups: list[ParameterGroup]
    weight_decay: float = 0.0
    state: dict[Tensor, dict[str, Tensor]] = field(default_factory=dict)

    def parameters(self) -> Iterable[nn.Parameter]:
        """Yield the parameters of all groups."""
        for group in self.groups:
            yield from group.parameters

    def zero_grad(self) -> None:
        """Let go of all gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    @torch.no_grad()
    def step(self, lr_factor: float = 1.0) -> None:
        """Change every parameter that has a gradient."""
        for group in self.groups:
            trained = [p for p in group.parameters if p.grad is not None]
            if not trained:
                continue
            states = [self._state(parameter) for parameter in trained]
            adamw(
                list(trained),
                [p.grad for p in trained if p.grad is not None],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                fused=True,  # one pass over the memory, no temporaries
                amsgrad=False,
                beta1=BETA1,
                beta2=BETA2,
                lr=group.peak_lr * lr_factor,
                weight_decay=self.weight_decay,
                eps=EPS,
                maximize=False,
            )

    def _state(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        if parameter not in self.state:
            self.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        return self.state[parameter]
