"""Learning within a memory budget: what else it takes than its steps, and what fits.

The budget is for the whole process. Above the loaded backbone, which has answered an image, a
run holds throughout its domain, the best epoch's copy of it, and what it knows of each image.
On top of that comes whichever of these phases takes the most:

- a step, as the planner predicts it;
- between steps, decoding the images that are not cached, and varying a micro-batch of them;
- saving the state, for which it is copied.

Validation takes an image at a time, less than a step. What is then left is for the cache.
"""

import gc
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from addapt._errors import AddaptError, OptionError
from addapt.engines.torch.backbones import BACKBONES, Backbone
from addapt.engines.torch.memory import too_small_budget
from addapt.engines.torch.memory.plan import doubled
from addapt.engines.torch.methods import Method, build_method
from addapt.images.decoding_memory import decoding_bytes
from addapt.learning.forecast import Forecast, forecast
from addapt.learning.prepare import FoundImages
from addapt.memory import format_bytes, rss_bytes, trim

# The planner is held to a tenth.
STEP_MARGIN = 1.1
# A value of an image: as byte, 1, and gathered from the cache, 1; as number, 4; the grid that
# it is varied by, 4 + 8/3; varied, 4; rounded up.
VARYING_BYTES = 18
# An image's path, class and place in the cache.
IMAGE_BYTES = 1000
# The domain's bytes when a state is saved: copied from model and optimiser, 3; the file's
# content, 4. To read it takes as much.
SAVING_COPIES = 7
# Code of decoders, of varying and of writing, and the threads': measured on Linux.
FIRST_USE_BYTES = 14_000_000
# Parts of a batch that is no multiple of the micro-batch; batches differ by one in size.
# Validation has such a part, too.
OTHER_SIZES = 3


@dataclass(frozen=True)
class Allotment:
    """What a budget allows: images in memory at once, and memory for decoded ones."""

    micro_batch: int
    cache_bytes: int


def check_budget(budget_bytes: int, backbone: Backbone, method: Method) -> None:
    """Refuse a budget that makes no sense, and models whose memory cannot be predicted.

    Raises:
        OptionError: one of both.
    """
    if budget_bytes <= 0:
        raise OptionError(f"The budget is {budget_bytes} bytes: give a number above 0.")
    name = backbone.info.name
    without = "Learn without a budget"
    if name not in BACKBONES:
        raise OptionError(
            f"The memory of the backbone {name!r} cannot be predicted, as it is not one of "
            f"{', '.join(BACKBONES)}. {without}, and give a small micro-batch."
        )
    reference = next(backbone.parameters())
    if reference.device.type != "cpu" or reference.dtype != torch.float32:
        raise OptionError(
            f"A budget is for learning on the CPU in float32, but the backbone {name} is on "
            f"{reference.device} in {str(reference.dtype).removeprefix('torch.')}. {without}."
        )
    if not backbone.is_lean and not method.plain:
        raise OptionError(
            f"The memory of the backbone {name} cannot be predicted, as its batch norms are apart "
            f"from its convolutions. Load it without plain=True, or use its lean()."
        )
    try:
        known = type(build_method(method.name)) is type(method)
    except AddaptError:
        known = False
    if not known:
        raise OptionError(
            f"The memory of the method {method.name!r} cannot be predicted, as it is not addapt's "
            f"own. {without}."
        )


