"""The gates' benchmark: what it learns is what a domain with two looks learns, and is kept."""

import json
from pathlib import Path

import domains
import gates
import gates_ms
import gates_points
import gates_sizes
import numpy as np
import pytest
from gates_points import PX, Judged
from gates_sizes import METHOD, Place, Size
from PIL import Image
from trial import hyperparameters, recipe_settings

from addapt import GateConfig, Learner
from addapt._errors import OptionError
from addapt.engines import open_engine
from addapt.engines.base import Engine
from addapt.gates import looks_from
from addapt.learning.evaluation import logits_of
from addapt.learning.job import Asked
from addapt.learning.two_looks import choose_looks, join_looks, last_logits, not_sure
from tests.fake_engine import FakeEngine

FULL_PX, FIRST_PX = 64, 32


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "results", tmp_path / "work", epochs=1)


@pytest.fixture
def folders(tmp_path: Path) -> domains.DomainFolders:
    """Return folders of images that are hard to tell apart."""
    generator = np.random.default_rng(0)
    for part in ("train", "test"):
        for place, label in enumerate(("a", "b", "c")):
            folder = tmp_path / part / label
            folder.mkdir(parents=True)
            for number in range(12):
                pixels = generator.integers(0, 256, (8, 8, 3))
                pixels[..., place] = pixels[..., place] // 2 + 100
                image = Image.fromarray(pixels.astype(np.uint8)).resize((80, 80))
                image.save(folder / f"{number}.png")
    return domains.DomainFolders(tmp_path / "train", None, tmp_path / "test", None)


def engine_named(name: str) -> Engine:
    return FakeEngine() if name == "fake" else open_engine("resnet18", "random", engine=name)


@pytest.mark.parametrize("name", ["fake", pytest.param("onnx", marks=pytest.mark.slow)])
def test_what_is_combined_is_a_real_domain_with_two_looks_bit_for_bit(
    name: str, place: Place, folders: domains.DomainFolders, tmp_path: Path
) -> None:
    engine = engine_named(name)
    asked: Asked = {"method": "head", "seed": 1, "epochs": 4, "val_fraction": 0.4}
    config = GateConfig("resolution", True, 0.5, lose=0.0)
    learner = Learner(engine, tmp_path / "real")
    two: Asked = {**asked, "gates": config, "image_px": FULL_PX}
    learner.learn("x", folders.train, **two)
    info, real = learner.load("x")

    subject = gates_sizes.prepare(engine, folders, asked, FULL_PX)
    sizes = [Size("x", px, 1) for px in (FULL_PX, FIRST_PX)]
    for size in sizes:
        gates_sizes.learn(engine, subject, size, place)
    full, first = (Judged.load(place.logits(size)) for size in sizes)
    share = first.multiply_adds / full.multiply_adds
    looks = choose_looks(
        first.held_out, full.held_out, full.held_out_labels, FIRST_PX, share, config
    )
    assert looks == looks_from(info)
    assert 0 < not_sure(first.test, looks).mean() < 1
    combined = last_logits(first.test, full.test, looks)
    assert np.array_equal(combined, logits_of(real, subject.test, batch=1))
    joined = join_looks(*(place.store.read(size.name)[1] for size in sizes))
    kept = learner.store.read("x")[1]
    # A signature is of both looks together.
    joined, kept = ({k: v for k, v in t.items() if "signature." not in k} for t in (joined, kept))
    assert joined.keys() == kept.keys()
    assert all(np.array_equal(joined[name], kept[name]) for name in kept)


def test_what_was_learned_is_not_learned_again(
    place: Place, folders: domains.DomainFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "open_at", lambda threads: FakeEngine())
    monkeypatch.setattr(domains, "domain_folders", lambda name: folders)
    monkeypatch.setattr(gates, "METHOD", "head")
    sizes = [Size("faces", px, 0) for px in (PX, 96)]
    gates.learn_all(sizes, place, threads=1)
    lines = place.sizes.read_text().splitlines()
    assert [json.loads(line)["px"] for line in lines] == [PX, 96]
    assert json.loads(lines[1])["command"] == (
        "python benchmarks/gates.py learn --domain faces --px 96 --seed 0 --threads 1"
    )
    gates.learn_all(sizes, place, threads=1)
    assert place.sizes.read_text().splitlines() == lines
    (timed,) = gates_ms.time_two_looks(FakeEngine(), place, rounds=1)
    assert (timed["domain"], timed["px"], timed["first_px"]) == ("faces", PX, 96)
    assert 0 <= timed["second_share"] <= 1 and timed["ms"] > 0 and timed["full_ms"] > 0
    place.logits(sizes[1]).unlink()
    gates.learn_all(sizes, place, threads=1)
    assert len(place.sizes.read_text().splitlines()) == 3
    stale = json.loads(lines[0]) | {"hyperparameters": {"width": 7}}
    place.sizes.write_text(json.dumps(stale) + "\n" + lines[1] + "\n")
    assert gates_sizes.counted(place) == [sizes[1]]


def write_rows(place: Place, *sizes: Size) -> None:
    place.results.mkdir(exist_ok=True)
    rows = [
        {"domain": size.domain, "px": size.px, "seed": size.seed}
        | {"hyperparameters": hyperparameters(METHOD), "settings": vars(recipe_settings(METHOD))}
        for size in sizes
    ]
    place.sizes.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_points_are_made_where_all_logits_are_and_read_elsewhere(place: Place) -> None:
    with pytest.raises(OptionError, match="nothing was learned"):
        gates.combine(place)
    sizes = [Size("digits", PX, 0), Size("digits", 96, 0)]
    write_rows(place, *sizes)
    with pytest.raises(OptionError, match="the logits of digits-224-0 are not here"):
        gates.combine(place)
    generator = np.random.default_rng(0)
    for size in sizes:
        logits = generator.normal(size=(2, 20, 3)).astype(np.float32)
        labels = np.arange(20) % 3
        Judged(logits[0], labels, logits[1], labels, size.px**2).save(place.logits(size))
    rows = gates.combine(place)
    alone = [row for row in rows if row["first_px"] is None]
    assert [row["px"] for row in alone] == [PX, 96]
    assert len(rows) == 2 + len(gates_points.COMPUTE) + len(gates_points.LOSE)
    assert {row["domain"] for row in rows} == {"digits"}
    place.logits(sizes[0]).unlink()
    assert gates.combine(place) == rows


def test_without_images_in_full_there_is_nothing_to_compare_with(place: Place) -> None:
    size = Size("digits", 96, 0)
    write_rows(place, size)
    logits, labels = np.eye(3, dtype=np.float32), np.arange(3)
    Judged(logits, labels, logits, labels, 1).save(place.logits(size))
    with pytest.raises(OptionError, match="Nothing was learned at 224 px"):
        gates.combine(place)
    assert not place.points.exists()


def test_each_size_is_made_smaller_from_each_that_is_larger() -> None:
    rows = gates_ms.time_shrinking((PX, 160, 96), "bilinear", rounds=1)
    assert [(row["px"], row["first_px"]) for row in rows] == [(PX, 160), (PX, 96), (160, 96)]
    assert all(row["ms"] > 0 for row in rows)
