"""What a learned domain says of images, with its gates or without."""

from collections.abc import Callable, Sequence

import torch

from addapt._errors import DataError
from addapt.domains import DomainInfo
from addapt.engines.torch.methods import AdaptedModel, switch_gates
from addapt.images import ImageSet, Sample, load_images
from addapt.learning.gating import TIMED_IMAGES, gates_from, require_gates, speed_up, ungated_px
from addapt.learning.loop import predict_logits
from addapt.learning.progress import OnProgress, Progress
from addapt.learning.reports import ClassScore, Evaluation, Prediction


def recognise(
    info: DomainInfo,
    model: AdaptedModel,
    samples: Sequence[Sample],
    *,
    top: int,
    gated: bool,
    on_unreadable: Callable[[str], None] | None,
) -> list[Prediction]:
    """Name the most probable classes of each image; arguments as those of `Learner.predict`."""
    px = info.image_px if gated else ungated_px(info)
    images, unreadable = load_images(samples, px, info.interpolation, refuse_many_unreadable=False)
    for message in unreadable:
        if on_unreadable is None:
            raise DataError(" ".join(unreadable))
        on_unreadable(message)
    if not images.samples:
        return []
    probabilities = predict_logits(model, images).softmax(1)
    best = probabilities.topk(min(top, len(info.classes)), dim=1)
    predictions = []
    for sample, values, indices in zip(
        images.samples, best.values.tolist(), best.indices.tolist(), strict=True
    ):
        ranked = tuple((info.classes[i], p) for i, p in zip(indices, values, strict=True))
        predictions.append(Prediction(sample.path, *ranked[0], ranked, gated))
    return predictions


def evaluate_samples(
    domain: str,
    info: DomainInfo,
    model: AdaptedModel,
    samples: Sequence[Sample],
    *,
    gated: bool,
    cache_bytes: int,
    on_progress: OnProgress,
) -> Evaluation:
    """Compare what the model says with the labels; arguments as those of `Learner.evaluate`."""
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    images, unreadable = load_images(
        samples,
        info.image_px if gated else ungated_px(info),
        info.interpolation,
        cache_bytes,
        on_progress=lambda done, total: on_progress(Progress("reading images", done, total)),
    )
    predicted = predict_logits(model, images).argmax(1)
    confusion = multiclass_confusion_matrix(predicted, images.labels, len(info.classes))
    correct = confusion.diag().tolist()
    of_class = confusion.sum(1).tolist()
    return Evaluation(
        domain=domain,
        accuracy=sum(correct) / len(images),
        images=len(images),
        per_class=tuple(
            ClassScore(label, n, right, right / n if n else None)
            for label, n, right in zip(info.classes, of_class, correct, strict=True)
        ),
        confusion=confusion,
        unreadable=unreadable,
        gated=gated,
    )


class GateDecisions:
    """Whether the gates of domains make them faster here, each tried once."""

    def __init__(self) -> None:
        self._faster: dict[tuple[object, ...], bool] = {}

    def decide(
        self,
        domain: str,
        info: DomainInfo,
        model: AdaptedModel,
        samples: Sequence[Sample],
        wanted: bool | None,
    ) -> bool:
        """Switch a model's gates on or off, as is wanted or as is faster; return which.

        Args:
            domain: its name.
            info: what is known about it.
            model: its model.
            samples: images; the first are tried with.
            wanted: None means whatever is faster.

        Raises:
            OptionError: gates are wanted, but there are none.
        """
        if wanted:
            require_gates(domain, info)
        if gates_from(info) is None:
            return False
        on = wanted
        if on is None:
            key = domain, info.date, torch.get_num_threads()
            if key not in self._faster:
                self._faster[key] = _are_faster(info, model, samples)
            on = self._faster[key]
        switch_gates(model, on)
        return on


def _are_faster(info: DomainInfo, model: AdaptedModel, samples: Sequence[Sample]) -> bool:
    sizes = info.image_px, ungated_px(info)
    gated, ungated = (_first(samples, px, info.interpolation) for px in sizes)
    return not len(gated) or speed_up(model, gated, ungated) > 1


def _first(samples: Sequence[Sample], px: int, interpolation: str) -> ImageSet:
    """Read some images to try with; those that cannot be read are told about later."""
    images, _ = load_images(samples[:TIMED_IMAGES], px, interpolation, refuse_many_unreadable=False)
    return images
