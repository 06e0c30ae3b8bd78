"""What is left of a fleet when it has learned: domains in stores, and the server's last round."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from addapt._disk import disk_reason, make_folder, write_atomically
from addapt._errors import DomainError, FleetError
from addapt.domains import DomainInfo, Store, writing
from addapt.domains.header import read_header
from addapt.domains.info import CALIBRATION_ERROR, TEMPERATURES
from addapt.domains.sealed import seal, unseal
from addapt.engines.base import Engine, State
from addapt.fleet.device import Device
from addapt.fleet.plan import Plan
from addapt.learning.description import describe, made_with
from addapt.learning.evaluation import EVALUATION_BATCH
from addapt.learning.scores import Scores
from addapt.learning.signing import calibrate, sign, some_held_out
from addapt.learning.state import EpochRecord, score_fields

FLEET_FILE = "fleet.safetensors"  # beside unfinished learning
FLEET = "fleet"  # in a domain's options
_TEXT = "addapt-fleet-1"


@dataclass(frozen=True)
class Kept:
    """A domain that a device has written: its own version of it if that was better."""

    file: Path
    is_personal: bool


@dataclass(frozen=True)
class Progress:
    """What a server knows after so many rounds; `accuracies` are of the state before each."""

    plan: Plan
    done: int
    accuracies: tuple[float, ...]
    state: State


def keep_on_device(
    device: Device, plan: Plan, state: State, scores: Scores, store: Store, *, personal: bool
) -> Kept:
    """Write what all have learned as a domain, calibrated and signed by the device's own images.

    Args:
        device: whose images they are.
        plan: of all.
        state: in the end.
        scores: of that state, on the images held out.
        store: to write into.
        personal: first go through the images once more, and keep what is better.

    Raises:
        DomainError: the disk refused.
    """
    engine, (lesson, job) = device.engine, device.prepared(plan)
    batch = engine.at_once(plan.image_px, EVALUATION_BATCH)
    is_personal = False
    if personal:
        own = device.learn(replace(plan, rounds=1), 0, state).state
        own_scores = device.judge(plan, own).scores
        is_personal = own_scores.accuracy > scores.accuracy
        if is_personal:
            state, scores = own, own_scores
    held_out = some_held_out(lesson.val)
    calibrated = calibrate(device.model(plan, state), state, held_out, batch, lambda: None)
    learned = device.model(plan, calibrated.tensors)
    signature, error = sign(engine, learned, lesson.train, held_out, batch, said=(calibrated.said,))
    # Of the record only the scores are told.
    best = EpochRecord(
        epoch=plan.rounds,
        train_loss=math.nan,
        val_loss=math.nan,
        lr=0.0,
        train_s=0.0,
        **score_fields(scores),
    )
    info = describe(engine, job, lesson, plan.rounds, best, {})
    report = {TEMPERATURES[0]: calibrated.temperature, CALIBRATION_ERROR: error}
    info = replace(
        info,
        val_report=info.val_report | report,
        options=info.options | {FLEET: {"personal": is_personal}},
        signature=signature.fields(),
    )
    with writing(store.folder, plan.name):
        store.save(plan.name, info, {**learned.stored(calibrated.tensors), **signature.tensors()})
    return Kept(store.path(plan.name), is_personal)


def keep_on_server(
    engine: Engine,
    progress: Progress,
    store: Store,
    *,
    devices: int,
    images: int,
    judged: int,
    correct: int,
) -> Path:
    """Write what all have learned as a domain; without images it gets no signature.

    Args:
        engine: of the backbone.
        progress: after the last round.
        store: to write into.
        devices: that took part in the last round.
        images: that they learned from.
        judged: images that they held out.
        correct: how many of those were recognised in the end.

    Raises:
        DomainError: the disk refused.
    """
    plan = progress.plan
    info = DomainInfo(
        **made_with(engine, plan.method),
        classes=plan.classes,
        image_px=plan.image_px,
        seed=plan.seed,
        train_images=images,
        val_images=judged,
        val_accuracy=correct / judged if judged else 0.0,
        val_report={},
        value_range=(),
        epochs=plan.rounds,
        options={"weights": engine.backbone.weights, FLEET: {"devices": devices}},
        gates={},
        signature={},
    )
    model = engine.new_model(plan.method, len(plan.classes), seed=plan.seed)
    with writing(store.folder, plan.name):
        store.save(plan.name, info, model.stored(progress.state))
        (store.state_path(plan.name) / FLEET_FILE).unlink(missing_ok=True)
    return store.path(plan.name)


def is_unfinished(store: Store, name: str) -> bool:
    """Tell whether a server of this fleet was left before its end."""
    return (store.state_path(name) / FLEET_FILE).exists()


def save_progress(store: Store, progress: Progress) -> None:
    """Write what a server knows, whole or not at all.

    Raises:
        FleetError: the disk refused.
    """
    folder = store.state_path(progress.plan.name)
    text = json.dumps(
        {
            "plan": progress.plan.to_text(),
            "done": progress.done,
            "accuracies": list(progress.accuracies),
        }
    )
    try:
        make_folder(folder)
        write_atomically(folder / FLEET_FILE, *seal(_TEXT, text, progress.state))
    except OSError as error:
        raise FleetError(
            f"What the fleet has learned was not written to {folder} because {disk_reason(error)}"
        ) from error


def load_progress(store: Store, name: str) -> Progress | None:
    """Read what a server knew when it ended; None if there is nothing.

    Raises:
        FleetError: it cannot be used.
    """
    path = store.state_path(name) / FLEET_FILE
    try:
        with path.open("rb") as file:
            header = read_header(file, path)
            said = json.loads(header.texts[_TEXT])
            state = unseal(_TEXT, header, file)
        accuracies: Sequence[float] = said["accuracies"]
        return Progress(Plan.from_text(said["plan"]), said["done"], tuple(accuracies), state)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FleetError(f"{path} could not be read because {disk_reason(error)}") from error
    except (DomainError, LookupError, TypeError, ValueError) as error:
        raise FleetError(
            f"The unfinished fleet in {path} cannot be used ({error}): begin anew with "
            "`restart=True`."
        ) from error
