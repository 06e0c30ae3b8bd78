"""A budget: what fits is chosen, what does not is refused before anything is read."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from addapt import Backbone, GateConfig, Learner, register_method
from addapt._errors import OptionError
from addapt.engines.base import Engine, Images, Logits
from addapt.learning import Controls, LearningStopped, Progress, budget, teaching
from addapt.learning.budget import above_bytes, choose, keep_to_budget, micro_batches
from addapt.learning.evaluation import EVALUATION_BATCH
from addapt.learning.lesson import find_images, prepare_lesson
from addapt.learning.trial import Question, Trial
from addapt.memory import allocator, process_peak_bytes
from addapt.methods import DA3, Finetune, Head, Method, registry
from tests.conftest import MakeFolder
from tests.fake_engine import FakeEngine, FakeModel
from tests.learning.test_own_methods import Scaled, attach_scaled

MB = 1_000_000
PX = 32
QUICK: dict[str, Any] = {"epochs": 1, "batch": 8, "image_px": PX, "method": "head"}
TRIAL = Trial(None, 100 * MB, {1: 10 * MB, 2: 20 * MB}, 5 * MB, 0.0, 100_000)


@pytest.fixture
def learner(tmp_path: Path) -> Learner:
    return Learner(FakeEngine(), tmp_path / "store")


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Question]:
    """Have a process of 100 MB, and `TRIAL` told; return what was asked."""
    asked: list[Question] = []

    def tell(engine: Engine, question: Question) -> Trial:
        asked.append(question)
        return TRIAL

    monkeypatch.setattr(budget, "try_steps", tell)
    monkeypatch.setattr(FakeEngine, "held_bytes", lambda self: 100 * MB)
    monkeypatch.setattr("addapt.learning.controls.process_peak_bytes", lambda: None)
    return asked


def need(size: int, images: int = 24) -> int:
    """Return the smallest budget for a size under the fixture `tried`."""
    return 100 * MB + images * (200 + 8 * 3) + above_bytes(TRIAL, size, 0)


def within(budget_bytes: int, **controls: Any) -> Controls:
    return Controls(budget_bytes=budget_bytes, **controls)


def test_the_largest_phase_counts() -> None:
    assert [above_bytes(TRIAL, size, 0) for size in (1, 2, 4)] == [10.5 * MB, 21 * MB, 42 * MB]
    assert above_bytes(TRIAL, 1, 30 * MB) == 35.2 * MB
    assert above_bytes(TRIAL, 4, 30 * MB) == 42 * MB
    assert above_bytes(replace(TRIAL, domain_bytes=10 * MB), 1, 0) == 25 * MB


def test_choice() -> None:
    needed = {1: 300 * MB, 2: 310 * MB, 4: 330 * MB}
    assert choose(needed, 329 * MB, None, None) == 2
    assert choose(needed, 330 * MB, None, None) == 4
    assert choose(needed, 330 * MB, 2, 4) == 2
    assert choose(needed, 330 * MB, None, 1) == 1  # an unfinished run goes on as it began
    assert choose(needed, 310 * MB, None, 4) == 2
    for asked in (None, 4):
        with pytest.raises(OptionError, match="smallest that would do is 303 MB"):
            choose(needed, 299 * MB, asked, None)
    with pytest.raises(OptionError, match=r"`micro_batch=4` .* 320 MB: .* 330 MB.*`micro_batch=2`"):
        choose(needed, 320 * MB, 4, None)
    sizes = [micro_batches(Head(), largest) for largest in (1, 2, 6, 8)]
    assert sizes == [[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8]]


def test_micro_batch_and_cache_follow_from_the_budget(
    learner: Learner,
    make_folder: MakeFolder,
    tried: list[Question],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caches: list[int] = []
    lean: list[bool] = []

    def watch(found: Any, engine: Engine, seed: int, controls: Controls, aside: Any) -> Any:
        caches.append(controls.cache_bytes)
        lean.append(allocator._is_lean())
        return prepare_lesson(found, engine, seed, controls, aside)

    monkeypatch.setattr(teaching, "prepare_lesson", watch)
    folder = make_folder()
    left = 3 * PX * PX * 7  # seven images
    report = learner.learn("two", folder, controls=within(need(2) + left, cache_bytes=MB), **QUICK)
    assert report.micro_batch == 2
    assert report.budget_bytes == need(2) + left
    assert 0 < (report.process_peak_bytes or 0) <= (process_peak_bytes() or 0)
    assert learner.store.info("two").options["micro_batch"] == 2
    large = within(need(8) + 9 * MB, cache_bytes=MB)
    assert learner.learn("eight", folder, controls=large, **QUICK).micro_batch == 8
    assert caches == [left, MB]
    assert [(question.classes, question.batch) for question in tried] == [(3, 8), (3, 8)]
    report = learner.learn("one", folder, **QUICK)
    assert len(tried) == 2
    assert (report.micro_batch, report.budget_bytes, report.process_peak_bytes) == (8, None, None)
    assert lean == [True, True, False]  # without a budget, memory is kept for speed


def test_validation_takes_few_images_at_a_time(
    learner: Learner,
    make_folder: MakeFolder,
    tried: list[Question],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    logits = FakeModel.logits

    def watch(self: FakeModel, images: Images) -> Logits:
        sizes.append(len(images))
        return logits(self, images)

    monkeypatch.setattr(FakeModel, "logits", watch)
    folder = make_folder()
    learner.learn("x", folder, controls=within(need(2)), val_fraction=0.5, **QUICK)
    assert sizes == 12 * [1]
    sizes.clear()
    learner.learn("y", folder, val_fraction=0.5, **QUICK)
    assert sizes == [EVALUATION_BATCH, 12 - EVALUATION_BATCH]


def test_refusal_before_anything_is_read(
    learner: Learner, make_folder: MakeFolder, tried: list[Question]
) -> None:
    events: list[Progress] = []
    folder, small = make_folder(), within(need(1) - 1, on_progress=events.append)
    with pytest.raises(OptionError, match="smallest that would do is 112 MB"):
        learner.learn("x", folder, controls=small, **QUICK)
    with pytest.raises(OptionError, match="`micro_batch=4` does not fit.*`micro_batch=2`"):
        learner.learn("x", folder, controls=within(need(2)), micro_batch=4, **QUICK)
    assert not events
    assert not learner.store.folder.exists()


def test_batch_statistics_leave_no_choice(make_folder: MakeFolder, tried: list[Question]) -> None:
    engine = FakeEngine()
    found = find_images(make_folder(), engine, image_px=PX, val_fraction=0.1, gates=None)
    # No more than a method recommends, whatever the budget.
    for method, batch, preferred in ((Finetune(), 8, None), (Finetune(), 8, 2), (DA3(), 16, None)):
        controls = within(need(batch))
        allotment = keep_to_budget(engine, method, {"batch": batch}, found, controls, preferred)
        assert allotment.micro_batch == 8
    with pytest.raises(OptionError, match="smallest that would do is 186 MB"):
        keep_to_budget(engine, Finetune(), {"batch": 8}, found, within(need(1)), None)


def test_unfinished_learning_goes_on_with_its_micro_batch(
    learner: Learner, make_folder: MakeFolder, tried: list[Question]
) -> None:
    folder = make_folder()
    with pytest.raises(LearningStopped):
        learner.learn("x", folder, controls=within(need(2), should_stop=lambda: True), **QUICK)
    # There is more memory this time, and still it can go on.
    assert learner.learn("x", folder, controls=within(need(4)), **QUICK).micro_batch == 2


@pytest.fixture
def own_method() -> Iterator[Method]:
    register_method(Scaled, attach=attach_scaled)
    yield Scaled()
    registry.METHODS.pop("scaled", None)
    registry._registered.pop("scaled", None)


@pytest.mark.parametrize("case", ["own method", "blocks", "fine-tuning in float64"])
def test_what_only_this_process_has(
    tiny_backbone: Backbone,
    make_folder: MakeFolder,
    tmp_path: Path,
    own_method: Method,
    case: str,
) -> None:
    """Each with a backbone of one's own, and as without a budget, but for single images."""
    methods = {"own method": own_method, "blocks": DA3(groups=4)}
    options = {**QUICK, "method": methods.get(case, Finetune()), "image_px": 64}
    if case == "blocks":
        options["gates"] = GateConfig("blocks", dynamic=True, compute=0.9)
    backbone = tiny_backbone.double() if "float64" in case else tiny_backbone
    learner, folder = Learner(backbone, tmp_path / "s"), make_folder(px=64)
    with pytest.raises(OptionError, match="smallest that would do"):
        learner.learn("x", folder, controls=within(MB), **options)
    report = learner.learn("x", folder, controls=within(100_000 * MB), **options)
    assert report.micro_batch == 8
    learner.learn("free", folder, **options)
    a, b = (learner.load(name)[1].state() for name in ("x", "free"))
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-4, atol=1e-5)


# Each step's state is saved, which must not take more either. What a process begins with is not
# the same each time: hence the 5 MB.
LEARN = """
import re, sys
from addapt import Controls, Learner
from addapt._errors import OptionError
from addapt.engines import open_engine
engine = open_engine("resnet18", "random")
engine.threads = 1
def learn(budget_mb):
    controls = Controls(budget_bytes=budget_mb * 1_000_000, save_every_s=0.001)
    learner = Learner(engine, sys.argv[2])
    return learner.learn("x", sys.argv[1], image_px=96, batch=2, epochs=1, controls=controls)
try:
    learn(1)
except OptionError as error:
    report = learn(int(re.search("would do is ([0-9]+) MB", str(error))[1]) + 5)
    print(report.budget_bytes, report.process_peak_bytes)
"""


@pytest.mark.skipif(process_peak_bytes() is None, reason="the peak is not known here")
def test_a_real_run_keeps_to_its_budget(make_folder: MakeFolder, tmp_path: Path) -> None:
    words = [sys.executable, "-c", LEARN, str(make_folder(images=4)), str(tmp_path / "store")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    budget_bytes, peak_bytes = map(int, done.stdout.split()[-2:])
    assert 150 * MB < peak_bytes <= budget_bytes < 1000 * MB
