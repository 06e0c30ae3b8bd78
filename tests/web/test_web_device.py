"""The domains of a device through the page in a real browser."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from addapt.domains.file import read_domain
from addapt.learning import Learner
from addapt.page import folder as page_folder
from addapt.page.access import Access
from addapt.page.device import Device, DeviceHandler
from addapt.page.server import make_server
from tests.web.conftest import RunTests
from tests.web.lessons import CLASSES, PX, open_quick
from tests.web.test_web_page import running

TOKEN = "a-token-of-some-length"


@pytest.mark.slow  # half a minute
def test_a_device_in_a_browser(
    run_tests: RunTests,
    lesson: Path,
    built: Path,
    chromium: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(page_folder, "BUILT", built)
    engine, method = open_quick()
    page_folder.write_page(engine, method, tmp_path / "page", [PX])
    learn = Learner.learn

    def quick(self: Learner, *words: Any, **options: Any) -> Any:
        return learn(self, *words, method=method, image_px=PX, **options)

    monkeypatch.setattr(Learner, "learn", quick)
    device = Device(tmp_path / "store", lambda: open_quick()[0], Access(TOKEN), threads=1)
    handler = partial(DeviceHandler, device=device)
    with running(make_server(tmp_path / "page", 0, handler=handler)) as address:
        run_tests("device", ADDAPT_PAGE=f"{address}?token={TOKEN}", ADDAPT_CHROMIUM=chromium)
    info, _ = read_domain(lesson / "from_device.safetensors")
    assert info.classes == CLASSES
    assert not (tmp_path / "store" / ".uploads" / "board").exists()
