"""Pictures of the page on a desk and a phone, written into ADDAPT_SCREENS if that is given."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from addapt.engines import open_engine
from addapt.engines.onnx.engine import OnnxEngine
from addapt.methods import DA3
from addapt.page import folder as page_folder
from addapt.page.server import make_server
from tests.web.conftest import ROOT, RunTests
from tests.web.test_web_page import running

SILHOUETTES = ROOT / "demo" / "benchmark-images" / "silhouettes"
ANIMALS = ("elephant", "giraffe", "horse")
IMAGES = 14  # of each
COLOURS = 64
MOST_BYTES = 100_000


class Short(DA3):
    """The method with a recipe of half a minute."""

    recipe = replace(DA3.recipe, epochs=10, min_steps=1)


@pytest.mark.slow  # a minute
def test_screens(
    run_tests: RunTests,
    expected: Path,
    lesson: Path,
    built: Path,
    chromium: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not SILHOUETTES.is_dir():
        pytest.skip(
            "no pictures of the page: python benchmarks/domains.py build --domain silhouettes"
        )
    for name in ANIMALS:
        files = sorted((SILHOUETTES / "train" / name).iterdir())
        (expected / "animals" / name).mkdir(parents=True)
        for file in files[:IMAGES]:
            shutil.copy(file, expected / "animals" / name)
    (expected / "unseen").mkdir()
    for name in ANIMALS:
        unseen = min((SILHOUETTES / "test" / name).iterdir())
        shutil.copy(unseen, expected / "unseen" / f"{name}.png")

    monkeypatch.setattr(page_folder, "BUILT", built)
    engine = open_engine("efficientnet_lite0", engine="onnx")
    assert isinstance(engine, OnnxEngine)
    method = Short().for_backbone(len(engine.backbone.blocks))
    page_folder.write_page(engine, method, tmp_path / "page", [96])
    with running(make_server(tmp_path / "page", 0)) as address:
        run_tests("screens", ADDAPT_PAGE=address, ADDAPT_CHROMIUM=chromium)

    out = Path(os.environ.get("ADDAPT_SCREENS", tmp_path))
    for name in ("desk", "phone"):
        with Image.open(expected / f"{name}.png") as screen:
            few = screen.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        few.save(out / f"page-{name}.png", optimize=True)
        assert (out / f"page-{name}.png").stat().st_size < MOST_BYTES
