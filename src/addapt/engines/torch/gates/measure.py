"""What blocks cost and lose on a domain's images, and the price for a share of the compute."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from addapt._errors import OptionError
from addapt.engines.torch.gates.block_gates import BlockGates, Seen
from addapt.engines.torch.gates.multiply_adds import count_multiply_adds
from addapt.gates import share_words

Forward = Callable[[Tensor], object]
ByBlock = dict[int, Tensor]

LARGEST_PRICE = 1e9  # no block loses so much that it would cost this much
STEPS = 60  # of bisection, which halve the logarithm of the bounds' ratio
SETTLING_PASSES = 3  # what is left out before a block changes what its gate sees
DEARER = 1.1
MARGIN = 1e-3


def measure_blocks(gates: BlockGates, forward: Forward, batches: Iterable[Tensor]) -> None:
    """Weigh the blocks of a network that has not learned yet; set the price for the share asked.

    Raises:
        OptionError: with all closed that can be it is more than the share asked for.
    """
    _set_costs(gates, forward, next(iter(batches))[:1])
    features, losses = _look(
        gates, forward, batches, active=False, weighed=lambda seen: seen.block.gate.can_close
    )
    for place, lost in losses.items():
        gates[place].losses[0] = lost.mean()
    least = gates.rest + sum(float(gate.cost) for gate in gates if not gate.can_close)
    target = gates.config.compute
    if least > target:
        stays, asked = share_words(least, target)
        raise OptionError(
            f"With all that gates of {gates.config.unit} can leave out {stays} of the compute "
            f"stays, but {asked} is asked for: give more, or another unit."
        )
    _fit(gates, features, losses)


def refit_blocks(gates: BlockGates, forward: Forward, batches: Iterable[Tensor]) -> None:
    """Fit gates that decide for each image to the adaptors as they are by now, and set the price.

    Should they have collapsed, leaving almost all open or almost all closed, that is counted.
    """
    if float(gates.price) == 0:
        return
    features, losses = _look(
        gates, forward, batches, active=True, weighed=lambda seen: seen.features is not None
    )
    share, target = _share(gates, features, float(gates.price)), gates.config.compute
    least = _share(gates, features, LARGEST_PRICE)
    if not (least + target) / 2 <= share <= (1 + target) / 2:
        gates.rescues += 1
    _fit(gates, features, losses)


def settle_blocks(gates: BlockGates, forward: Forward, batches: Iterable[Tensor]) -> None:
    """Set the price for the share that is asked for, on images that were not learned from."""
    if float(gates.price) == 0:
        return
    for _ in range(SETTLING_PASSES):
        features, _losses = _look(gates, forward, batches, active=True, weighed=lambda _: False)
        _set_price(gates, features)
    with gates.watched(active=False):
        target = gates.config.compute * _multiply_adds(forward, batches)
    with gates.watched(active=True):
        # At the largest price all is closed that can be: images of another size may need more.
        while float(gates.price) < LARGEST_PRICE and _multiply_adds(forward, batches) > target:
            gates.price *= DEARER


def _multiply_adds(forward: Forward, batches: Iterable[Tensor]) -> int:
    return sum(count_multiply_adds(forward, batch) for batch in batches)


def _set_costs(gates: BlockGates, forward: Forward, image: Tensor) -> None:
    """Set what each block costs; closed it costs nothing."""
    with gates.watched(active=False):
        total = count_multiply_adds(forward, image)

    def count(seen: Seen) -> None:
        cost = count_multiply_adds(seen.block.compute, seen.x) / total
        gates[seen.block.place].costs[-1] = cost

    with gates.watched(count, active=False):
        forward(image)


def _look(
    gates: BlockGates,
    forward: Forward,
    batches: Iterable[Tensor],
    *,
    active: bool,
    weighed: Callable[[Seen], bool],
) -> tuple[ByBlock, ByBlock]:
    """Have the network see images, with gates that decide or with all of them open.

    Return the images' features, of blocks whose gates decide for each image, and what closing
    the blocks would lose that are to be weighed.
    """
    features: dict[int, list[Tensor]] = {}
    losses: dict[int, list[Tensor]] = {}

    def note(seen: Seen) -> None:
        if seen.features is not None:
            features.setdefault(seen.block.place, []).append(seen.features)
        if weighed(seen):
            losses.setdefault(seen.block.place, []).append(seen.block.closing_losses(seen.x))

    with gates.watched(note, active=active):
        for batch in batches:
            forward(batch)
    joined = [
        {place: torch.cat(parts) for place, parts in noted.items()} for noted in (features, losses)
    ]
    return joined[0], joined[1]


def _fit(gates: BlockGates, features: ByBlock, losses: ByBlock) -> None:
    for place, means in features.items():
        gates[place].fit(means, losses[place])
    _set_price(gates, features)


def _set_price(gates: BlockGates, features: ByBlock) -> None:
    """Find the least price at which these images cost at most the share asked for."""
    target = gates.config.compute
    if _share(gates, features, 0.0) <= target:
        gates.price.fill_(0)
        return
    low, high = 1 / LARGEST_PRICE, LARGEST_PRICE
    for _ in range(STEPS):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if _share(gates, features, middle) <= target else (middle, high)
    # Not on the spot where an image's choice turns, lest rounding turn it.
    gates.price.fill_(high * (1 + MARGIN))


def _share(gates: BlockGates, features: ByBlock, price: float) -> float:
    """Return the share of compute of images with these features, at a price."""
    total = gates.rest
    for place, gate in enumerate(gates):
        if place in features:
            total += float(gate.cost * gate.opens_for(features[place], price).double().mean())
        elif gate.opens(price):
            total += float(gate.cost)
    return total
