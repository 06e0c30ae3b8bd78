"""A loss of its own for a part of a network."""

import torch

from addapt.gates.inject import with_loss


def test_both_gradients_arrive() -> None:
    x = torch.randn(3, requires_grad=True)
    weight = torch.randn(3, requires_grad=True)
    y = with_loss(x * 2, (weight.square()).sum())
    assert torch.equal(y, x * 2)
    (y * torch.tensor([1.0, 2.0, 3.0])).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None and weight.grad is not None
    torch.testing.assert_close(x.grad, torch.tensor([2.0, 4.0, 6.0]))
    torch.testing.assert_close(weight.grad, 2 * weight.detach())


def test_without_a_gradient_nothing_is_done() -> None:
    x, loss = torch.randn(3, requires_grad=True), torch.randn((), requires_grad=True)
    assert with_loss(x.detach(), loss).grad_fn is None
    assert with_loss(x, loss.detach()) is x
    with torch.no_grad():
        assert with_loss(x, loss) is x
