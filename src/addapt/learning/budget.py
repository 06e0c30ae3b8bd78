"""Learning within a memory budget: what it takes, and what fits.

The budget is for the whole process. A trial tells what steps, validation and saving take above the
loaded backbone. Besides, a run knows something of each image, and decodes images between steps;
what is then left may keep decoded images, the others of which lie in a file on disk.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from addapt._errors import OptionError
from addapt.engines.base import Engine
from addapt.images import decoding_bytes
from addapt.learning.checkpoint import unfinished_micro_batch
from addapt.learning.controls import Controls
from addapt.learning.job import Asked, batch_of
from addapt.learning.lesson import FoundImages
from addapt.learning.trial import Question, Trial, held_after_answer
from addapt.learning.trial_process import try_steps
from addapt.memory import format_bytes
from addapt.methods import Method

# Two trials of the same differ by some percent, as the heap falls out.
STEP_MARGIN = 1.05
SLACK = 1.01
# What is noted of an image whose name is long, and its logits of validation for each class.
IMAGE_BYTES, LOGIT_BYTES = 200, 8


@dataclass(frozen=True)
class Allotment:
    """What a budget allows: images in memory at once, and memory for decoded ones."""

    micro_batch: int
    cache_bytes: int


def allot(
    engine: Engine,
    method: Method,
    asked: Asked,
    found: FoundImages,
    controls: Controls,
    unfinished: Path | None,
) -> Allotment:
    """Choose the images in memory at once, and the memory for decoded ones.

    A run may go on in the folder `unfinished`.

    Raises:
        OptionError, TrainingError: as `keep_to_budget`.
    """
    if controls.budget_bytes is None:
        at_once = engine.at_once(found.image_px, batch_of(asked, method))
        return Allotment(asked.get("micro_batch") or at_once, controls.cache_bytes)
    preferred = None if unfinished is None else unfinished_micro_batch(unfinished)
    return keep_to_budget(engine, method, asked, found, controls, preferred)


def keep_to_budget(
    engine: Engine,
    method: Method,
    asked: Asked,
    found: FoundImages,
    controls: Controls,
    preferred: int | None,
) -> Allotment:
    """Choose the largest micro-batch that keeps to the budget, and the size of the cache.

    One that the user asked for is the only one that will do; `preferred` is that of an unfinished
    run, which goes on with no other.

    Raises:
        OptionError: the budget is too small.
        TrainingError: what it takes could not be tried.
    """
    assert controls.budget_bytes is not None
    batch = batch_of(asked, method)
    only = asked.get("micro_batch")
    # More than the method recommends gains little.
    recommended = method.recipe.micro_batch or batch
    largest = min(only or recommended, only or engine.at_once(found.image_px, batch), batch)
    sizes = micro_batches(method, largest)
    if preferred is not None and preferred < largest and not method.batch_statistics:
        sizes = sorted({*sizes, preferred})
    samples = found.contents.samples
    classes = len(found.contents.classes)
    question = Question(method, classes, found.image_px, batch, asked.get("gates"))
    trial = try_steps(engine, question)
    held_bytes = held_after_answer(engine, found.image_px) or trial.held_bytes or 0
    decoding = decoding_bytes(samples.paths(), found.image_px, engine.threads)
    noted = len(samples) * (IMAGE_BYTES + LOGIT_BYTES * classes)
    needed = {size: held_bytes + noted + above_bytes(trial, size, decoding) for size in sizes}
    chosen = choose(needed, controls.budget_bytes, only and largest, preferred)
    return Allotment(chosen, min(controls.cache_bytes, controls.budget_bytes - needed[chosen]))


def above_bytes(trial: Trial, micro_batch: int, decoding_bytes: int) -> int:
    """Return what learning takes above the loaded backbone, with no image cached."""
    # Images that are not cached are decoded between two steps.
    decoding = trial.resting_bytes + 2 * trial.domain_bytes + decoding_bytes
    return max(round(STEP_MARGIN * trial.peak_bytes(micro_batch)), decoding)


def micro_batches(method: Method, largest: int) -> list[int]:
    """Return 1, 2, 4 ... and `largest`, which is the only one where statistics depend on it."""
    if method.batch_statistics:
        return [largest]
    return [*(2**power for power in range((largest - 1).bit_length())), largest]


def choose(
    needed: Mapping[int, int], budget_bytes: int, asked: int | None, preferred: int | None
) -> int:
    """Return the micro-batch that is asked for, the preferred one if it fits, or the largest.

    `needed` is the smallest budget of each.

    Raises:
        OptionError: nothing fits, or not what was asked for.
    """
    fitting = [size for size, least in needed.items() if least <= budget_bytes]
    if asked is not None and fitting and asked not in fitting:
        raise OptionError(
            f"`micro_batch={asked}` does not fit into a budget of {format_bytes(budget_bytes)}: it "
            f"takes {format_bytes(needed[asked], round_up=True)}. Give that much, or "
            f"`micro_batch={max(fitting)}`, which fits."
        )
    if not fitting:
        raise too_small_budget(min(needed.values()))
    if asked is not None:
        return asked
    return preferred if preferred in fitting else max(fitting)


def too_small_budget(smallest_bytes: int) -> OptionError:
    """Return the error that names the smallest budget that would do."""
    # The next trial may find a little more.
    smallest = format_bytes(round(SLACK * smallest_bytes), round_up=True)
    return OptionError(
        f"No micro-batch keeps to this budget: the smallest that would do is {smallest}. Give that "
        "much, smaller images, another method, or a smaller backbone."
    )
