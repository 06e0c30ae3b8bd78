"""A budget: what fits is chosen, what does not is refused before anything is read."""

import importlib
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from addapt import Learner
from addapt._errors import OptionError, TrainingError
from addapt.domains import read_domain
from addapt.engines.torch.backbones import Backbone, load_backbone
from addapt.engines.torch.memory import LiveTensors, plan
from addapt.engines.torch.methods import DA3, Finetune, Head
from addapt.images import Augmentation
from addapt.learning import LearningStopped, Progress, budget
from addapt.learning.budget import VARYING_BYTES, choose, needed_bytes
from addapt.learning.forecast import Forecast, answer_order, forecast, predict
from addapt.learning.loop import EVALUATION_BATCH
from addapt.memory import process_peak_bytes
from tests.conftest import MakeFolder

MB = 1_000_000
PX = 32
QUICK: dict[str, Any] = {"epochs": 1, "batch": 8, "image_px": PX}
PREDICTED = Forecast(
    peak_bytes={1: 10 * MB, 2: 20 * MB, 4: 40 * MB},
    resting_bytes=5 * MB,
    domain_bytes=100_000,
    shape_bytes=0,
    process_bytes=250 * MB,
)
NOTHING = {"held_bytes": 0, "decoding_bytes": 0, "image_px": PX, "images": 0, "classes": 3}


def learner_module() -> Any:
    return importlib.import_module("addapt.learning.learner")


