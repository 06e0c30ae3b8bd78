"""`addapt page` and `addapt serve`: what they write, send and refuse."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from addapt.page import folder
from addapt.page.server import make_server
from tests.cli.conftest import refused, run_json, said


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in for the page's own code."""
    built = tmp_path / "built"
    built.mkdir()
    (built / "index.html").write_text("<p>page")
    monkeypatch.setattr(folder, "BUILT", built)
    return built


def test_a_page_is_written_whole(built: Path, tmp_path: Path) -> None:
    out = tmp_path / "below" / "page"
    report = run_json("page", out, "--image-px", "32")
    assert report["sizes"] == [32] and report["folder"] == str(out)
    files = {file.name: file.stat().st_size for file in out.iterdir()}
    assert report["page_bytes"] == sum(files.values())
    page = json.loads((out / "page.json").read_text())
    graphs = page["graphs"]
    (sized,) = graphs["sizes"]
    kinds = ("learning", "recognising", "template", "signed_template")
    named = {graphs["weights"], graphs["first_values"], *(sized[kind] for kind in kinds)}
    named |= {graphs["look"]["recognising"], "page.json", "index.html"}
    assert files.keys() == named
    sizes = [int(side) for _, shape in graphs["parameters"] for side in shape[:1]]
    assert len(sizes) == len(graphs["parameters"]) > 100
    assert page["backbone"]["name"] == "efficientnet_lite0" and page["method"] == "da3"
    assert [path.name for path in (tmp_path / "below").iterdir()] == ["page"]

    message = refused("page", out, "--image-px", "32")
    assert f"The folder {out} is not empty" in message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--image-px", "8"), "--image-px is 8: give 32 to 2048"),
        (("--image-px", "96", "--image-px", "96"), "[96, 96] have none, or one twice"),
        (("--backbone", "lite"), "Unknown backbone 'lite'"),
        (("--weights", "missing.pth"), "missing.pth"),
    ],
)
def test_what_makes_no_sense_is_refused(
    built: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    assert message in refused("page", tmp_path / "page", *words)
    assert not (tmp_path / "page").exists()


def test_a_file_in_the_way_is_left_alone(built: Path, tmp_path: Path) -> None:
    (tmp_path / "page").write_text("mine")
    assert "in the way" in refused("page", tmp_path / "page", "--image-px", "32")
    assert (tmp_path / "page").read_text() == "mine"


def test_a_page_that_was_not_built_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "BUILT", tmp_path / "nowhere")
    for words in (("page", tmp_path / "page"), ("serve", "--port", "0")):
        assert "run: make page" in refused(*words)


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"--port is {port}, which cannot be listened on" in refused("serve", "--port", port)


def test_help_tells_who_can_see_the_page() -> None:
    assert "Only this machine can open it" in " ".join(said("serve", "--help").split())


SERVE = """
import sys
from pathlib import Path
from addapt.page import folder
folder.BUILT = Path(sys.argv.pop())
from addapt.cli.main import main
main()
"""


def test_serving_ends_when_asked_to_and_leaves_nothing(built: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    words = ("serve", "--port", "0", "--no-browser", "--image-px", "32", str(built))
    with subprocess.Popen(
        [sys.executable, "-u", "-c", SERVE, *words],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            told = process.stdout.readline()
            found = re.search(r"http://(127\.0\.0\.1):(\d+)/", told)
            assert found, told + process.stderr.read()
            assert ask(HTTPConnection(found[1], int(found[2])), "/page.json").status == 200
            assert len(list(temporary.glob("addapt-page-*"))) == 1
            process.send_signal(signal.SIGTERM)
            assert process.wait() == 128 + signal.SIGTERM
            assert process.stderr.read() == "Stopped.\n"
        finally:
            process.kill()
    assert list(temporary.glob("addapt-page-*")) == []


@pytest.fixture
def connection(built: Path) -> Iterator[HTTPConnection]:
    """Return a connection to a server of the stand-in, which has a folder in it."""
    (built / "runtime").mkdir()
    (built / "runtime" / "x.wasm").write_bytes(b"\0asm")
    with make_server(built, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        connection = HTTPConnection(*server.server_address[:2])  # type: ignore[arg-type]
        try:
            yield connection
        finally:
            connection.close()
            server.shutdown()
            thread.join()


def ask(connection: HTTPConnection, path: str) -> HTTPResponse:
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    return response


def test_the_server_isolates_the_page(connection: HTTPConnection) -> None:
    assert connection.host == "127.0.0.1"
    for path, kind in (("/", "text/html; charset=utf-8"), ("/runtime/x.wasm", "application/wasm")):
        response = ask(connection, path)
        assert (response.status, response.headers["Content-Type"]) == (200, kind)
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert response.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/../built.txt", "/%2e%2e/built.txt", "/..%2fbuilt.txt", "//etc/passwd", "/runtime/"]
)
def test_the_server_gives_out_nothing_else(
    connection: HTTPConnection, tmp_path: Path, path: str
) -> None:
    (tmp_path / "built.txt").write_text("secret")
    assert ask(connection, path).status == 404


def test_who_may_ask_for_the_domains_of_a_device(built: Path, tmp_path: Path) -> None:
    assert "give --store, too" in refused("serve", "--host", "0.0.0.0")
    file = tmp_path / "file"
    file.write_text("no store")
    assert "could not be read" in refused("serve", "--store", file, "--port", "0")
    short = ("serve", "--store", tmp_path, "--host", "0.0.0.0", "--token", "short")
    assert "--token has 5 characters" in refused(*short)
    strange = ("serve", "--store", tmp_path, "--host", "no.such.host.invalid", "--port", "0")
    assert "--host is 'no.such.host.invalid'" in refused(*strange)
