"""The command line as a user meets it: outputs, JSON, exit codes, sentences."""

import errno
import inspect
import re
from pathlib import Path

import pytest
from PIL import Image
from typer.main import get_command

from addapt.cli.learn import learn
from addapt.cli.main import app
from addapt.engines import engine_of
from addapt.engines.torch.backbones import Backbone
from addapt.learning import Controls
from addapt.learning.job import VAL_FRACTION, method_for
from addapt.learning.trial import Trial
from tests.cli.conftest import refused, run, run_json, said
from tests.conftest import MakeFolder, write_images
from tests.faults import fail

QUICK = ("--epochs", "1", "--image-px", "32", "--threads", "1")


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a store of one domain and the images it was learned from."""
    root = tmp_path_factory.mktemp("learned")
    write_images(root / "images", ("green [bold]", "red"), 6, 40, 0)
    report = run_json("learn", "colours", root / "images", "--store", root / "store", *QUICK)
    assert (report["name"], report["method"], report["classes"]) == ("colours", "da3", 2)
    assert report["class_names"] == ["green [bold]", "red"]
    assert report["train_images"] == 10
    assert 0 <= report["val_accuracy"] <= 1
    assert Path(report["file"]).stat().st_size == report["file_bytes"]
    assert report["learn_s"] > 0
    return root


def test_learn_in_words(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: fail(errno.ENOSPC))
    folder = make_folder(images=3)
    (folder / "red" / "notes.jpg").write_text("no image")
    (folder / "red" / "more.jpg").write_text("no image")
    words = ("learn", "c", folder, "--store", tmp_path / "s", "--val-fraction", "0.34", *QUICK)
    assert "2 of 11 images cannot be read" in refused(*words)
    (folder / "red" / "more.jpg").unlink()
    result = run(*words, "--cache-mb", "0")
    assert result.exit_code == 0
    assert "Warning: Not all decoded images could be put aside in" in result.stderr
    assert "Left out: " in result.stderr
    assert "notes.jpg" in result.stderr
    assert "Learned c: 3 classes from 6 images of 32 px" in result.stdout
    assert "addapt predict IMAGE --domain c" in result.stdout


def test_eval(learned: Path, tmp_path: Path) -> None:
    words = ("eval", "colours", learned / "images", "--store", learned / "store")
    drawing = tmp_path / "confusion.png"
    scores = run_json(*words, "--confusion", drawing)
    assert scores["images"] == 12
    assert scores["accuracy"] == sum(c["correct"] for c in scores["per_class"]) / 12
    assert {c["label"] for c in scores["per_class"]} == {"green [bold]", "red"}
    with Image.open(drawing) as image:
        assert image.size[0] > 200
    shown = said(*words)
    assert "12 images recognised" in shown
    assert "green [bold]" in shown
    assert ".png, .svg, .pdf" in refused(*words, "--confusion", tmp_path / "confusion.doc")
    assert "does not exist" in refused(*words, "--confusion", tmp_path / "nowhere" / "c.png")


def test_domains_show_rename_remove(learned: Path, tmp_path: Path) -> None:
    content = (learned / "store" / "colours.safetensors").read_bytes()
    (tmp_path / "colours.safetensors").write_bytes(content)  # how a domain is shared
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    where = ("--store", tmp_path)
    shown = said("domains", *where)
    assert "colours" in shown and "bad.safetensors is not a domain" in shown
    (tmp_path / "bad.safetensors").unlink()
    (row,) = run_json("domains", *where)["domains"]
    assert (row["name"], row["backbone"]) == ("colours", "efficientnet_lite0")
    fields = run_json("show", "colours", *where)
    assert fields["classes"] == ["green [bold]", "red"]
    assert fields["hyperparameters"]["kernel"] == 5
    shown = said("show", "colours", *where)
    assert "green [bold], red" in shown and "weights sha256" in shown

    assert run_json("rename", "colours", "paints", *where)["new"] == "paints"
    assert "Did you mean 'paints'" in refused("show", "paint", *where)
    assert type(run("show", "paint", *where, "--debug").exception).__name__ == "UnknownNameError"
    assert run_json("remove", "paints", *where) == {"removed": "paints"}
    assert run_json("domains", *where) == {"domains": []}
    assert "addapt learn NAME FOLDER" in said("domains", *where)
    assert "There is no domain yet" in refused("remove", "paints", *where)


def test_methods_and_backbones() -> None:
    for what, names in (
        ("methods", {"da3", "finetune", "head"}),
        ("backbones", {"efficientnet_lite0", "resnet50", "mobilenet_v2"}),
    ):
        assert names <= {row["name"] for row in run_json(what)[what]}
        assert all(name in said(what) for name in names)


def test_every_command_has_the_common_options() -> None:
    commands = dict(get_command(app).commands)  # type: ignore[attr-defined]
    for group in ("bench", "fleet"):
        inner = commands.pop(group).commands
        commands |= {f"{group} {name}": command for name, command in inner.items()}
    options = {
        name: {word for option in command.params for word in option.opts}
        for name, command in commands.items()
    }
    assert {"learn", "demo", "bench step"} < set(options)
    assert all("--json" in words for words in options.values())
    # The page computes in the browser, where its domains are, too, and a fleet on its devices.
    without = {name for name, words in options.items() if "--threads" not in words}
    assert without == {"page", "fleet serve", "fleet key"}
    without = {name for name, words in options.items() if "--store" not in words}
    # The others are about no domain.
    assert without == {"page", "audit", "plan", "bench step", "bench predict", "fleet key"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("learn", "x", "nowhere"), "nowhere"),
        (("learn", "../x", "."), "cannot be called '../x'"),
        (("learn", "x", ".", "--method", "da33"), "Did you mean 'da3'"),
        (("learn", "x", ".", "--backbone", "resnet5"), "Did you mean 'resnet50'"),
        (("learn", "x", ".", "--image-px", "large"), '"auto"'),
        (("learn", "x", ".", "--weights", "none.pth"), "none.pth"),
        (("learn", "x", ".", "--device", "gpu"), "gpu"),
        (("learn", "x", ".", "--epochs", "0"), "--epochs is 0"),
        (("learn", "x", ".", "--budget", "512"), "Write 512MB if megabytes are meant"),
        (("predict", "a.jpg", "--domain", "x"), "Unknown domain 'x'"),
        (("learn", "x", ".", "--threads", "0"), "threads"),
    ],
)
def test_mistakes_get_a_sentence(
    words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused(*words)


def test_the_help_is_plain_and_cuts_no_sentence() -> None:
    for words in (("--help",), ("bench", "--help"), ("learn", "--help")):
        text = said(*words)
        assert not re.search(r"\w\.\.\.$", text, re.MULTILINE)
        assert "─" not in text
        assert max(map(len, text.splitlines())) <= 80


def test_budget(make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(None, None, {1: 10**6, 8: 10**18}, 0, 1.0, 0)
    monkeypatch.setattr("addapt.learning.budget.try_steps", lambda *_: trial)
    folder, store = make_folder(), tmp_path / "s"
    words: tuple[object, ...] = ("learn", "x", folder, "--store", store, *QUICK)
    words += ("--backbone", "resnet18", "--method", "head", "--batch", "8")
    assert "the smallest that would do is" in refused(*words, "--budget", "50MB")
    assert not store.exists()
    result = run(*words, "--budget", "9999999GB")
    assert result.exit_code == 0, result.stderr
    assert "Warning: the budget of 9999999 GB is more than" in result.stderr
    assert "Warning: resnet18 has random weights" in result.stderr
    assert "within the budget of 9999999 GB, in micro-batches of 1." in result.stdout
    report = run_json(*words, "--restart")
    assert (report["micro_batch"], report["budget_bytes"]) == (8, None)


def test_demo_does_not_replace_domains_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "faces.safetensors").write_bytes(b"mine")
    assert "would replace: faces" in refused("demo", "--store", tmp_path, "--folder", tmp_path)


def test_defaults_are_those_of_the_learner(tiny_backbone: Backbone) -> None:
    ours = {name: asked.default for name, asked in inspect.signature(learn).parameters.items()}
    assert ours["method"] is None  # or that of a domain to be extended
    usual = method_for({}, engine_of(tiny_backbone)).name
    assert f"by default {usual};" in " ".join(said("learn", "--help").split())
    assert ours["val_fraction"] == VAL_FRACTION
    assert ours["cache_mb"] * 1_000_000 == Controls().cache_bytes
