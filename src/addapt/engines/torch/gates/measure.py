"""What the widths of all blocks cost and lose on a domain's images, and the price for a share."""

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn

from addapt._errors import OptionError
from addapt.engines.torch.freezing import FrozenConv2d
from addapt.engines.torch.gates.block_gates import BlockGates, GatedBlock
from addapt.engines.torch.gates.fit import fit_gate
from addapt.engines.torch.gates.multiply_adds import count_multiply_adds

Forward = Callable[[Tensor], object]

LARGEST_PRICE = 1e9  # no width loses so much that it would cost this much
STEPS = 60  # of bisection, which halve the logarithm of the bounds' ratio
SETTLING_PASSES = 3  # what is left out before a block changes what its gate sees
DEARER = 1.1
MARGIN = 1e-3

Noted = dict[int, list[Tensor]]  # by block, batch by batch


def measure_block_gates(gates: BlockGates, forward: Forward, batches: Iterable[Tensor]) -> None:
    """Rank channels, weigh widths, and set the price for the share of compute that is asked for.

    Args:
        gates: of a network that has not learned yet.
        forward: that network, which computes its blocks by `gates`.
        batches: some of the domain's images, normalised.

    Raises:
        OptionError: even the least of all blocks is more than the share asked for.
    """
    _rank_channels(gates, forward, batches)
    features, losses = _weigh_widths(gates, forward, batches)
    least = gates.rest + sum(float(gate.costs.min()) for gate in gates)
    if least > gates.gates.compute:
        raise OptionError(
            f"With all that gates of {gates.gates.unit} can leave out {least:.0%} of the compute "
            f"stays, but {gates.gates.compute:.0%} is asked for: give more, or another unit."
        )
    _fit_all(gates, features, losses)
    _set_price(gates, features)


def refit_block_gates(gates: BlockGates, forward: Forward, batches: Iterable[Tensor]) -> None:
    """Fit gates that decide for each image to the adaptors as they are by now, and set the price.

    Should they have collapsed, leaving almost all open or almost all closed, that is counted.

    Args:
        gates: of a network that learns, in evaluation mode.
        forward: that network.
        batches: some of the domain's images, normalised.
    """
    if float(gates.price) == 0:
        return
    features: Noted = {}
    losses: Noted = {}

    def watch(block: GatedBlock, x: Tensor, means: Tensor | None) -> None:
        if means is not None:
            features.setdefault(block.place, []).append(means)
            measured = block.gate.measured_losses(block.block, x, block.biases)
            losses.setdefault(block.place, []).append(measured)

    with gates.watched(watch, all_open=False):
        for batch in batches:
            forward(batch)
    for gate in gates:
        gate.forget_widths()
    share, target = _share(gates, features, float(gates.price)), gates.gates.compute
    least = _share(gates, features, LARGEST_PRICE)
    if not (least + target) / 2 <= share <= (1 + target) / 2:
        gates.rescues += 1
    _fit_all(gates, features, losses)
    _set_price(gates, features)


def settle_block_gates(gates: BlockGates, forward: Forward, batches: Iterable[Tensor]) -> None:
    """Set the price for the share that is asked for, on images that were not learned from."""
    if float(gates.price) == 0:
        return

    def note(block: GatedBlock, x: Tensor, means: Tensor | None) -> None:
        if means is not None:
            features.setdefault(block.place, []).append(means)

    for _ in range(SETTLING_PASSES):
        features: Noted = {}
        with gates.watched(note, all_open=False):
            for batch in batches:
                forward(batch)
        _set_price(gates, features)
    with gates.watched(lambda *_: None, all_open=True):
        whole = sum(count_multiply_adds(forward, batch) for batch in batches)
    while sum(count_multiply_adds(forward, batch) for batch in batches) > (
        gates.gates.compute * whole
    ):
        gates.price *= DEARER


def _fit_all(gates: BlockGates, features: Noted, losses: Noted) -> None:
    for place in features:
        fit_gate(gates[place], torch.cat(features[place]), torch.cat(losses[place]))


def _set_price(gates: BlockGates, features: Noted) -> None:
    """Find the least price at which these images cost at most the share asked for."""
    target = gates.gates.compute
    if _share(gates, features, 0.0) <= target:
        gates.price.fill_(0)
        return
    low, high = 1 / LARGEST_PRICE, LARGEST_PRICE
    for _ in range(STEPS):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if _share(gates, features, middle) <= target else (middle, high)
    # Not on the spot where an image's choice turns, lest rounding turn it.
    gates.price.fill_(high * (1 + MARGIN))


def _share(gates: BlockGates, features: Noted, price: float) -> float:
    """Return the share of compute of images with these features, at a price."""
    total = gates.rest
    for place, gate in enumerate(gates):
        if place in features:
            chosen = gate.choose(torch.cat(features[place]), price)
            total += float(gate.costs[chosen].mean())
        else:
            total += float(gate.costs[gate.static_width(price)])
    return total


def _rank_channels(gates: BlockGates, forward: Forward, batches: Iterable[Tensor]) -> None:
    """Order inner channels by the energy that each adds to the block's output, most first."""
    energies: dict[int, Tensor] = {}

    def watch(block: GatedBlock, x: Tensor, _: Tensor | None) -> None:
        place = block.place
        if block.gate.order is None:
            return
        last = block.block.get_submodule(block.gate.layers[-1])
        assert isinstance(last, FrozenConv2d)
        weight = last.plain_weight().square().sum((0, 2, 3))

        def add(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            energy = inputs[0].square().mean((2, 3)).sum(0) * weight
            energies[place] = energies.get(place, 0) + energy

        handle = last.register_forward_pre_hook(add)
        try:
            block.block(x)
        finally:
            handle.remove()

    with gates.watched(watch, all_open=True):
        for batch in batches:
            forward(batch)
    for place, energy in energies.items():
        order = gates[place].order
        assert order is not None
        order.copy_(energy.argsort(descending=True, stable=True))


def _weigh_widths(
    gates: BlockGates, forward: Forward, batches: Iterable[Tensor]
) -> tuple[Noted, Noted]:
    """Set each width's mean loss and its cost.

    Returns:
        Of blocks whose gates decide for each image, the images' features and losses.
    """
    features: Noted = {}
    losses: Noted = {}
    costs: dict[int, list[int]] = {}

    def watch(block: GatedBlock, x: Tensor, means: Tensor | None) -> None:
        gate, place = block.gate, block.place
        if place not in costs:
            costs[place] = [
                count_multiply_adds(partial(block.first_image().at, width), x[:1])
                for width in range(len(gate.widths))
            ]
        if gate.whole:
            measured = gate.measured_losses(block.block, x, block.biases)
            losses.setdefault(place, []).append(measured)
        if means is not None:
            features.setdefault(place, []).append(means)

    with gates.watched(watch, all_open=True):
        for batch in batches:
            forward(batch)
    with gates.watched(lambda *_: None, all_open=True):
        total = count_multiply_adds(forward, next(iter(batches))[:1])
    for place, gate in enumerate(gates):
        gate.costs.copy_(torch.tensor(costs[place]) / total)
        if gate.whole:
            gate.losses[:-1] = torch.cat(losses[place]).mean(0)
        gate.forget_widths()
    return features, losses