@pytest.fixture
def learner(tmp_path: Path) -> Learner:
    return Learner(load_backbone("resnet18", "random"), tmp_path / "store")


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Have a process of 100 MB, and `PREDICTED` told; return what it was asked for.

    {} among it is the allocator being set.
    """
    asked: list[dict[str, Any]] = []

    def tell(backbone_name: str, method: object, **order: Any) -> Forecast:
        asked.append({"backbone_name": backbone_name, "method": method, **order})
        sizes = order["micro_batches"]
        return replace(PREDICTED, peak_bytes={size: 10 * MB * size for size in sizes})

    monkeypatch.setattr(budget, "forecast", tell)
    monkeypatch.setattr(budget, "held_bytes", lambda backbone, image_px: 100 * MB)
    monkeypatch.setattr(learner_module(), "configure_allocator", lambda: asked.append({}))
    monkeypatch.setattr("addapt.learning.memory_watch.process_peak_bytes", lambda: None)
    return asked


def need(size: int, images: int = 24) -> int:
    """Return the smallest budget for a size under the fixture `predicted`."""
    told = replace(PREDICTED, peak_bytes={size: 10 * MB * size})
    given = {**NOTHING, "held_bytes": 100 * MB, "images": images}
    return needed_bytes(told, **given)[size]


def test_the_largest_phase_counts() -> None:
    free = needed_bytes(PREDICTED, **NOTHING)
    assert free[2] - free[1] == 11 * MB
    decoding = needed_bytes(PREDICTED, **{**NOTHING, "decoding_bytes": 30 * MB})
    assert decoding[1] - free[1] == pytest.approx((5 + 30 - 11) * MB, abs=MB)
    assert decoding[4] == free[4]
    large = replace(PREDICTED, domain_bytes=10 * MB)
    assert needed_bytes(large, **NOTHING)[1] - free[1] > 80 * MB
    many = needed_bytes(PREDICTED, **{**NOTHING, "images": 10_000})
    assert many[1] - free[1] >= 10_000 * 1000
    shapes = needed_bytes(replace(PREDICTED, shape_bytes=MB), **NOTHING)
    assert [shapes[size] - free[size] for size in (1, 2, 4)] == [0, MB, 3 * MB]


def test_choice() -> None:
    needed = {1: 300 * MB, 2: 310 * MB, 4: 330 * MB}
    assert choose(needed, 329 * MB, None, None) == 2
    assert choose(needed, 330 * MB, None, None) == 4
    assert choose(needed, 330 * MB, 2, 4) == 2
    assert choose(needed, 330 * MB, None, 1) == 1  # an unfinished run goes on as it began
    assert choose(needed, 310 * MB, None, 4) == 2
    with pytest.raises(OptionError, match="smallest that would do is 300 MB"):
        choose(needed, 299 * MB, None, None)
    with pytest.raises(OptionError, match="smallest that would do is 300 MB"):
        choose(needed, 299 * MB, 4, None)
    with pytest.raises(OptionError, match=r"--micro-batch 4 .* 320 MB: .* 330 MB.*--micro-batch 2"):
        choose(needed, 320 * MB, 4, None)


def test_varying_a_image_takes_no_more_than_counted() -> None:
    x = torch.zeros(2, 64, 64, 3, dtype=torch.uint8).permute(0, 3, 1, 2)
    augmentation = Augmentation()
    draws = augmentation.draw(2, torch.Generator())
    with LiveTensors() as live:
        augmentation.apply(x, draws)
    assert live.peak_bytes <= (VARYING_BYTES - 2) * x.numel() * 1.05


def test_micro_batch_and_cache_follow_from_the_budget(
    learner: Learner,
    make_folder: MakeFolder,
    predicted: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caches: list[int] = []

    def watch(*words: Any, **options: Any) -> Any:
        caches.append(options["cache_bytes"])
        return prepare(*words, **options)

    prepare = learner_module().prepare_lesson
    monkeypatch.setattr(learner_module(), "prepare_lesson", watch)
    folder = make_folder()
    left = 3 * PX * PX * 7  # seven images
    report = learner.learn("two", folder, budget_bytes=need(2) + left, **QUICK)
    assert report.micro_batch == 2
    assert report.budget_bytes == need(2) + left
    assert report.process_peak_bytes == process_peak_bytes()
    assert learner.store.info("two").options["micro_batch"] == 2
    learner.learn("four", folder, budget_bytes=need(4) + 9 * MB, cache_bytes=MB, **QUICK)
    assert caches == [left, MB]
    # No more than the method recommends, whatever the budget.
    assert predicted[1]["micro_batches"] == [1, 2, 4, 8]
    assert learner.store.info("four").options["micro_batch"] == 4
    assert predicted[1]["classes"] == 3
    assert len(predicted) == 4  # each set the allocator first
    report = learner.learn("one", folder, **QUICK)
    assert len(predicted) == 4  # without a budget, memory is kept for speed
    assert (report.micro_batch, report.budget_bytes, report.process_peak_bytes) == (8, None, None)


def test_validation_takes_few_images_at_a_time(
    learner: Learner, make_folder: MakeFolder, predicted: list[dict[str, Any]]
) -> None:
    sizes: list[int] = []
    learner.backbone.stem.register_forward_pre_hook(lambda m, inputs: sizes.append(len(inputs[0])))
    folder = make_folder()
    learner.learn("x", folder, budget_bytes=need(2), val_fraction=0.5, method="head", **QUICK)
    assert max(sizes) == 2  # training's; validation takes one by one
    assert sizes.count(1) >= 12  # all that are held out
    learner.learn("y", folder, val_fraction=0.5, method="head", **QUICK)
    assert max(sizes) == EVALUATION_BATCH < 12


def test_refusal_before_anything_is_read(
    learner: Learner, make_folder: MakeFolder, predicted: list[dict[str, Any]]
) -> None:
    events: list[Progress] = []
    with pytest.raises(OptionError, match="smallest that would do is 126 MB") as caught:
        learner.learn(
            "x", make_folder(), budget_bytes=need(1) - 1, on_progress=events.append, **QUICK
        )
    assert caught.value.exit_code == 2
    assert not events
    assert not learner.store.folder.exists()
    with pytest.raises(OptionError, match=r"--micro-batch 4 does not fit.*--micro-batch 2"):
        learner.learn("x", make_folder("b"), budget_bytes=need(2), micro_batch=4, **QUICK)
    assert not learner.store.folder.exists()


def test_batch_statistics_leave_no_choice(
    learner: Learner, make_folder: MakeFolder, predicted: list[dict[str, Any]]
) -> None:
    with pytest.raises(OptionError, match="smallest that would do"):
        learner.learn("x", make_folder(), method=Finetune(), budget_bytes=need(1), **QUICK)
    assert predicted[1]["micro_batches"] == [8]


def test_unfinished_learning_goes_on_with_its_micro_batch(
    learner: Learner, make_folder: MakeFolder, predicted: list[dict[str, Any]]
) -> None:
    folder = make_folder()
    with pytest.raises(LearningStopped):
        learner.learn("x", folder, budget_bytes=need(2), should_stop=lambda: True, **QUICK)
    # There is more memory this time, and still it can go on.
    assert learner.learn("x", folder, budget_bytes=need(4), **QUICK).micro_batch == 2


def test_unfinished_learning_stopped_before_and_while_it_validates(
    learner: Learner, make_folder: MakeFolder
) -> None:
    folder = make_folder()
    options = {**QUICK, "epochs": 3, "method": "head"}
    whole = learner.learn("whole", folder, **options)
    for steps in (3, 0):  # after all of the first epoch, then before its first image is validated
        asked = iter([*[False] * (steps - 1), True])
        with pytest.raises(LearningStopped, match="after 0 of 3"):
            learner.learn("parts", folder, should_stop=asked.__next__, **options)
    parts = learner.learn("parts", folder, **options)
    a, b = (read_domain(report.file)[1] for report in (whole, parts))
    assert all(torch.equal(a[name], b[name]) for name in a)


@dataclass(frozen=True)
class OwnHead(Head):
    """A method that only this test knows."""

    name: ClassVar[str] = "own"


def test_what_cannot_be_predicted(
    tiny_backbone: Backbone, make_folder: MakeFolder, tmp_path: Path
) -> None:
    folder, where = make_folder(), tmp_path / "s"

    def refusal(backbone: Backbone, **options: Any) -> str:
        with pytest.raises(OptionError) as caught:
            Learner(backbone, where).learn("x", folder, **{"budget_bytes": 900 * MB, **options})
        return str(caught.value)

    assert "'tiny' cannot be predicted" in refusal(tiny_backbone)
    lean = load_backbone("resnet18", "random")
    assert "budget is -1 bytes" in refusal(lean, budget_bytes=-1)
    assert "'own' cannot be predicted" in refusal(lean, method=OwnHead())
    assert "plain=True" in refusal(load_backbone("resnet18", "random", plain=True))
    assert "is on cpu in float64" in refusal(lean.double())
    assert not where.exists()


def test_forecast_comes_from_another_process() -> None:
    order: dict[str, Any] = {"batch": 4, "micro_batches": [1, 2], "image_px": PX, "classes": 3}
    told = forecast("resnet18", Head(), **order)
    here = predict("resnet18", Head(), **order)
    assert told.peak_bytes == here.peak_bytes
    assert told.domain_bytes == here.domain_bytes == 4 * (512 * 3 + 3)
    rows = plan("resnet18", Head(), 4, PX, 3).rows
    assert list(told.peak_bytes.values()) == [row.predicted_peak_bytes for row in rows[:2]]
    assert 0 < told.resting_bytes < told.peak_bytes[1]
    assert told.shape_bytes > 0
    assert told.process_bytes > 100 * MB


def test_forecast_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    order: dict[str, Any] = {"batch": 4, "micro_batches": [1], "image_px": PX, "classes": 3}
    with pytest.raises(OptionError, match="8 px"):
        forecast("resnet18", DA3(), **{**order, "image_px": 8})
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(TrainingError, match=r"exit code 1.*--budget"):
        forecast("resnet18", DA3(), **order)
    assert "refused" in answer_order(
        {"backbone_name": "resnet19", "method": "head", "hyperparameters": {}, **order}
    )


LEARN = "from addapt.cli.main import main; main()"


def learn(store: Path, folder: Path, budget: str) -> "subprocess.CompletedProcess[str]":
    """Learn from the command line, in a process of its own."""
    words = ["learn", "x", str(folder), "--store", str(store), "--backbone", "resnet18"]
    words += ["--image-px", "96", "--batch", "2", "--epochs", "1", "--budget", budget]
    words += ["--save-every", "0.001"]  # each step's state, which must not take more either
    return subprocess.run(
        [sys.executable, "-c", LEARN, *words, "--threads", "1", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.skipif(process_peak_bytes() is None, reason="the peak is not known here")
def test_a_real_run_keeps_to_its_budget(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder = make_folder(images=4)
    refused = learn(tmp_path / "within", folder, "1MB")
    assert refused.returncode == 2
    assert not (tmp_path / "within").exists()
    smallest = re.search(r"smallest that would do is (\d+) MB", refused.stderr)
    assert smallest, refused.stderr
    budget_mb = int(smallest[1]) + 5  # what a process begins with is not the same each time
    done = learn(tmp_path / "within", folder, f"{budget_mb}MB")
    assert done.returncode == 0, done.stderr
    within = json.loads(done.stdout)
    assert within["budget_bytes"] == budget_mb * MB
    assert 150 * MB < within["process_peak_bytes"] <= budget_mb * MB

    free = Learner(load_backbone("resnet18", "random"), tmp_path / "free")
    report = free.learn("x", folder, image_px=96, batch=2, epochs=1)
    a, b = read_domain(Path(within["file"]))[1], read_domain(report.file)[1]
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-3, atol=1e-4)
