"""The command line as a user meets it: outputs, JSON, exit codes, sentences."""

import importlib.metadata
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner, Result

from addapt import Learner
from addapt.cli.learn import learn
from addapt.cli.main import app
from addapt.learning.forecast import Forecast
from tests.conftest import MakeFolder, write_images

QUICK = ("--epochs", "1", "--image-px", "32", "--threads", "1")


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def run_json(*words: str | Path) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def refused(*words: str | Path) -> str:
    """Run a command that must fail as the user's mistake; return its message."""
    result = run(*words)
    assert result.exit_code == 2, (result.stdout, result.stderr)
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    return result.stderr


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a store of one domain and the images it was learned from."""
    root = tmp_path_factory.mktemp("learned")
    write_images(root / "images", ("green [bold]", "red"), 6, 40, 0)
    report = run_json("learn", "colours", root / "images", "--store", root / "store", *QUICK)
    (root / "report.json").write_text(json.dumps(report))
    return root


def test_learn_reports(learned: Path) -> None:
    report = json.loads((learned / "report.json").read_text())
    assert report["name"] == "colours"
    assert report["method"] == "da3"
    assert report["classes"] == 2
    assert report["class_names"] == ["green [bold]", "red"]
    assert report["train_images"] == 10
    assert 0 <= report["val_accuracy"] <= 1
    assert Path(report["file"]).stat().st_size == report["file_bytes"]
    assert report["learn_s"] > 0


def test_learn_in_words(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder = make_folder(images=3)
    (folder / "red" / "notes.jpg").write_text("no image")
    (folder / "red" / "more.jpg").write_text("no image")
    words = ("learn", "c", folder, "--store", tmp_path / "s", "--val-fraction", "0.34", *QUICK)
    assert "2 of 11 images cannot be read" in refused(*words)
    (folder / "red" / "more.jpg").unlink()
    result = run(*words)
    assert result.exit_code == 0
    assert "Left out: " in result.stderr
    assert "notes.jpg" in result.stderr
    assert "Learned c: 3 classes from 6 images of 32 px" in result.stdout
    assert "addapt predict IMAGE --domain c" in result.stdout


def test_predict(learned: Path) -> None:
    images = [learned / "images" / label / "0.png" for label in ("red", "green [bold]")]
    rows = run_json("predict", *images, "--domain", "colours", "--store", learned / "store")
    assert [row["image"] for row in rows] == [str(image) for image in images]
    assert [row["label"] for row in rows] == ["red", "green [bold]"]
    assert rows[0]["top"][0] == {"label": "red", "probability": rows[0]["probability"]}
    assert sum(entry["probability"] for entry in rows[0]["top"]) == pytest.approx(1, abs=1e-5)
    one = ("predict", images[0], "--domain", "colours", "--store", learned / "store", "--top", "1")
    assert len(run_json(*one)[0]["top"]) == 1
    result = run("predict", images[1], "--domain", "colours", "--store", learned / "store")
    assert "green [bold]" in result.stdout


def test_eval(learned: Path, tmp_path: Path) -> None:
    words = ("eval", "colours", learned / "images", "--store", learned / "store")
    drawing = tmp_path / "confusion.png"
    scores = run_json(*words, "--confusion", drawing)
    assert scores["images"] == 12
    assert scores["accuracy"] == sum(c["correct"] for c in scores["per_class"]) / 12
    assert {c["label"] for c in scores["per_class"]} == {"green [bold]", "red"}
    with Image.open(drawing) as image:
        assert image.size[0] > 200
    result = run(*words)
    assert "12 images recognised" in result.stdout
    assert "green [bold]" in result.stdout
    assert ".png, .svg, .pdf" in refused(*words, "--confusion", tmp_path / "confusion.doc")
    assert "does not exist" in refused(*words, "--confusion", tmp_path / "nowhere" / "c.png")


def test_domains_show_rename_remove(learned: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / "colours.safetensors").write_bytes(
        (learned / "store" / "colours.safetensors").read_bytes()  # how a domain is shared
    )
    rows = run_json("domains", "--store", store)["domains"]
    assert [row["name"] for row in rows] == ["colours"]
    assert rows[0]["backbone"] == "efficientnet_lite0"
    assert "colours" in run("domains", "--store", store).stdout
    fields = run_json("show", "colours", "--store", store)
    assert fields["classes"] == ["green [bold]", "red"]
    assert fields["hyperparameters"]["kernel"] == 5
    shown = run("show", "colours", "--store", store).stdout
    assert "green [bold], red" in shown
    assert "weights sha256" in shown

    assert run_json("rename", "colours", "paints", "--store", store)["new"] == "paints"
    assert "Did you mean 'paints'" in refused("show", "paint", "--store", store)
    assert run_json("remove", "paints", "--store", store) == {"removed": "paints"}
    assert run_json("domains", "--store", store) == {"domains": []}
    assert "addapt learn NAME FOLDER" in run("domains", "--store", store).stdout
    assert "There is no domain yet" in refused("remove", "paints", "--store", store)


def test_damaged_file_does_not_hide_the_others(learned: Path, tmp_path: Path) -> None:
    content = (learned / "store" / "colours.safetensors").read_bytes()
    (tmp_path / "good.safetensors").write_bytes(content)
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    result = run("domains", "--store", tmp_path)
    assert result.exit_code == 0
    assert "good" in result.stdout
    assert "bad.safetensors is not a domain" in result.stderr


def test_methods_and_backbones() -> None:
    methods = run_json("methods")["methods"]
    assert {"da3", "finetune", "head"} <= {row["name"] for row in methods}
    backbones = run_json("backbones")["backbones"]
    assert {"efficientnet_lite0", "resnet50", "mobilenet_v2"} <= {row["name"] for row in backbones}
    assert "finetune" in run("methods").stdout
    assert "resnet50" in run("backbones").stdout


def test_every_command_has_the_common_options() -> None:
    commands = dict(get_command(app).commands)  # type: ignore[attr-defined]
    commands |= commands.pop("bench").commands
    options = {
        name: {word for option in command.params for word in option.opts}
        for name, command in commands.items()
    }
    assert {"learn", "demo", "step"} < set(options)
    assert all({"--json", "--threads"} <= words for words in options.values())
    without = {name for name, words in options.items() if "--store" not in words}
    assert without == {"audit", "plan", "step"}  # they are about no domain


def test_error_as_json(tmp_path: Path) -> None:
    result = run("show", "nothing", "--store", tmp_path, "--json")
    assert result.exit_code == 2
    assert "Unknown domain 'nothing'" in json.loads(result.stdout)["error"]


def test_traceback_only_when_asked(tmp_path: Path) -> None:
    result = run("show", "nothing", "--store", tmp_path, "--debug")
    assert type(result.exception).__name__ == "UnknownNameError"


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
        (("learn", "x", ".", "--budget", "-512MB"), "is not a positive amount"),
        (("learn", "x", ".", "--budget", "much"), "is not an amount of memory"),
        (("predict", "a.jpg", "--domain", "x"), "Unknown domain 'x'"),
        (("eval", "x", "."), "Unknown domain 'x'"),
        (("frobnicate",), "frobnicate"),
        (("predict", "a.jpg"), "--domain"),
        (("learn", "x", ".", "--threads", "0"), "threads"),
    ],
)
def test_mistakes_get_a_sentence(
    words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in " ".join(refused(*words).split())


def test_wrong_weights_file(tmp_path: Path, make_folder: MakeFolder) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_text("these are no weights")
    message = refused("learn", "x", make_folder(), "--weights", weights)
    assert "weights.pth" in message


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from addapt.cli.main import app\n"
        "result = CliRunner().invoke(app, ['--help'])\n"
        "assert 'learn' in result.stdout and 'predict' in result.stdout\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_interrupt_keeps_what_was_learned(make_folder: MakeFolder, tmp_path: Path) -> None:
    store = tmp_path / "store"
    words = ["learn", "colours", str(make_folder(images=5)), "--store", str(store), *QUICK]
    words += ["--batch", "1", "--epochs", "500", "--json", "--save-every", "0.1"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from addapt.cli.main import main; main()", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    state = store / ".learning" / "colours" / "state.safetensors"
    deadline = time.monotonic() + 90
    while not (state.exists() and state.stat().st_size > 100_000):  # it has begun
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "same command again" in err
    assert "Traceback" not in err
    assert "stopped after" in json.loads(out)["error"]
    changed = ["3" if word == "500" else word for word in words if word != "--json"]
    assert "its epochs was 500 and now is 3" in refused(*changed)


def test_loss_that_explodes_is_a_mistake_with_a_way_out(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    message = refused("learn", "x", make_folder(), "--store", store, *QUICK, "--lr", "1e30")
    assert "Try a smaller --lr" in message
    assert not (store / "x.safetensors").exists()


def test_image_names_that_are_no_text(learned: Path, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Path(os.fsdecode(name)).write_bytes((learned / "images/red/0.png").read_bytes())
    words = ("predict", os.fsdecode(name), "--domain", "colours", "--store", learned / "store")
    assert run_json(*words)[0]["label"] in {"green [bold]", "red"}
    assert "udce9" in run(*words).stdout


def test_unreadable_images_are_left_out_of_predictions(learned: Path, tmp_path: Path) -> None:
    bad = tmp_path / "text.jpg"
    bad.write_text("hello")
    good = learned / "images/red/0.png"
    where = ("--domain", "colours", "--store", str(learned / "store"))
    result = run("predict", bad, good, *where, "--json")
    assert result.exit_code == 2
    assert [row["image"] for row in json.loads(result.stdout)] == [str(good)]
    assert "text.jpg is not an image" in result.stderr
    assert "None of the images" in refused("predict", bad, *where)


def test_random_weights_are_warned_of(make_folder: MakeFolder, tmp_path: Path) -> None:
    words = ("learn", "x", make_folder(), "--store", tmp_path / "s", *QUICK)
    result = run(*words, "--backbone", "mobilenet_v2", "--method", "head")
    assert result.exit_code == 0
    assert "mobilenet_v2 has random weights" in result.stderr


def test_budget(make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def predict(*words: object, **order: Any) -> Forecast:
        return Forecast({1: 1_000_000}, 1_000_000, 1000, 0, 100_000_000)

    monkeypatch.setattr("addapt.learning.budget.forecast", predict)
    folder, store = make_folder(), tmp_path / "s"
    words: tuple[str | Path, ...] = ("learn", "x", folder, "--store", store, *QUICK)
    words += ("--backbone", "resnet18", "--method", "head", "--batch", "8")
    assert "the smallest that would do is" in refused(*words, "--budget", "50MB")
    assert not store.exists()
    result = run(*words, "--budget", "9999999GB")
    assert result.exit_code == 0, result.stderr
    assert "Warning: the budget of 9999999 GB is more than" in result.stderr
    assert "within the budget of 9999999 GB, in micro-batches of 1." in result.stdout
    report = run_json(*words, "--restart")
    assert (report["micro_batch"], report["budget_bytes"]) == (8, None)


def test_demo_does_not_replace_domains_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "faces.safetensors").write_bytes(b"mine")
    assert "would replace: faces" in refused("demo", "--store", tmp_path, "--folder", tmp_path)


def test_demo_needs_its_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(package: str) -> None:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr("addapt.demo.images.importlib.metadata.distribution", absent)
    message = refused("demo", "--folder", tmp_path / "demo")
    assert "pip install --no-deps" in message


def test_defaults_are_those_of_the_learner() -> None:
    ours, theirs = (inspect.signature(f).parameters for f in (learn, Learner.learn))
    for name in ("method", "epochs", "batch", "micro_batch", "lr", "seed", "val_fraction", "flip"):
        assert ours[name].default == theirs[name].default, name
    assert ours["cache_mb"].default * 1_000_000 == theirs["cache_bytes"].default
