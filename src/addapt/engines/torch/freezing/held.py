"""The tensors that a module holds, wherever it keeps them."""

from collections.abc import Iterator

from torch import Tensor, nn


def tensors_held_by(model: nn.Module) -> Iterator[Tensor]:
    """Yield parameters, buffers, and tensors that modules hold as plain attributes."""
    yield from model.parameters()
    yield from model.buffers()
    for module in model.modules():
        for name, value in vars(module).items():
            if name not in ("_parameters", "_buffers", "_modules"):
                yield from _tensors_in(value)


def _tensors_in(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, nn.Module):
        yield from value.parameters()
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors_in(part)
