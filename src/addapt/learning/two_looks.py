"""Two looks at an image: one at a small version of it, and one in full where that is not sure.

Each look is a domain's model of its own, learned as any other from images of its size: adaptor and
head of one need not suit the other. Both are kept in one file, the first look's tensors under
names that begin with `FIRST`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from addapt._errors import OptionError
from addapt.engines.base import (
    Answers,
    Engine,
    Form,
    Images,
    Labels,
    Logits,
    Model,
    Recogniser,
    State,
)
from addapt.gates import GateConfig, GateReport, Looks, scaled_px, share_words
from addapt.images import ImageSet, resize_images
from addapt.learning.evaluation import logits_of, softmax
from addapt.learning.scores import Scores
from addapt.methods import Method

FIRST = "first_look."
# Of the compute that two looks may take, the part that goes into the first.
FIRST_SHARE = 0.5
ALWAYS = 2.0  # a threshold that no probability reaches: every image is looked at again

Sureness = npt.NDArray[np.float32]
Places = npt.NDArray[np.bool_]


class TwoLooks(Recogniser):
    """Asks the first model of images made smaller, and the other of those it is not sure of.

    With all gates open it is the other model alone, bit for bit.

    Args:
        full: recognises images in full.
        first: recognises them made smaller.
        looks: how small, and what is sure enough.
        interpolation: by which they are made smaller.
    """

    def __init__(self, full: Model, first: Model, looks: Looks, interpolation: str) -> None:
        self.full, self.first, self.looks = full, first, looks
        self._interpolation = interpolation
        self._active = True

    def use_gates(self, on: bool) -> None:
        """Look twice, or once in full."""
        self._active = on

    def logits(self, images: Images) -> Logits:
        """Compute those of the last look that each image gets."""
        if not self._active:
            return self.full.logits(images)
        logits = self._first_logits(images)
        again = self._not_sure(logits)
        if len(again):
            logits[again] = self.full.logits(images[again])
        return logits

    def answers(self, images: Images) -> Answers:
        """Compute logits and features of the last look that each image gets."""
        if not self._active:
            return self.full.answers(images)
        logits, features = self.first.answers(self._made_small(images))
        again = self._not_sure(logits)
        if len(again):
            logits[again], features[again] = self.full.answers(images[again])
        return Answers(logits, features)

    def multiply_adds(self, images: Images) -> int:
        """Count those of both looks, of the second for the images that get it."""
        if not self._active:
            return self.full.multiply_adds(images)
        again = self._not_sure(self._first_logits(images))
        second = self.full.multiply_adds(images[again]) if len(again) else 0
        return self.first.multiply_adds(self._made_small(images)) + second

    def open_shares(self, batches: Iterable[Images]) -> tuple[tuple[float, ...], ...]:
        """Return which share of the images gets one look, and which two."""
        looked = [(len(self._not_sure(self._first_logits(x))), len(x)) for x in batches]
        second = sum(again for again, _ in looked) / sum(count for _, count in looked)
        return ((1 - second, second),)

    def state(self) -> State:
        """Copy all that belongs to either look."""
        return join_looks(self.full.state(), self.first.state())

    @property
    def trained(self) -> frozenset[str]:
        """The names of both."""
        both = (dict.fromkeys(model.trained) for model in (self.full, self.first))
        return frozenset(join_looks(*both))

    def once(self) -> "TwoLooks":
        """Return what looks once, at small images: all that it says is sure enough."""
        looks = Looks(self.looks.first_px, 0.0, 0.0)
        return TwoLooks(self.full, self.first, looks, self._interpolation)

    def _first_logits(self, images: Images) -> Logits:
        return self.first.logits(self._made_small(images))

    def _made_small(self, images: Images) -> Images:
        return resize_images(images, self.looks.first_px, self._interpolation)

    def _not_sure(self, logits: Logits) -> npt.NDArray[np.int64]:
        return np.flatnonzero(not_sure(logits, self.looks))


def recogniser_of(models: tuple[Model, ...], looks: Looks | None, interpolation: str) -> Recogniser:
    """Return what recognises by the models of a domain; of two looks that in full comes first."""
    if looks is None:
        return models[0]
    full, first = models
    return TwoLooks(full, first, looks, interpolation)


def settle_looks(
    engine: Engine,
    models: tuple[Model, ...],
    first_px: int,
    config: GateConfig,
    val: ImageSet,
    batch: int,
) -> tuple[Looks, GateReport, Scores]:
    """Choose what is sure enough on images held out; say what it does to these.

    Args:
        engine: computes, with one network in memory at once.
        models: the look in full, and the first.
        first_px: side of the images of the first.
        config: the share of compute, or the loss, that is asked for.
        val: the images held out, in full.
        batch: of them are in memory at once.
    """
    (full, first), small = models, val.resized(first_px)
    logits = logits_of(full, val, batch)
    engine.release()
    first_logits = logits_of(first, small, batch)
    engine.release()
    costs = [model.multiply_adds(x.batch([0])) for model, x in ((first, small), (full, val))]
    first_share, labels = costs[0] / costs[1], val.labels
    looks = choose_looks(first_logits, logits, labels, first_px, first_share, config)
    last = last_logits(first_logits, logits, looks)
    scores, ungated = (Scores.of(labels, each.argmax(1), each.shape[1]) for each in (last, logits))
    second = looks.second_share
    report = GateReport(
        first_share + second, scores.accuracy, ungated.accuracy, ((1 - second, second),)
    )
    return looks, report, scores


def choose_looks(
    first: Logits,
    full: Logits,
    labels: Labels,
    first_px: int,
    first_share: float,
    config: GateConfig,
) -> Looks:
    """Choose what is sure enough by what each look said of images held out.

    Args:
        first: logits (n, classes) of the first look.
        full: those of the look in full.
        labels: of the images (n).
        first_px: side of the images of the first look.
        first_share: what it costs, as a share of the look in full.
        config: the share of compute, or the loss, that is asked for.
    """
    sure = sureness(first)
    if config.lose is None:
        threshold = threshold_for_share(sure, config.compute - first_share)
    else:
        lost = (full.argmax(1) == labels) & (first.argmax(1) != labels)
        threshold = threshold_for_loss(sure, lost, config.lose / 100)
    return Looks(first_px, threshold, float((sure < threshold).mean()))


def last_logits(first: Logits, full: Logits, looks: Looks) -> Logits:
    """Return the logits (n, classes) of the last look that each image gets."""
    return np.where(not_sure(first, looks)[:, None], full, first)


def not_sure(first: Logits, looks: Looks) -> Places:
    """Say which images get a second look, by the logits (n, classes) of the first."""
    return sureness(first) < looks.threshold


def sureness(logits: Logits) -> Sureness:
    """Return the probability of each image's most probable class."""
    highest: Sureness = softmax(logits).max(1)
    return highest


