"""What one device of a fleet does: it learns from its own images, going on from what all know."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from addapt._errors import DataError, FleetError
from addapt.domains import temporary_prefix
from addapt.engines.base import Engine, Form, Model, State
from addapt.fleet.head_bias import Shares, too_rarely
from addapt.fleet.plan import Offer, Plan
from addapt.images import ORDER, ScratchFile, generator_of
from addapt.learning.budget import allot
from addapt.learning.checkpoint import largest_run_bytes
from addapt.learning.controls import Controls
from addapt.learning.evaluation import EVALUATION_BATCH, logits_of
from addapt.learning.job import VAL_FRACTION, Job
from addapt.learning.lesson import FoundImages, Lesson, find_images, prepare_lesson
from addapt.learning.loop import Place, lr_factor, make_step
from addapt.learning.scores import Scores


@dataclass(frozen=True)
class Learned:
    """A state after a round, from so many images, and what the optimiser goes on with."""

    state: State
    images: int
    optimiser: State


@dataclass(frozen=True)
class Judged:
    """What a state makes of the images held out; `off`: how much too rarely it says each class."""

    scores: Scores
    off: Shares


class Device:
    """One device's images and what it does with them.

    Args:
        engine: that learns.
        folder: of class folders.
        name: of the domain.
        scratch: a folder for decoded images, which are gone when the process ends.
        controls: limits of memory.
    """

    def __init__(
        self, engine: Engine, folder: Path, name: str, scratch: Path, controls: Controls
    ) -> None:
        self.engine, self._folder, self._name = engine, folder, name
        self._scratch, self._controls = scratch, controls
        self._lesson: tuple[Plan, Lesson, Job] | None = None

    def offer(self) -> Offer:
        """Say what there is to learn from.

        Raises:
            DataError: there is nothing.
        """
        found = self._found(None)
        contents, backbone = found.contents, self.engine.backbone
        counts = np.bincount(contents.samples.labels, minlength=len(contents.classes))
        return Offer(
            images=dict(zip(contents.classes, counts.tolist(), strict=True)),
            image_px=found.image_px,
            backbone=backbone.name,
            weights_sha256=backbone.weights_sha256,
        )

    def learn(
        self,
        plan: Plan,
        number: int,
        state: State,
        pull: float = 0.0,
        optimiser: State | None = None,
    ) -> Learned:
        """Go through the images once.

        Args:
            plan: of all.
            number: of the round, from 0.
            state: what all have learned so far.
            pull: towards that state, the mu of FedProx.
            optimiser: what it ended the round before with here; without, it begins anew.

        Raises:
            FleetError: the plan is not for this device, or the loss is not finite.
        """
        lesson, job = self.prepared(plan)
        model = self.model(plan, state)
        model.prepare(job.settings)
        model.load_optimiser_state(optimiser or {})
        steps = job.steps_per_epoch(len(lesson.train))
        order = generator_of(job.seed, ORDER, number).permutation(len(lesson.train))
        for step, indices in enumerate(np.array_split(order, steps)):
            place = Place(number * steps + step, plan.rounds * steps)
            loss = make_step(model, job, lesson, indices, place)
            if not math.isfinite(loss):
                raise FleetError(f"The loss became {loss} in round {number + 1}.")
            if pull:
                pull_back(model, state, pull * job.lr * lr_factor(place.step, place.steps))
        return Learned(model.state(), len(lesson.train), model.optimiser_state())

    def judge(self, plan: Plan, state: State) -> Judged:
        """Recognise the images held out."""
        lesson, job = self.prepared(plan)
        labels, at_once = lesson.val.labels, self.engine.at_once(plan.image_px, EVALUATION_BATCH)
        logits = logits_of(self.model(plan, state), lesson.val, at_once)
        return Judged(
            Scores.of(labels, logits.argmax(1), len(plan.classes)),
            too_rarely(logits, labels, lesson.train.labels, job.label_smoothing),
        )

    def forms(self, plan: Plan) -> Mapping[str, Form]:
        """Return types and shapes of what travels."""
        return self.engine.forms(plan.method, len(plan.classes))

    def model(self, plan: Plan, state: State) -> Model:
        """Make the model of a state."""
        model = self.engine.new_model(plan.method, len(plan.classes), seed=plan.seed)
        model.load_state(state)
        return model

    def _found(self, image_px: int | None) -> FoundImages:
        return find_images(
            self._folder,
            self.engine,
            image_px=image_px,
            val_fraction=VAL_FRACTION,
            gates=None,
            fewest_classes=1,  # others have more
        )

    def prepared(self, plan: Plan) -> tuple[Lesson, Job]:
        """Return a plan's lesson and job; images are decoded the first time.

        Raises:
            DataError: there are too few, or of classes that the plan lacks.
            FleetError: the plan is for another backbone.
        """
        if self._lesson is None or self._lesson[0] != plan:
            self._check(plan)
            found = self._found(plan.image_px)
            if new := sorted(set(found.contents.classes) - set(plan.classes)):
                raise DataError(
                    f"The fleet has begun without the class {new[0]!r}: take its images out of "
                    f"{self._folder}, or begin the fleet anew."
                )
            allotment = allot(self.engine, plan.method, plan.asked, found, self._controls, None)
            controls = replace(self._controls, cache_bytes=allotment.cache_bytes)
            aside = ScratchFile(
                self._scratch, temporary_prefix(self._name), largest_run_bytes(self.engine)
            )
            lesson = prepare_lesson(found, self.engine, plan.seed, controls, aside)
            if lesson.value_range:
                raise DataError(
                    "A fleet cannot learn from grey images deeper than 8 bits yet: each device "
                    "would scale them otherwise. Convert them to 8 bits first."
                )
            lesson = lesson.in_classes(plan.classes)
            job = Job.of(plan.asked, plan.method, lesson, allotment.micro_batch)
            self._lesson = plan, lesson, job
        return self._lesson[1], self._lesson[2]

    def _check(self, plan: Plan) -> None:
        own = self.engine.backbone
        if (plan.backbone, plan.weights_sha256) != (own.name, own.weights_sha256):
            raise FleetError(
                f"The fleet learns on the backbone {plan.backbone!r}, this device on {own.name!r}, "
                "or with other weights: give the same `backbone` and `weights` on all."
            )


def pull_back(model: Model, state: State, share: float) -> None:
    """Move a model towards the state that a round began with.

    FedProx adds mu / 2 |w - w0|^2 to the loss. Like weight decay in AdamW, the pull is kept apart
    from the averages of gradients.

    *Source:* Li et al., "Federated Optimization in Heterogeneous Networks", MLSys 2020.
    """
    own = model.state()
    for name in model.trained:
        own[name] += (share * (state[name] - own[name])).astype(own[name].dtype)
    model.load_state(own)
