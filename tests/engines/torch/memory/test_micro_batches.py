"""A batch in parts: as even as they can be."""

import pytest
import torch
from torch import Tensor, nn

from addapt._errors import OptionError
from addapt.engines.torch.memory import accumulate_gradients


class Counts(nn.Module):
    """Notes how many images it is given at once."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(2))
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        return x.mean((2, 3))[:, :2] + self.bias


@pytest.mark.parametrize(
    ("images", "micro_batch", "parts"),
    [
        (9, 8, [5, 4]),
        (9, 2, [2, 2, 2, 2, 1]),
        (10, 4, [4, 3, 3]),
        (8, 4, [4, 4]),
        (3, 5, [3]),
        (3, None, [3]),
        (2, 1, [1, 1]),
    ],
)
def test_parts_differ_by_at_most_one_image(
    images: int, micro_batch: int | None, parts: list[int]
) -> None:
    model, whole = Counts(), Counts()
    x, labels = torch.randn(images, 3, 2, 2), torch.arange(images) % 2
    loss = accumulate_gradients(model, x, labels, micro_batch=micro_batch)
    assert model.seen == parts
    assert loss == pytest.approx(accumulate_gradients(whole, x, labels))
    torch.testing.assert_close(model.bias.grad, whole.bias.grad)


def test_what_makes_no_parts_is_refused() -> None:
    x, labels = torch.zeros(1, 3, 2, 2), torch.zeros(1, dtype=torch.long)
    with pytest.raises(OptionError, match="`micro_batch` is 0: give at least 1"):
        accumulate_gradients(Counts(), x, labels, micro_batch=0)
    with pytest.raises(OptionError, match="without an image"):
        accumulate_gradients(Counts(), x[:0], labels[:0])