def threshold_for_share(sure: Sureness, share: float) -> float:
    """Return the threshold below which lies at most this share of the images."""
    below = int(max(0.0, share) * len(sure))
    return ALWAYS if below >= len(sure) else float(np.sort(sure)[below])


def threshold_for_loss(sure: Sureness, lost: Places, share: float) -> float:
    """Return the lowest threshold at which so many images at most lose their right answer.

    `lost` are those that the second look alone gets right. What only the first gets right is not
    set against them: on few images that would be chance.
    """
    order = np.argsort(sure)
    ascending = sure[order]
    lost_from = lost[order][::-1].cumsum()[::-1]
    # Images of the same sureness stay together.
    at_threshold = lost_from[np.searchsorted(ascending, ascending)]
    kept = np.flatnonzero(at_threshold <= share * len(sure))
    return float(ascending[kept[0]]) if len(kept) else ALWAYS


def first_look_px(engine: Engine, px: int, config: GateConfig) -> int:
    """Return the side of the first look at images of `px`.

    Raises:
        OptionError: it leaves nothing of the compute for a second one.
    """
    side = scaled_px(px, config.compute * FIRST_SHARE)
    cost = engine.multiply_adds(side) / engine.multiply_adds(px)
    if cost >= config.compute:
        asked, least = share_words(config.compute, cost)
        raise OptionError(
            f"Two looks at images of {px} px cannot cost {asked} of the compute: the first, at "
            f"{side} px, costs {least} already. Give more, or begin with larger images "
            "(`image_px`)."
        )
    return side


def join_looks(full: Mapping[str, Any], first: Mapping[str, Any]) -> dict[str, Any]:
    """Return by name what both looks have."""
    return {**full, **{f"{FIRST}{name}": value for name, value in first.items()}}


def forms_of(
    engine: Engine, method: Method, classes: int, gates: GateConfig | None
) -> Mapping[str, Form]:
    """Return types and shapes of all that a domain's file keeps; see `Engine.forms`."""
    forms = engine.forms(method, classes, gates)
    return join_looks(forms, forms) if gates is not None and gates.looks_twice else forms


def models_of(
    engine: Engine, method: Method, classes: int, gates: GateConfig | None, stored: State
) -> tuple[Model, ...]:
    """Make the model of a domain from what its file keeps; of one with two looks, both models."""
    if gates is None or not gates.looks_twice:
        return (engine.load_model(method, classes, stored, gates),)
    first = {name: tensor for name, tensor in stored.items() if name.startswith(FIRST)}
    full = {name: tensor for name, tensor in stored.items() if name not in first}
    first = {name.removeprefix(FIRST): tensor for name, tensor in first.items()}
    return tuple(engine.load_model(method, classes, look, gates) for look in (full, first))
