"""What the widths of all blocks cost and lose on a domain's pictures, and the price for a share."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from addapt._errors import OptionError
from addapt.freezing import FrozenConv2d
from addapt.gates.block_gate import SMALLEST_LOSS
from addapt.gates.block_gates import BlockGates
from addapt.gates.multiply_adds import count_multiply_adds

Forward = Callable[[Tensor], object]

LARGEST_PRICE = 1e9  # no width loses so much that it would cost this much
STEPS = 50  # of bisection, which halve the ratio of the bounds' logarithms
SETTLING_STEPS = 8
SETTLING_FACTOR = 16.0  # how far gates that have learned may have left the price, mostly


def measure_block_gates(gates: BlockGates, forward: Forward, batches: Iterable[Tensor]) -> None:
    """Rank channels, weigh widths, and set the price for the share of compute that is asked for.

    Args:
        gates: of a network that has not learned yet.
        forward: that network, which computes its blocks by `gates`.
        batches: some of the domain's pictures, normalised.

    Raises:
        OptionError: even the least of all blocks is more than the share asked for.
    """
    _rank_channels(gates, forward, batches)
    rest = _weigh_widths(gates, forward, batches)
    with torch.no_grad():
        for gate in gates:
            if gate.predict is not None:
                gate.predict.bias.copy_(gate.losses[:-1].clamp_min(SMALLEST_LOSS).log())
    target = gates.gates.compute

    def compute(price: float) -> float:
        widths = (gate.costs[gate.static_width(price)] for gate in gates)
        return rest + sum(float(cost) for cost in widths)

    if (least := compute(LARGEST_PRICE)) > target:
        raise OptionError(
            f"With all that gates of {gates.gates.unit} can leave out {least:.0%} of the compute "
            f"stays, but {target:.0%} is asked for: give more, or another unit."
        )
    if compute(0) <= target:
        gates.price.fill_(0)
        return
    gates.price.fill_(_least_price(compute, target, 1 / LARGEST_PRICE, LARGEST_PRICE, STEPS))


def rescue_block_gates(gates: BlockGates, forward: Forward, batches: Iterable[Tensor]) -> None:
    """Settle gates that have collapsed in training: almost all closed, or almost all open.

    Args:
        gates: of a network that learns, in evaluation mode.
        forward: that network.
        batches: some of the domain's pictures, normalised.
    """
    if (price := float(gates.price)) == 0:
        return
    gates.price.fill_(LARGEST_PRICE)
    least = share_of_compute(gates, forward, batches)
    gates.price.fill_(price)
    share, target = share_of_compute(gates, forward, batches), gates.gates.compute
    if not (least + target) / 2 <= share <= (1 + target) / 2:
        settle_block_gates(gates, forward, batches)
        gates.rescues += 1


def settle_block_gates(gates: BlockGates, forward: Forward, batches: Iterable[Tensor]) -> None:
    """Set the price anew for the share that is asked for, as the gates decide by now."""
    if (price := float(gates.price)) == 0:
        return
    ungated = _ungated(gates, forward, batches)

    def compute(price: float) -> float:
        gates.price.fill_(price)
        return sum(count_multiply_adds(forward, batch) for batch in batches) / ungated

    low, high = price / SETTLING_FACTOR, price * SETTLING_FACTOR
    while high < LARGEST_PRICE and compute(high) > gates.gates.compute:
        low, high = high, high * SETTLING_FACTOR
    gates.price.fill_(_least_price(compute, gates.gates.compute, low, high, SETTLING_STEPS))


def share_of_compute(gates: BlockGates, forward: Forward, batches: Iterable[Tensor]) -> float:
    """Return the multiply-adds of these pictures as a share of those with all gates open."""
    gated = sum(count_multiply_adds(forward, batch) for batch in batches)
    return gated / _ungated(gates, forward, batches)


def _ungated(gates: BlockGates, forward: Forward, batches: Iterable[Tensor]) -> int:
    with gates.watched(lambda *_: None):
        return sum(count_multiply_adds(forward, batch) for batch in batches)


def _least_price(
    compute: Callable[[float], float], target: float, low: float, high: float, steps: int
) -> float:
    """Return the least price, up to the steps' precision, at which compute is within the target."""
    for _ in range(steps):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if compute(middle) <= target else (middle, high)
    return high


def _rank_channels(gates: BlockGates, forward: Forward, batches: Iterable[Tensor]) -> None:
    """Order inner channels by the energy that each adds to the block's output, most first."""
    energies: dict[int, Tensor] = {}

    def watch(place: int, block: nn.Module, _: Mapping[str, Tensor], x: Tensor) -> None:
        if gates[place].order is None:
            return
        last = block.get_submodule(gates[place].layers[-1])
        assert isinstance(last, FrozenConv2d)
        weight = last.plain_weight().square().sum((0, 2, 3))

        def add(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            energy = inputs[0].square().mean((2, 3)).sum(0) * weight
            energies[place] = energies.get(place, 0) + energy

        handle = last.register_forward_pre_hook(add)
        try:
            block(x)
        finally:
            handle.remove()

    with gates.watched(watch):
        for batch in batches:
            forward(batch)
    for place, energy in energies.items():
        order = gates[place].order
        assert order is not None
        order.copy_(energy.argsort(descending=True, stable=True))


def _weigh_widths(gates: BlockGates, forward: Forward, batches: Iterable[Tensor]) -> float:
    """Set each width's mean loss and its cost; return the cost of what is outside the blocks."""
    losses: dict[int, list[Tensor]] = {}
    costs: dict[int, list[int]] = {}

    def watch(place: int, block: nn.Module, biases: Mapping[str, Tensor], x: Tensor) -> None:
        gate = gates[place]
        if place not in costs:
            costs[place] = [
                count_multiply_adds(partial(gate.compute, width, block, biases=biases), x[:1])
                for width in range(len(gate.widths))
            ]
        if gate.whole:
            losses.setdefault(place, []).append(gate.measured_losses(block, x, biases))

    with gates.watched(watch):
        for batch in batches:
            forward(batch)
    with gates.watched(lambda *_: None):
        total = count_multiply_adds(forward, next(iter(batches))[:1])
    for place, gate in enumerate(gates):
        gate.costs.copy_(torch.tensor(costs[place]) / total)
        if gate.whole:
            gate.losses[:-1] = torch.cat(losses[place]).mean(0)
    return 1 - sum(of_widths[-1] for of_widths in costs.values()) / total
