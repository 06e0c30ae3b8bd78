"""The learner: teaches, keeps, forgets nothing, goes on, and refuses what is wrong."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from addapt import Learner
from addapt._errors import DataError, DomainError, OptionError, TrainingError, UnknownNameError
from addapt.domains import read_domain
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.methods import DA3, Finetune
from addapt.learning import LearningStopped, Progress
from tests.conftest import MakeFolder, build_tiny_backbone

QUICK = {"epochs": 2, "batch": 8, "image_px": 32}


@pytest.fixture
def learner(tiny_backbone: Backbone, tmp_path: Path) -> Learner:
    return Learner(tiny_backbone, tmp_path / "store")


def test_learn_predict_evaluate(
    learner: Learner, make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DA3, "recipe", replace(DA3.recipe, lr=1e-2, min_steps=60))
    folder = make_folder()
    events: list[Progress] = []
    report = learner.learn("colours", folder, image_px=32, on_progress=events.append)
    assert report.classes == ("blue", "green", "red")
    assert (report.train_images, report.val_images) == (21, 3)
    assert report.file == learner.store.path("colours")
    assert report.file_bytes == report.file.stat().st_size
    assert report.epochs == 30  # of two steps: few images need more passes
    assert {event.phase for event in events} == {"reading images", "learning"}
    assert events[-1].done == events[-1].total

    evaluation = learner.evaluate("colours", make_folder("test", seed=1))
    assert evaluation.images == 24
    assert evaluation.accuracy >= 0.9
    assert evaluation.confusion.sum() == 24
    assert [score.images for score in evaluation.per_class] == [8, 8, 8]
    assert evaluation.accuracy == sum(s.correct for s in evaluation.per_class) / 24

    predictions = learner.predict([folder / "red/0.png", folder / "blue/0.png"], "colours", top=2)
    assert [p.label for p in predictions] == ["red", "blue"]
    assert predictions[0].top[0] == ("red", predictions[0].probability)
    assert predictions[0].top[0][1] >= predictions[0].top[1][1]
    assert len(predictions[0].top) == 2


def test_history_is_kept_and_the_unfinished_run_is_gone(
    learner: Learner, make_folder: MakeFolder
) -> None:
    learner.learn("colours", make_folder(), **QUICK)  # type: ignore[arg-type]
    lines = learner.store.history_path("colours").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    names = {path.name for path in learner.store.folder.iterdir()}
    assert names == {"colours.safetensors", "colours.history.jsonl", ".locks"}


def test_earlier_domain_is_bit_identical_after_a_later_one(
    learner: Learner, make_folder: MakeFolder
) -> None:
    x = torch.randn(4, 3, 32, 32)
    learner.learn("first", make_folder(), **QUICK)  # type: ignore[arg-type]
    before = learner.load("first")[1](x)
    file = learner.store.path("first").read_bytes()
    later = make_folder("later", classes=("a", "b"), seed=3)
    for method in ("da3", "head", "finetune"):
        learner.learn(f"later-{method}", later, method=method, **QUICK)  # type: ignore[arg-type]
        assert torch.equal(learner.load("first")[1](x), before)
    assert learner.store.path("first").read_bytes() == file
    assert torch.equal(
        Learner(build_tiny_backbone(), learner.store.folder).load("first")[1](x), before
    )


def test_same_seed_and_date_same_file(
    tiny_backbone: Backbone,
    tmp_path: Path,
    make_folder: MakeFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    folder = make_folder()
    files = []
    for store in ("one", "two"):
        report = Learner(tiny_backbone, tmp_path / store).learn("colours", folder, **QUICK)  # type: ignore[arg-type]
        files.append(report.file.read_bytes())
    assert files[0] == files[1]
    assert read_domain(report.file)[0].date == "2023-11-14T22:13:20+00:00"


def test_stopped_learning_goes_on_to_the_same_file(
    tiny_backbone: Backbone, tmp_path: Path, make_folder: MakeFolder
) -> None:
    folder = make_folder()
    whole = Learner(tiny_backbone, tmp_path / "whole")
    whole.learn("colours", folder, **QUICK)  # type: ignore[arg-type]
    parts = Learner(tiny_backbone, tmp_path / "parts")
    asked = iter([False, True])
    with pytest.raises(LearningStopped, match="same command again"):
        parts.learn("colours", folder, should_stop=lambda: next(asked), **QUICK)  # type: ignore[arg-type]
    assert not parts.store.exists("colours")
    assert parts.store.state_path("colours").is_dir()
    done: list[int] = []
    parts.learn(
        "colours",
        folder,
        on_progress=lambda p: done.append(p.done) if p.phase == "learning" else None,
        **QUICK,  # type: ignore[arg-type]
    )
    assert done[0] == 3  # not from the beginning
    a, b = (read_domain(learner.store.path("colours"))[1] for learner in (whole, parts))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_unfinished_run_is_not_continued_with_other_options(
    learner: Learner, make_folder: MakeFolder
) -> None:
    folder = make_folder()
    with pytest.raises(LearningStopped):
        learner.learn("colours", folder, should_stop=lambda: True, **QUICK)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match=r"seed was 0 and now is 1.*--restart"):
        learner.learn("colours", folder, seed=1, **QUICK)  # type: ignore[arg-type]
    (folder / "red" / "0.png").unlink()
    with pytest.raises(TrainingError, match="images"):
        learner.learn("colours", folder, **QUICK)  # type: ignore[arg-type]
    learner.learn("colours", folder, restart=True, **QUICK)  # type: ignore[arg-type]
    assert learner.store.exists("colours")


def test_damaged_unfinished_run(learner: Learner, make_folder: MakeFolder) -> None:
    folder = make_folder()
    with pytest.raises(LearningStopped):
        learner.learn("colours", folder, should_stop=lambda: True, **QUICK)  # type: ignore[arg-type]
    state = learner.store.state_path("colours") / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-10])
    with pytest.raises(TrainingError, match="--restart"):
        learner.learn("colours", folder, **QUICK)  # type: ignore[arg-type]


def test_existing_domain_is_refused_and_kept(learner: Learner, make_folder: MakeFolder) -> None:
    folder = make_folder()
    learner.learn("colours", folder, **QUICK)  # type: ignore[arg-type]
    before = learner.store.path("colours").read_bytes()
    with pytest.raises(DomainError, match=r"'colours' in .* already.*--restart"):
        learner.learn("colours", folder, **QUICK)  # type: ignore[arg-type]
    with pytest.raises(TrainingError):
        learner.learn("colours", folder, restart=True, lr=1e30, **QUICK)  # type: ignore[arg-type]
    assert learner.store.path("colours").read_bytes() == before
    learner.learn("colours", folder, restart=True, seed=1, **QUICK)  # type: ignore[arg-type]
    assert learner.store.path("colours").read_bytes() != before


def test_domain_of_another_backbone_is_refused(learner: Learner, make_folder: MakeFolder) -> None:
    learner.learn("colours", make_folder(), **QUICK)  # type: ignore[arg-type]
    for other in (build_tiny_backbone("other"), build_tiny_backbone(seed=1)):
        with pytest.raises(DomainError, match="colours was learned on tiny"):
            Learner(other, learner.store.folder).load("colours")


def test_hyperparameters_come_back_from_the_file(learner: Learner, make_folder: MakeFolder) -> None:
    learner.learn("colours", make_folder(), method=DA3(kernel=3, grid=2), **QUICK)  # type: ignore[arg-type]
    info, model = learner.load("colours")
    assert info.hyperparameters["kernel"] == 3
    assert model.domain_state()["adaptor.attentions.0.spatial.weight"].shape[2:] == (3, 3)


def test_finetuned_domain_keeps_its_batch_statistics(
    learner: Learner, make_folder: MakeFolder
) -> None:
    learner.learn("colours", make_folder(), method=Finetune(), **QUICK)  # type: ignore[arg-type]
    state = learner.load("colours")[1].domain_state()
    shared = learner.backbone.state_dict()["blocks.0.bn.running_mean"]
    assert not torch.equal(state["adaptor.layers.1.bn.running_mean"], shared)


def test_unreadable_images_are_reported_and_left_out(
    learner: Learner, make_folder: MakeFolder
) -> None:
    folder = make_folder()
    (folder / "red" / "broken.png").write_text("this is no image")
    report = learner.learn("colours", folder, **QUICK)  # type: ignore[arg-type]
    assert report.train_images + report.val_images == 24
    assert len(report.unreadable) == 1
    assert "broken.png" in report.unreadable[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "--epochs is 0"),
        ({"batch": 0}, "--batch is 0"),
        ({"micro_batch": 0}, "--micro-batch is 0"),
        ({"lr": -1.0}, "--lr is -1"),
        ({"lr": float("nan")}, "--lr is nan"),
        ({"lr": float("inf")}, "--lr is inf"),
        ({"seed": -1}, "--seed is -1"),
        ({"image_px": 1_000_000}, "1000000 px"),
        ({"image_px": 8}, "8 px"),
        ({"val_fraction": 1.5}, "1.5"),
    ],
)
def test_options_that_make_no_sense(
    learner: Learner, make_folder: MakeFolder, options: dict[str, float], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        learner.learn("colours", make_folder(), **options)  # type: ignore[arg-type]
    assert not learner.store.folder.exists()


def test_store_that_cannot_be_written(
    learner: Learner, make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*words: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("addapt.learning.run_file.write_atomically", refuse)
    steps: list[Progress] = []
    with pytest.raises(TrainingError, match=r"store/.learning/colours because .* read-only"):
        learner.learn("colours", make_folder(), on_progress=steps.append, **QUICK)  # type: ignore[arg-type]
    assert not [step for step in steps if step.phase == "learning"]  # told before the work


def test_unknown_names(learner: Learner, make_folder: MakeFolder) -> None:
    folder = make_folder()
    learner.learn("flowers", folder, **QUICK)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="Did you mean 'flowers'"):
        learner.predict([folder / "red/0.png"], "flower")
    with pytest.raises(UnknownNameError, match="method 'da4'"):
        learner.learn("other", folder, method="da4")
    with pytest.raises(DomainError, match=r"'\.\./x'"):
        learner.learn("../x", folder)


def test_image_to_predict_is_unreadable(learner: Learner, make_folder: MakeFolder) -> None:
    folder = make_folder()
    learner.learn("colours", folder, **QUICK)  # type: ignore[arg-type]
    (folder / "text.jpg").write_text("hello")
    with pytest.raises(DataError, match=r"text\.jpg"):
        learner.predict([folder / "red/0.png", folder / "text.jpg"], "colours")
    with pytest.raises(DataError, match=r"missing\.jpg"):
        learner.predict([folder / "missing.jpg"], "colours")


def test_relearning_that_was_stopped_goes_on(learner: Learner, make_folder: MakeFolder) -> None:
    folder = make_folder()
    learner.learn("colours", folder, **QUICK)  # type: ignore[arg-type]
    before = learner.store.path("colours").read_bytes()
    asked = iter([False, True])
    with pytest.raises(LearningStopped, match="without --restart"):
        learner.learn(
            "colours",
            folder,
            seed=1,
            restart=True,
            should_stop=lambda: next(asked),
            **QUICK,  # type: ignore[arg-type]
        )
    assert learner.store.path("colours").read_bytes() == before
    done: list[int] = []
    learner.learn(
        "colours",
        folder,
        seed=1,
        on_progress=lambda p: done.append(p.done) if p.phase == "learning" else None,
        **QUICK,  # type: ignore[arg-type]
    )
    assert done[0] == 3
    assert learner.store.path("colours").read_bytes() != before


def test_changed_image_of_the_same_size_is_noticed(
    learner: Learner, make_folder: MakeFolder
) -> None:
    folder = make_folder()
    with pytest.raises(LearningStopped):
        learner.learn("colours", folder, should_stop=lambda: True, **QUICK)  # type: ignore[arg-type]
    image = folder / "red" / "0.png"
    os.utime(image, ns=(0, image.stat().st_mtime_ns + 1))
    with pytest.raises(TrainingError, match="set of images changed"):
        learner.learn("colours", folder, **QUICK)  # type: ignore[arg-type]


def test_large_seed(learner: Learner, make_folder: MakeFolder) -> None:
    learner.learn("colours", make_folder(), seed=2**62, **QUICK)  # type: ignore[arg-type]
    assert learner.store.info("colours").seed == 2**62


def test_places_that_would_fail_later_are_refused_at_once(
    learner: Learner, make_folder: MakeFolder
) -> None:
    folder = make_folder()
    learner.learn("colours", folder, **QUICK)  # type: ignore[arg-type]
    read: list[Progress] = []
    with pytest.raises(DomainError, match="only in letter case"):
        learner.learn("Colours", folder, on_progress=read.append)
    inside = Learner(learner.backbone, folder / "domains")
    with pytest.raises(OptionError, match=r"inside the folder of images.*--store"):
        inside.learn("colours", folder, on_progress=read.append)
    assert not read


def test_one_unreadable_image_may_be_the_whole_validation_of_its_class(
    learner: Learner, make_folder: MakeFolder
) -> None:
    folder = make_folder(images=6)
    for split in ("train", "val"):
        (folder / split).mkdir()
        for label in ("blue", "green", "red"):
            (folder / split / label).mkdir()
    for label in ("blue", "green", "red"):
        for i in range(6):
            place = folder / ("val" if i == 0 else "train") / label
            (folder / label / f"{i}.png").rename(place / f"{i}.png")
        (folder / label).rmdir()
    (folder / "val" / "red" / "0.png").write_text("no image")
    report = learner.learn("colours", folder, **QUICK)  # type: ignore[arg-type]
    assert (report.train_images, report.val_images) == (15, 2)


def test_images_to_predict_can_be_left_out(learner: Learner, make_folder: MakeFolder) -> None:
    folder = make_folder()
    learner.learn("colours", folder, **QUICK)  # type: ignore[arg-type]
    (folder / "text.jpg").write_text("hello")
    told: list[str] = []
    images = [folder / "text.jpg", folder / "red/0.png"]
    predictions = learner.predict(images, "colours", on_unreadable=told.append)
    assert [p.image for p in predictions] == images[1:]
    assert "text.jpg" in told[0]
    assert learner.predict(images[:1], "colours", on_unreadable=told.append) == []


def test_first_block_is_spelt_out_in_the_file(learner: Learner, make_folder: MakeFolder) -> None:
    learner.learn("colours", make_folder(), method=DA3(), **QUICK)  # type: ignore[arg-type]
    assert learner.store.info("colours").hyperparameters["first_block"] == 1  # 3 blocks // 3


def test_hyperparameters_of_a_wrong_type(learner: Learner, make_folder: MakeFolder) -> None:
    learner.learn("colours", make_folder(), method=DA3(), **QUICK)  # type: ignore[arg-type]
    info, tensors = learner.store.read("colours")
    wrong = replace(info, hyperparameters={**info.hyperparameters, "kernel": "5"})
    learner.store.save("colours", wrong, tensors)
    with pytest.raises(DomainError, match=r"cannot be used.*'kernel' of method 'da3' is '5'"):
        learner.load("colours")


def test_backbone_of_the_user_is_identified_by_its_weights(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    mine, other = build_tiny_backbone(), build_tiny_backbone(seed=1)
    for backbone in (mine, other):
        backbone.info = replace(backbone.info, weights_sha256="")
    Learner(mine, tmp_path / "s").learn("colours", make_folder(), **QUICK)  # type: ignore[arg-type]
    with pytest.raises(DomainError, match="other weights"):
        Learner(other, tmp_path / "s").load("colours")


def test_batch_statistics_need_several_images(learner: Learner, make_folder: MakeFolder) -> None:
    with pytest.raises(OptionError, match="statistics of several images"):
        learner.learn("colours", make_folder(), method="finetune", batch=1)


def test_unfinished_learning_can_be_given_up(learner: Learner, make_folder: MakeFolder) -> None:
    with pytest.raises(LearningStopped):
        learner.learn("colours", make_folder(), should_stop=lambda: True, **QUICK)  # type: ignore[arg-type]
    learner.store.remove("colours")
    assert not learner.store.state_path("colours").exists()
    with pytest.raises(UnknownNameError):
        learner.store.remove("colours")
