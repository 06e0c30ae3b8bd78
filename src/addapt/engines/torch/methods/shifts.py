"""Trained shifts of a frozen network's biases."""

from torch import Tensor, nn

from addapt.engines.torch.freezing import trained_biases


class Shifts(nn.Module):
    """What is added to one block's biases; their gradient needs no activation."""

    def __init__(self, block: nn.Module, trained: bool) -> None:
        super().__init__()
        biases = trained_biases(block) if trained else {}
        self.names = list(biases)
        self.values = nn.ParameterList(bias.new_zeros(bias.shape) for bias in biases.values())

    def applied_to(self, block: nn.Module) -> dict[str, Tensor]:
        """Return the shifted biases under the names that they replace in the block."""
        return {
            name: block.get_parameter(name) + shift
            for name, shift in zip(self.names, self.values, strict=True)
        }
