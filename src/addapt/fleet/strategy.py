"""Flower's strategies, with a look at what devices send before it is averaged."""

import math
from collections.abc import Callable, Iterable
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import (
    DifferentialPrivacyServerSideFixedClipping,
    FedAdam,
    FedAvg,
    FedProx,
    Strategy,
)

from addapt._errors import FleetError, UnknownNameError
from addapt._text import printable
from addapt.engines.base import Form, State
from addapt.fleet.messages import (
    ARRAYS,
    CONFIG,
    IMAGES,
    METRICS,
    ROUND,
    arrays_of,
    judged_of,
    record_of,
    refusal_of,
)
from addapt.fleet.names import DeviceNames
from addapt.fleet.privacy import Privacy
from addapt.fleet.updates import (
    MOST_TIMES,
    check_images,
    check_state,
    clipped,
    distance,
    usual,
)

PULL = 0.01  # FedProx's mu
SERVER_LR = 0.01  # FedAdam's step


def _inner(name: str, devices: int, privacy: Privacy | None) -> Strategy:
    """Make one of Flower's own by its name, and put noise around it if that is asked for."""
    common: dict[str, Any] = {
        "fraction_evaluate": 0.0,  # accuracy comes with what was learned
        "min_train_nodes": devices,
        "min_available_nodes": devices,
        "weighted_by_key": IMAGES,
        "arrayrecord_key": ARRAYS,
        "configrecord_key": CONFIG,
    }
    made: dict[str, Callable[[], FedAvg]] = {
        "fedavg": lambda: FedAvg(**common),
        "fedprox": lambda: FedProx(proximal_mu=PULL, **common),
        "fedadam": lambda: FedAdam(eta=SERVER_LR, **common),
    }
    if name not in made:
        raise UnknownNameError("strategy", name, made)
    if privacy is None:
        return made[name]()
    return DifferentialPrivacyServerSideFixedClipping(
        made[name](), privacy.noise_multiplier, privacy.clipping_norm, devices
    )


class CarefulStrategy(Strategy):
    """Another strategy, which sees only what has been looked at.

    Args:
        name: of Flower's: "fedavg", "fedprox" or "fedadam".
        devices: the fewest in a round.
        privacy: noise that hides a device among those; all then count the same.
        forms: of the arrays that belong to the domain.
        first: number of the round that Flower calls 1.
        most_images: that a device may have.
        names: of devices.
        on_left_out: told a device's name and why nothing of it is used.
    """

    def __init__(
        self,
        name: str,
        devices: int,
        privacy: Privacy | None,
        forms: dict[str, Form],
        first: int,
        most_images: int,
        names: DeviceNames,
        on_left_out: Callable[[str, str], None],
    ) -> None:
        self._strategy = _inner(name, devices, privacy)
        self._fewest_hidden = devices if privacy else 0
        self._forms, self._first, self._most_images = forms, first, most_images
        self._names, self._on_left_out = names, on_left_out
        self._start: State = {}
        self._asked: set[int] = set()
        self.devices = 0  # whose answers were used in the last round
        self.images: dict[int, int] = {}  # of devices in the last round that had such
        self.accuracies: list[float] = []  # of what there was before each round
        self.bytes = 0  # that a device got and sent in the last round, at most

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask all devices that are there."""
        self._start = arrays_of(arrays)
        config[ROUND] = self._first + server_round - 1
        messages = list(self._strategy.configure_train(server_round, arrays, config, grid))
        self._asked = {message.metadata.dst_node_id for message in messages}
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Average what can be believed; nothing changes if that is nothing."""
        arrays, metrics = self._strategy.aggregate_train(server_round, self._believed(replies))
        if arrays is None:
            return None, metrics
        # FedAdam's come as numbers of twice the bits, which devices would refuse.
        found = {name: a.astype(self._forms[name][0]) for name, a in arrays_of(arrays).items()}
        return record_of(found), metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask nothing."""
        return []

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Return nothing."""
        return None

    def summary(self) -> None:
        """Log what the other one says."""
        self._strategy.summary()

    def _believed(self, replies: Iterable[Message]) -> list[Message]:
        """Return replies that are what they should be, none much larger than the others."""
        self.devices = 0
        found: list[tuple[Message, State, int]] = []
        silent = set(self._asked)
        for reply in replies:
            device = reply.metadata.src_node_id
            silent.discard(device)
            name = self._names.hear(reply)
            try:
                if reply.has_error():
                    if device not in self._asked:  # the server speaks for one that is gone
                        continue
                    raise FleetError(f"it failed: {printable(str(reply.error.reason))}")
                if why := refusal_of(reply.content):
                    raise FleetError(why)
                state = arrays_of(reply.content.array_records[ARRAYS])
                check_state(state, self._forms)
                said = reply.content.metric_records[METRICS]
                if self._fewest_hidden and not distance(state, self._start):
                    raise FleetError("it has learned nothing")  # Flower divides by that length
                images = check_images(said[IMAGES], self._most_images)
                found.append((reply, state, images))
            except (FleetError, LookupError, TypeError, ValueError) as error:
                self._on_left_out(name, str(error))
        for device in silent:
            self._on_left_out(self._names.of(device), "it did not answer")
        if not found:
            return []
        if len(found) < self._fewest_hidden:
            for reply, _, _ in found:
                name = self._names.of(reply.metadata.src_node_id)
                self._on_left_out(name, "too few answered for it to hide among")
            return []
        if self._fewest_hidden:
            # Noise is for devices that count the same, and whose length no other has decided.
            limit, most = math.inf, 1
        else:
            limit = MOST_TIMES * usual([distance(state, self._start) for _, state, _ in found])
            most = round(MOST_TIMES * usual([images for _, _, images in found]))
        self._note(found)
        for reply, state, images in found:
            shorter = clipped(state, self._start, limit)
            # Nothing else: Flower ends where devices do not tell the same things. And in the order
            # of the server's, as its noise compares them one by one.
            reply.content = RecordDict(
                {
                    ARRAYS: record_of({name: shorter[name] for name in self._start}),
                    METRICS: MetricRecord({IMAGES: min(images, most)}),
                }
            )
        return [reply for reply, _, _ in found]

    def _note(self, found: list[tuple[Message, State, int]]) -> None:
        """Remember who took part, and what they say of what there was before."""
        self.devices = len(found)
        self.images = {reply.metadata.src_node_id: images for reply, _, images in found}
        judged = [judged_of(reply.content, self._most_images) for reply, _, _ in found]
        if images := sum(n for n, _ in judged):
            self.accuracies.append(sum(correct for _, correct in judged) / images)
        self.bytes = 2 * sum(array.nbytes for array in self._start.values())
