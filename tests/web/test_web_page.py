"""The page in a real browser: served, taught, and what it gives read by the shell."""

import threading
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from addapt.domains import Store
from addapt.domains.file import read_domain
from addapt.domains.signature import NAMES as SIGNATURE
from addapt.learning import Learner
from addapt.page import folder as page_folder
from addapt.page.server import make_server
from tests.web.conftest import RunTests
from tests.web.lessons import CLASSES, FIRST_BLOCK, NAME, PX, Quick, open_quick

CLIP_SIZE = (640, 480)


class Silent(SimpleHTTPRequestHandler):
    """A host of static files that knows nothing of isolation."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[str]:
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def write_clip(file: Path, image: Path) -> None:
    """Write a clip of an image in the format that Chromium's fake camera shows (YUV4MPEG2)."""
    with Image.open(image) as still:
        frame = np.asarray(still.resize(CLIP_SIZE, Image.Resampling.NEAREST).convert("YCbCr"))
    luma, *chroma = np.moveaxis(frame, 2, 0)
    planes = [luma.astype(np.float32) * 219 / 255 + 16]
    planes += [(plane[::2, ::2].astype(np.float32) - 128) * 224 / 255 + 128 for plane in chroma]
    pixels = b"".join(plane.round().astype(np.uint8).tobytes() for plane in planes)
    width, height = CLIP_SIZE
    header = f"YUV4MPEG2 W{width} H{height} F10:1 Ip A1:1 C420\n".encode()
    file.write_bytes(header + 2 * (b"FRAME\n" + pixels))


class Long(Quick):
    """The method with a recipe of minutes, so that teaching can be interrupted."""

    recipe = replace(Quick.recipe, epochs=5000)


@pytest.fixture
def page(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the page's folder, for lessons of few steps."""
    monkeypatch.setattr(page_folder, "BUILT", built)
    engine, method = open_quick()
    report = page_folder.write_page(engine, method, tmp_path / "page", [PX])
    assert report.page_bytes < 30_000_000  # the first load
    return tmp_path / "page"


def test_a_domain_of_the_shell_in_a_browser(
    run_tests: RunTests, lesson: Path, page: Path, chromium: str
) -> None:
    with running(make_server(page, 0)) as address:
        run_tests("import", ADDAPT_PAGE=address, ADDAPT_CHROMIUM=chromium)

    # The model that a browser exported says what the shell says.
    model = onnxruntime.InferenceSession(lesson / "squares.onnx")
    path = lesson / "squares" / "fine" / "0.png"
    image = np.asarray(Image.open(path).convert("RGB"))[None]
    probabilities, _ = model.run(None, {"images": image})
    (said,) = Learner(open_quick()[0], lesson / "store").predict([path], "squares")
    assert probabilities.max() == pytest.approx(said.probability, abs=1e-4)


@pytest.mark.slow  # a minute
def test_the_page_in_a_browser(
    run_tests: RunTests, lesson: Path, page: Path, chromium: str, tmp_path: Path
) -> None:
    engine, _ = open_quick()
    page_folder.write_page(engine, Long(first_block=FIRST_BLOCK), tmp_path / "long", [PX])
    write_clip(tmp_path / "green.y4m", lesson / "images" / "green" / "3.png")
    plain = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(page)))
    with ExitStack() as stack:
        run_tests(
            "browser",
            ADDAPT_PAGE=stack.enter_context(running(make_server(page, 0))),
            ADDAPT_LONG_PAGE=stack.enter_context(running(make_server(tmp_path / "long", 0))),
            ADDAPT_PLAIN_PAGE=stack.enter_context(running(plain)),
            ADDAPT_CHROMIUM=chromium,
            ADDAPT_CLIP=str(tmp_path / "green.y4m"),
        )

    # PNG files are the same everywhere: so is what is learned from them.
    info, tensors = read_domain(lesson / "exported.safetensors")
    of_shell = Store(lesson / "store").read(NAME)
    assert info.options["held_out"] == of_shell[0].options["held_out"]
    assert info.val_accuracy == of_shell[0].val_accuracy
    for name in tensors.keys() - SIGNATURE:  # whose axes may point either way
        np.testing.assert_allclose(tensors[name], of_shell[1][name], atol=1e-3, err_msg=name)
    with zipfile.ZipFile(lesson / "exported.zip") as packed:
        assert {Path(name).parent.name for name in packed.namelist()} == set(CLASSES)
        assert len(packed.namelist()) == info.train_images + info.val_images
