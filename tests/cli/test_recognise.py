"""`addapt predict` without a domain, `index`, and what `show`, `eval` and `check` say of both."""

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from addapt.domains import Store
from tests.cli.conftest import refused, run, run_json, run_lines, said
from tests.conftest import write_images

QUICK = ("--epochs", "2", "--image-px", "32", "--threads", "1", "--method", "head")
DOMAINS = {"colours": ("green", "red"), "stripes": ("across", "down")}


def write_stripes(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for axis, label in enumerate(DOMAINS["stripes"]):
        (folder / label).mkdir(parents=True)
        for i in range(15):
            wave = 127 + 120 * np.sin(np.arange(40) * rng.uniform(0.6, 1) + rng.uniform(0, 6))
            pixels = np.broadcast_to(wave[:, None] if axis == 0 else wave, (40, 40))
            noisy = np.clip(pixels + rng.normal(0, 6, (40, 40)), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(folder / label / f"{i}.png")


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a store of two domains, their images, and a foreign one."""
    root = tmp_path_factory.mktemp("recognise")
    write_images(root / "colours", DOMAINS["colours"], 15, 40, 0)
    write_stripes(root / "stripes")
    for name in DOMAINS:
        run_json("learn", name, root / name, "--store", root / "store", *QUICK)
    face = np.full((40, 40, 3), 255, np.uint8)
    face[8:30, 15:18] = face[20:23, 5:35] = 0
    Image.fromarray(face).save(root / "foreign.png")
    return root


@pytest.fixture
def store(learned: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(learned / "store", tmp_path / "store"))


def where(store: Path) -> tuple[object, ...]:
    return ("--store", store, "--threads", "1")


def strip(store: Path, name: str) -> None:
    """Make a domain's file one without a signature."""
    kept = Store(store)
    info, tensors = kept.read(name)
    kept.save(name, replace(info, signature={}), tensors)


def test_the_domain_is_found(learned: Path) -> None:
    rows = run_lines(
        "predict", learned / "colours", learned / "stripes", *where(learned / "store"),
        "--accept", "0.999",
    )  # fmt: skip
    assert len(rows) == 60
    assert all(row["nearest"] == Path(row["image"]).parts[-3] for row in rows)
    assert all(row["looks"].keys() == DOMAINS.keys() for row in rows)
    right = [row["label"] == Path(row["image"]).parent.name for row in rows]
    assert np.mean(right) > 0.9


def test_none_of_these(learned: Path) -> None:
    foreign, given = learned / "foreign.png", where(learned / "store")
    (row,) = run_lines("predict", foreign, *given)
    assert row["refused"] and row["domain"] is row["label"] is row["probability"] is None
    assert row["distance"] > row["limit"] == 1 and row["nearest"] in DOMAINS
    assert row["distances"][row["nearest"]] == row["distance"]
    heading, line = said("predict", foreign, *given).splitlines()
    assert heading == "image\tnearest domain\tclass\tprobability"
    assert line.split("\t") == [str(foreign), row["nearest"], "none of these", ""]
    (cells,) = csv.DictReader(io.StringIO(said("predict", foreign, *given, "--csv")))
    assert cells["nearest domain"] == row["nearest"] and cells["class"] == "none of these"
    (row,) = run_lines("predict", foreign, *given, "--no-refuse")
    assert not row["refused"] and row["domain"] == row["nearest"] and row["limit"] is None


def test_a_named_domain_refuses_too(learned: Path) -> None:
    named = ("predict", learned / "foreign.png", "--domain", "colours", *where(learned / "store"))
    assert run_lines(*named)[0]["refused"]
    heading, line = said(*named).splitlines()
    assert heading == "image\tclass\tprobability\tnext\t%"
    assert line.split("\t")[1:] == ["none of these", "", "", ""]
    assert run_lines(*named, "--no-refuse")[0]["label"] in DOMAINS["colours"]


def test_wrong_words(learned: Path, tmp_path: Path) -> None:
    given = (learned / "foreign.png", "--store", learned / "store")
    for share in ("0", "1", "95", "-1", "nan"):
        assert "--accept is" in refused("predict", *given, "--accept", share)
    assert "There is no domain in" in refused("predict", given[0], "--store", tmp_path)
    assert "Unknown domain 'x'" in refused("index", "x", learned / "colours", *given[1:])
    assert "does not exist" in refused("index", "colours", tmp_path / "no", *given[1:])
    stripes = refused("index", "colours", learned / "stripes", *given[1:])
    assert "'green'" in stripes or "'across'" in stripes


def test_index_and_what_is_said_without_a_signature(store: Path, learned: Path) -> None:
    strip(store, "stripes")
    image = learned / "stripes" / "down" / "0.png"
    result = run("predict", image, *where(store), "--json")
    assert json.loads(result.stdout)["nearest"] == "colours"
    assert "'stripes' has no signature" in result.stderr
    result = run("predict", image, "--domain", "stripes", *where(store), "--json")
    assert json.loads(result.stdout)["distance"] is None
    assert result.stderr.count("no image is refused") == 1
    assert "addapt index" in said("check", "stripes", "--store", store)
    assert "no image is refused" in said("eval", "stripes", learned / "stripes", *where(store))
    assert run_json("show", "stripes", "--store", store)["signature"] == {}

    assert "has a signature now" in said("index", "stripes", learned / "stripes", *where(store))
    found = run("predict", image, *where(store), "--json")
    assert json.loads(found.stdout)["nearest"] == "stripes" and found.stderr == ""
    assert "signature" not in said("check", "stripes", "--store", store)


def test_what_show_and_eval_say(learned: Path) -> None:
    shown = run_json("show", "colours", "--store", learned / "store")["signature"]
    assert shown["accepted"] == 0.95 and shown["largest_distance"] > 0
    evaluated = run_json("eval", "colours", learned / "colours", *where(learned / "store"))
    assert evaluated["accepted"] > 0.8 and 0 <= evaluated["calibration_error"] <= 1
    words = said("eval", "colours", learned / "colours", *where(learned / "store"))
    assert "Accepted as images of this domain:" in words and "Probabilities are off by" in words


def test_a_damaged_signature_is_found(store: Path) -> None:
    path = store / "colours.safetensors"
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)
    result = run("check", "--store", store)
    assert result.exit_code == 1 and "damaged" in result.stdout
