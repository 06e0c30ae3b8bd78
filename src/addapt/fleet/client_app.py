"""What Flower runs on a device: it answers the messages of a fleet's server.

Where the images lie, and what may be used of the device, is said by whoever started its node, in
Flower's configuration of a node, and by nobody else.
"""

import socket
from collections.abc import Callable
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from addapt._errors import AddaptError, FleetError
from addapt.domains import Store
from addapt.engines import open_engine
from addapt.engines.base import State
from addapt.fleet.device import Device
from addapt.fleet.head_bias import is_common, with_common_bias
from addapt.fleet.keeping import keep_on_device
from addapt.fleet.messages import (
    ARRAYS,
    CONFIG,
    CORRECT,
    IMAGES,
    JUDGED,
    METRICS,
    OFFER,
    PLAN,
    PULL,
    ROUND,
    arrays_of,
    put_name,
    record_of,
    refusal,
)
from addapt.fleet.news import tell
from addapt.fleet.optimiser import OptimiserFile
from addapt.fleet.plan import Plan
from addapt.fleet.updates import check_state
from addapt.learning.controls import Controls
from addapt.learning.scores import Scores
from addapt.memory import lean_allocator, process_peak_bytes

app = ClientApp()


class _Settings:
    """What whoever started the node says, from Flower's node configuration."""

    def __init__(self, context: Context) -> None:
        said = context.node_config
        if "images" not in said:
            raise FleetError("This device has no images: start its node with `addapt fleet join`.")
        self.images = Path(str(said["images"]))
        self.name = str(said.get("name", ""))
        self.store = Store(Path(str(said.get("store", "domains"))))
        self.backbone = str(said.get("backbone", "efficientnet_lite0"))
        self.weights = str(said["weights"]) if said.get("weights") else None
        self.threads = int(said.get("threads", 0))
        self.budget_bytes = int(said.get("budget-bytes", 0)) or None
        self.fetch = bool(said.get("fetch", False))
        self.personal = bool(said.get("personal", False))
        self.news = Path(str(said["news"])) if said.get("news") else None

    def device(self) -> Device:
        engine = open_engine(self.backbone, self.weights, engine="onnx")
        if self.threads:
            engine.threads = self.threads
        scratch = self.store.folder
        controls = Controls(cache_bytes=0, budget_bytes=self.budget_bytes)
        return Device(engine, self.images, self.name or "fleet", scratch, controls)


def _answering(
    answer: Callable[[_Settings, Message, Context], RecordDict], message: Message, context: Context
) -> Message:
    """Answer, or say in a sentence why not."""
    try:
        settings = _Settings(context)
        with lean_allocator():
            content = answer(settings, message, context)
    except AddaptError as error:
        content = refusal(str(error))
        if said := context.node_config.get("news"):
            tell(Path(str(said)), refused=str(error))
    put_name(content, str(context.node_config.get("device") or socket.gethostname()))
    return Message(content, reply_to=message)


def _plan(settings: _Settings, message: Message) -> Plan:
    plan = Plan.from_text(str(_config(message)[PLAN]))
    if settings.name and plan.name != settings.name:
        raise FleetError(
            f"This server's fleet learns {plan.name!r}, and this device was to learn "
            f"{settings.name!r}: give the server's name."
        )
    return plan


def _config(message: Message) -> ConfigRecord:
    found = message.content.get(CONFIG)
    if not isinstance(found, ConfigRecord):
        raise FleetError("The server sent no plan: both need the same version of addapt.")
    return found


def _state(device: Device, plan: Plan, message: Message) -> State:
    try:
        state = arrays_of(message.content.array_records[ARRAYS])
    except (LookupError, ValueError) as error:
        raise FleetError(f"The server sent arrays that are none: {error}") from error
    check_state(state, device.forms(plan))
    return state


def _counts(judged: Scores) -> dict[str, int]:
    """Say how many images were held out, and how many of them were recognised."""
    return {JUDGED: int(judged.images.sum()), CORRECT: int(judged.correct.sum())}


@app.query()
def offer(message: Message, context: Context) -> Message:
    """Say what there is to learn from."""

    def answer(settings: _Settings, message: Message, context: Context) -> RecordDict:
        said = settings.device().offer()
        return RecordDict({OFFER: ConfigRecord({OFFER: said.to_text()})})

    return _answering(answer, message, context)


@app.train()
def learn(message: Message, context: Context) -> Message:
    """Judge what all have learned so far, and go on with it."""

    def answer(settings: _Settings, message: Message, context: Context) -> RecordDict:
        device, plan, config = settings.device(), _plan(settings, message), _config(message)
        state, number = _state(device, plan, message), config.get(ROUND)
        pull = config.get(PULL, 0.0)
        if type(number) is not int or not 0 <= number < plan.rounds or not isinstance(pull, float):
            raise FleetError(f"The server asked for round {number!r:.40} of {plan.rounds}.")
        judged = device.judge(plan, state)
        kept = OptimiserFile(settings.store, plan, settings.images)
        learned = device.learn(plan, number, state, pull, kept.load(number))
        kept.save(number, learned.optimiser)
        if settings.news:
            tell(
                settings.news,
                round=number + 1,
                rounds=plan.rounds,
                accuracy=judged.scores.accuracy,
                process_peak_bytes=process_peak_bytes(),
            )
        sent = learned.state
        if is_common(number, plan.rounds):
            sent = with_common_bias(sent, state, judged.off)
        metrics = MetricRecord({IMAGES: learned.images, **_counts(judged.scores)})
        return RecordDict({ARRAYS: record_of(sent), METRICS: metrics})

    return _answering(answer, message, context)


@app.evaluate()
def end(message: Message, context: Context) -> Message:
    """Judge what all have learned in the end, and keep it if that was asked for here."""

    def answer(settings: _Settings, message: Message, context: Context) -> RecordDict:
        device, plan = settings.device(), _plan(settings, message)
        state = _state(device, plan, message)
        judged = device.judge(plan, state)
        OptimiserFile(settings.store, plan, settings.images).remove()
        kept = None
        if settings.fetch:
            kept = keep_on_device(
                device, plan, state, judged.scores, settings.store, personal=settings.personal
            )
        if settings.news:
            tell(
                settings.news,
                over=True,
                accuracy=judged.scores.accuracy,
                file=None if kept is None else str(kept.file),
                personal=False if kept is None else kept.is_personal,
                process_peak_bytes=process_peak_bytes(),
            )
        return RecordDict({METRICS: MetricRecord({**_counts(judged.scores)})})

    return _answering(answer, message, context)