def keep_to_budget(
    budget_bytes: int,
    backbone: Backbone,
    method: Method,
    found: FoundImages,
    *,
    batch: int,
    micro_batch: int,
    asked: bool,
    preferred: int | None,
    cache_bytes: int,
) -> Allotment:
    """Choose the largest micro-batch that keeps to the budget, and the size of the cache.

    Args:
        budget_bytes: for the whole process.
        backbone: loaded.
        method: how it is adapted.
        found: the images.
        batch: images a step.
        micro_batch: the most to take at once, as more than the method recommends gains little.
        asked: the user said so, and nothing else will do.
        preferred: that of an unfinished run, which goes on with no other.
        cache_bytes: the most for decoded images.

    Raises:
        OptionError: the budget is too small.
        TrainingError: the memory could not be predicted.
    """
    samples = (*found.contents.train, *found.contents.val)
    classes = len(found.contents.classes)
    # Fewer at once would change batch statistics, and with them the result.
    sizes = [micro_batch] if method.batch_statistics else doubled(micro_batch)
    if preferred is not None and preferred < micro_batch and not method.batch_statistics:
        sizes = sorted({*sizes, preferred})
    predicted = forecast(
        backbone.info.name,
        method,
        batch=batch,
        micro_batches=sizes,
        image_px=found.image_px,
        classes=classes,
    )
    headers_bytes = decoding_bytes(samples, found.image_px)
    needed = needed_bytes(
        predicted,
        held_bytes=held_bytes(backbone, found.image_px) or predicted.process_bytes,
        decoding_bytes=headers_bytes,
        image_px=found.image_px,
        images=len(samples),
        classes=classes,
    )
    chosen = choose(needed, budget_bytes, micro_batch if asked else None, preferred)
    return Allotment(chosen, min(cache_bytes, budget_bytes - needed[chosen]))


def held_bytes(backbone: Backbone, image_px: int) -> int | None:
    """Return what this process holds once the backbone has answered an image; None off Linux."""
    with torch.no_grad():
        x = torch.zeros(1, 3, image_px, image_px).contiguous(memory_format=torch.channels_last)
        backbone(x)
    gc.collect()
    trim()
    return rss_bytes()


def needed_bytes(
    predicted: Forecast,
    *,
    held_bytes: int,
    decoding_bytes: int,
    image_px: int,
    images: int,
    classes: int,
) -> dict[int, int]:
    """Return the smallest budget for each size of micro-batch, with no image cached.

    Args:
        predicted: of the steps.
        held_bytes: by the process before the first step.
        decoding_bytes: of as many images at once as there are threads.
        image_px: side of the images.
        images: how many there are.
        classes: of the head.
    """
    throughout = (
        held_bytes
        + FIRST_USE_BYTES
        + 2 * predicted.domain_bytes
        # Logits of validation are gathered, in parts and as one; half of the images at most.
        + images * (IMAGE_BYTES + 4 * classes)
    )
    saving = predicted.resting_bytes + SAVING_COPIES * predicted.domain_bytes
    needed = {}
    for size, peak_bytes in predicted.peak_bytes.items():
        step = round(STEP_MARGIN * peak_bytes)
        varying = VARYING_BYTES * size * 3 * image_px * image_px
        preparing = predicted.resting_bytes + decoding_bytes + varying
        compiled = predicted.shape_bytes * min(size - 1, OTHER_SIZES)
        needed[size] = throughout + compiled + max(step, preparing, saving)
    return needed


def choose(
    needed: Mapping[int, int], budget_bytes: int, asked: int | None, preferred: int | None
) -> int:
    """Return the size of micro-batch to learn with.

    Args:
        needed: the smallest budget of each.
        budget_bytes: that given.
        asked: the only one that will do.
        preferred: to be taken if it fits.

    Raises:
        OptionError: nothing fits, or not what was asked for.
    """
    fitting = [size for size, least in needed.items() if least <= budget_bytes]
    if asked is not None and fitting and asked not in fitting:
        raise OptionError(
            f"--micro-batch {asked} does not fit into a budget of {format_bytes(budget_bytes)}: it "
            f"takes {format_bytes(needed[asked], round_up=True)}. Give that much, or "
            f"--micro-batch {max(fitting)}, which fits."
        )
    if not fitting:
        raise too_small_budget(min(needed.values()))
    if asked is not None:
        return asked
    return preferred if preferred in fitting else max(fitting)
