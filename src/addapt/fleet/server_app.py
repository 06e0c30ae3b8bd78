"""What Flower runs on the server: devices agree on classes, learn round by round, and are done."""

import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from flwr.app import (
    ArrayRecord,
    ConfigRecord,
    Context,
    Message,
    MessageType,
    RecordDict,
)
from flwr.serverapp import Grid, ServerApp

from addapt._errors import AddaptError, FleetError
from addapt._text import printable
from addapt.engines import open_engine
from addapt.engines.base import Engine
from addapt.fleet.keeping import Progress, keep_on_server, load_progress, save_progress
from addapt.fleet.messages import (
    ARRAYS,
    CONFIG,
    OFFER,
    PLAN,
    arrays_of,
    judged_of,
    record_of,
    refusal_of,
)
from addapt.fleet.names import DeviceNames
from addapt.fleet.plan import MOST_IMAGES, Offer, Plan, agree_on_classes, agree_on_size, lacking
from addapt.fleet.server_settings import ServerSettings
from addapt.fleet.strategy import CarefulStrategy
from addapt.methods import build_method

app = ServerApp()

LOOK_EVERY_S = 1.0
ASK_S = 120.0  # for what devices have


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Lead a fleet from its first round, or the one it was left at, to a domain in the store."""
    settings = ServerSettings.of(dict(context.run_config))
    try:
        _lead(grid, settings)
    except Exception as error:  # whoever waits for the end must hear of it
        known = isinstance(error, AddaptError)
        settings.tell(refused=str(error) if known else f"{type(error).__name__}: {error}")
        raise


def _lead(grid: Grid, settings: ServerSettings) -> None:
    engine = open_engine(settings.backbone, settings.weights, engine="onnx")
    before = None if settings.restart else load_progress(settings.store, settings.name)
    names = DeviceNames()
    offers = _gather(grid, settings, engine, None if before is None else before.plan, names)
    if before is None:
        plan = _plan(settings, engine, list(offers.values()))
        first = engine.new_model(plan.method, len(plan.classes), seed=plan.seed).state()
        before = Progress(plan, 0, (), first)
    plan = before.plan
    settings.tell(
        devices=[
            {
                "name": names.of(device),
                "images": sum(offer.images.values()),
                "lacking": lacking(offer, plan.classes),
            }
            for device, offer in offers.items()
        ],
        classes=list(plan.classes),
        image_px=plan.image_px,
        done=before.done,
        rounds=plan.rounds,
    )

    forms = dict(engine.forms(plan.method, len(plan.classes)))
    strategy = CarefulStrategy(
        settings.strategy,
        settings.min_devices,
        settings.privacy,
        forms,
        before.done,
        MOST_IMAGES,
        names,
        settings.leave_out,
    )
    progress = before
    if before.done < plan.rounds:
        result = strategy.start(
            grid,
            record_of(before.state),
            num_rounds=plan.rounds - before.done,
            timeout=settings.round_timeout_s,
            train_config=ConfigRecord({PLAN: plan.to_text()}),
            evaluate_fn=partial(_after_round, settings, strategy, before, time.monotonic()),
        )
        if not strategy.images:
            raise FleetError(
                "No device sent anything that could be used, in any round, so that nothing was "
                "learned. Who was left out, and why, stands above: mend that, and go on with the "
                "same command."
            )
        progress = replace(before, done=plan.rounds, state=arrays_of(result.arrays))
    _end(grid, settings, engine, progress, strategy, names)


def _gather(
    grid: Grid, settings: ServerSettings, engine: Engine, plan: Plan | None, names: DeviceNames
) -> dict[int, Offer]:
    """Wait until enough devices are there that can take part; return what they have."""
    offers: dict[int, Offer] = {}
    refused: set[int] = set()
    told = -1
    while True:
        here = set(grid.get_node_ids())
        offers = {device: offer for device, offer in offers.items() if device in here}
        new = here - offers.keys() - refused
        for reply in _ask(grid, new, MessageType.QUERY, RecordDict(), ASK_S):
            device, name = reply.metadata.src_node_id, names.hear(reply)
            try:
                offers[device] = _offer_of(reply, engine, plan)
            except FleetError as error:
                refused.add(device)
                settings.leave_out(name, str(error))
        if told != len(offers):
            told = len(offers)
            settings.tell(waiting=told, needed=settings.min_devices)
        if len(offers) >= settings.min_devices and not new:
            return offers
        time.sleep(LOOK_EVERY_S)


def _offer_of(reply: Message, engine: Engine, plan: Plan | None) -> Offer:
    """Read what a device has, and refuse one that cannot take part."""
    if reply.has_error():
        raise FleetError(f"it failed: {printable(str(reply.error.reason))}")
    if why := refusal_of(reply.content):
        raise FleetError(why)
    found = reply.content.get(OFFER)
    if not isinstance(found, ConfigRecord):
        raise FleetError("it offers nothing")
    offer, own = Offer.from_text(str(found.get(OFFER))), engine.backbone
    if (offer.backbone, offer.weights_sha256) != (own.name, own.weights_sha256):
        raise FleetError(f"it has another backbone or other weights ({printable(offer.backbone)})")
    if plan is not None and (new := sorted(set(offer.images) - set(plan.classes))):
        raise FleetError(
            f"it has the class {printable(new[0])!r}, without which the fleet has begun"
        )
    return offer


def _plan(settings: ServerSettings, engine: Engine, offers: list[Offer]) -> Plan:
    method = build_method(settings.method).for_backbone(len(engine.backbone.blocks))
    engine.require(method, None)
    return Plan(
        name=settings.name,
        classes=agree_on_classes(offers),
        method=method,
        image_px=settings.image_px or agree_on_size(offers),
        rounds=settings.rounds,
        seed=settings.seed,
        backbone=engine.backbone.name,
        weights_sha256=engine.backbone.weights_sha256,
    )


def _after_round(
    settings: ServerSettings,
    strategy: CarefulStrategy,
    before: Progress,
    started: float,
    server_round: int,
    arrays: ArrayRecord,
) -> None:
    """Write what has been learned, and say what devices made of what was there before."""
    if server_round == 0:
        return
    done = before.done + server_round
    accuracies = (*before.accuracies, *strategy.accuracies)
    if strategy.images:  # or rounds would count in which nobody has learned anything yet
        save_progress(
            settings.store,
            replace(before, done=done, accuracies=accuracies, state=arrays_of(arrays)),
        )
    settings.tell(
        round=done,
        rounds=before.plan.rounds,
        devices=strategy.devices,
        accuracy=accuracies[-1] if accuracies else None,
        bytes=strategy.bytes,
        left_s=(time.monotonic() - started) / server_round * (before.plan.rounds - done),
    )


def _end(
    grid: Grid,
    settings: ServerSettings,
    engine: Engine,
    progress: Progress,
    strategy: CarefulStrategy,
    names: DeviceNames,
) -> None:
    """Show all devices what was learned in the end, and write the domain."""
    content = RecordDict(
        {
            ARRAYS: record_of(progress.state),
            CONFIG: ConfigRecord({PLAN: progress.plan.to_text()}),
        }
    )
    judged = correct = 0
    devices = set(grid.get_node_ids())
    silent = set(devices)
    for reply in _ask(grid, devices, MessageType.EVALUATE, content, settings.round_timeout_s):
        name = names.hear(reply)
        if reply.has_error():
            continue
        silent.discard(reply.metadata.src_node_id)
        if why := refusal_of(reply.content):
            settings.leave_out(name, why)
            continue
        images, right = judged_of(reply.content, MOST_IMAGES)
        judged, correct = judged + images, correct + right
    for device in silent:
        settings.leave_out(names.of(device), "it did not answer at the end")
    file = keep_on_server(
        engine,
        progress,
        settings.store,
        devices=len(strategy.images),
        images=sum(strategy.images.values()),
        judged=judged,
        correct=correct,
    )
    settings.tell(
        file=str(file),
        accuracy=correct / judged if judged else None,
        classes=list(progress.plan.classes),
    )


def _ask(
    grid: Grid, devices: Iterable[int], kind: str, content: RecordDict, timeout_s: float
) -> Iterable[Message]:
    messages = [
        Message(content=content, message_type=kind, dst_node_id=device) for device in devices
    ]
    return grid.send_and_receive(messages, timeout=timeout_s) if messages else []
