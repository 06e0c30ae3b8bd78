"""The page in a real browser: served, taught, and what it gives read by the shell."""

import os
import shutil
import threading
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from addapt.domains import Store
from addapt.domains.file import read_domain
from addapt.page import folder as page_folder
from addapt.page.server import make_server
from tests.web.conftest import RunTests
from tests.web.lessons import CLASSES, NAME, PX, open_quick

BROWSERS = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")


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


@pytest.fixture
def chromium() -> str:
    """Return a browser, or skip by name what cannot be tested without one."""
    found = os.environ.get("ADDAPT_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), "")
    if not found:
        pytest.skip("the page is not tried in a browser: there is no Chromium")
    return found


@pytest.mark.slow  # half a minute
def test_the_page_in_a_browser(
    run_tests: RunTests,
    lesson: Path,
    built: Path,
    chromium: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(page_folder, "BUILT", built)
    engine, method = open_quick()
    report = page_folder.write_page(engine, method, tmp_path / "page", [PX])
    assert report.page_bytes < 30_000_000  # the first load
    plain = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(tmp_path / "page")))
    with ExitStack() as stack:
        run_tests(
            "browser",
            ADDAPT_PAGE=stack.enter_context(running(make_server(tmp_path / "page", 0))),
            ADDAPT_PLAIN_PAGE=stack.enter_context(running(plain)),
            ADDAPT_CHROMIUM=chromium,
        )

    # PNG files are the same everywhere: so is what is learned from them.
    info, tensors = read_domain(lesson / "exported.safetensors")
    of_shell = Store(lesson / "store").read(NAME)
    assert info.options["held_out"] == of_shell[0].options["held_out"]
    assert info.val_accuracy == of_shell[0].val_accuracy
    for name, tensor in tensors.items():
        np.testing.assert_allclose(tensor, of_shell[1][name], atol=1e-3, err_msg=name)
    with zipfile.ZipFile(lesson / "exported.zip") as packed:
        assert {Path(name).parent.name for name in packed.namelist()} == set(CLASSES)
        assert len(packed.namelist()) == info.train_images + info.val_images
