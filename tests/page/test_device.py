"""The domains of a device behind the page: what is offered, taught and refused."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from addapt._errors import OptionError
from addapt.domains import Store
from addapt.engines.base import Engine
from addapt.learning import Learner
from addapt.page import teaching, uploads
from addapt.page.access import Access, make_token
from addapt.page.device import Device, DeviceHandler
from addapt.page.server import make_server
from tests.conftest import write_images
from tests.fake_engine import FakeEngine

CLASSES = ("blue", "green", "red")
TOKEN = "a-token-of-some-length"


class Client:
    """Asks a server, each time by a connection of its own."""

    def __init__(self, port: int, device: Device) -> None:
        self.port, self.device = port, device

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read()
            is_json = response.headers.get("Content-Type") == "application/json"
            return response.status, json.loads(content) if is_json else content
        finally:
            connection.close()

    def send(self, folder: Path, name: str = "colours") -> int:
        """Send the images of class folders; return how many."""
        paths = sorted(folder.glob("*/*.png"))
        for number, path in enumerate(paths):
            place = f"/api/images/{name}/{path.parent.name}/{number}"
            assert self.ask("PUT", place, path.read_bytes()) == (200, {})
        return len(paths)

    def learn(self, **order: object) -> tuple[int, Any]:
        return self.ask("POST", "/api/learning", json.dumps(order).encode())

    def ended(self) -> dict[str, Any]:
        """Listen to the events until the lesson has ended; return the last."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", "/api/learning")
        response = connection.getresponse()
        assert response.headers["Content-Type"] == "text/event-stream"
        while True:
            line = response.readline()
            if line.startswith(b"data: "):
                lesson: dict[str, Any] = json.loads(line[6:])
                if lesson["state"] != "learning":
                    response.close()
                    connection.close()
                    return lesson


@contextmanager
def serving(store: Path, page: Path, token: str | None = None) -> Iterator[Client]:
    page.mkdir(exist_ok=True)
    (page / "index.html").write_text("<p>page")
    device = Device(store, FakeEngine, Access(token), threads=1)
    with make_server(page, 0, handler=partial(DeviceHandler, device=device)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Client(server.server_port, device)
        finally:
            device.teaching.stop(10)
            server.shutdown()
            thread.join()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with serving(tmp_path / "store", tmp_path / "page") as client:
        yield client


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_images(tmp_path / "images", CLASSES, 6, 32, 0)
    return tmp_path / "images"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have lessons take few steps, by the method that the engine of tests has."""
    learn = Learner.learn

    def quick(self: Learner, *words: Any, **options: Any) -> Any:
        return learn(self, *words, method="head", epochs=2, image_px=32, **options)

    monkeypatch.setattr(Learner, "learn", quick)


def test_a_domain_is_taught_tried_and_downloaded(
    client: Client, images: Path, tmp_path: Path
) -> None:
    assert client.ask("GET", "/") == (200, b"<p>page")
    assert client.ask("GET", "/device.json") == (200, {"offered": True})
    assert client.ask("GET", "/api/store") == (200, {"domains": []})
    sent = client.send(images)
    assert client.learn(name="colours", images=sent)[0] == 202
    lesson = client.ended()
    assert lesson["state"] == "learned" and lesson["accuracy"] == 1.0, lesson

    (known,) = client.ask("GET", "/api/store")[1]["domains"]
    assert known["name"] == "colours" and known["classes"] == list(CLASSES)
    assert known["images"] == sent and known["accuracy"] == 1.0
    red = (images / "red" / "0.png").read_bytes()
    status, found = client.ask("POST", "/api/try?domain=colours", red)
    assert (status, found["nearest"], found["top"][0][0]) == (200, "colours", "red")
    assert client.ask("POST", "/api/try", red)[1]["label"] == "red"
    file = (tmp_path / "store" / "colours.safetensors").read_bytes()
    assert client.ask("GET", "/api/domains/colours.safetensors") == (200, file)
    assert not (tmp_path / "store" / uploads.UPLOADS_FOLDER / "colours").exists()

    info = Store(tmp_path / "store").info("colours")
    assert info.train_images + info.val_images == sent
    client.send(images)
    status, refused = client.learn(name="colours", images=sent)
    assert status == 409 and "There is a domain 'colours'" in refused["error"]
    assert client.learn(name="colours", images=sent, restart=True)[0] == 202
    assert client.ended()["state"] == "learned"


def test_one_lesson_at_a_time_which_can_be_stopped_and_goes_on(
    client: Client, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, second = client.send(images), client.send(images, "others")
    began, go_on, watch = threading.Event(), threading.Event(), client.device.teaching._watch

    def wait(progress: Any) -> None:
        watch(progress)
        if progress.phase == "learning":
            began.set()
            assert go_on.wait(20)

    monkeypatch.setattr(client.device.teaching, "_watch", wait)
    assert client.learn(name="colours", images=sent)[0] == 202
    assert began.wait(20)
    status, refused = client.learn(name="others", images=second)
    assert status == 409 and "'colours' is being taught" in refused["error"]
    assert client.ask("DELETE", "/api/images/colours")[0] == 409
    assert client.ask("DELETE", "/api/learning") == (200, {})
    go_on.set()
    lesson = client.ended()
    assert lesson["state"] == "stopped" and lesson["done"] > 0
    assert client.learn(name="colours")[0] == 202
    assert client.ended()["state"] == "learned"


def test_what_goes_wrong_in_a_lesson_is_told(client: Client, images: Path) -> None:
    (images / "green" / "0.png").rename(images / "lone.png")
    for path in (images / "green").iterdir():
        path.unlink()
    (images / "lone.png").rename(images / "green" / "0.png")
    assert client.learn(name="colours", images=client.send(images))[0] == 202
    lesson = client.ended()
    assert lesson["state"] == "failed" and "holds a single image" in lesson["words"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/api/domains/..%2Fsecret.safetensors", b"", 404, "Unknown domain '../secret'"),
        ("GET", "/api/nothing", b"", 404, "Unknown request"),
        ("PUT", "/api/images/..%2Fup/red/0", b"x", 409, "cannot be called '../up'"),
        ("PUT", "/api/images/colours/..%2Fup/0", b"x", 422, "cannot be called '../up'"),
        ("PUT", "/api/images/colours/../0", b"x", 422, "cannot be called '..'"),
        ("PUT", "/api/images/colours/red/-1", b"x", 422, "give a whole number"),
        ("PUT", "/api/images/colours/red/20000", b"x", 422, "at most 20000"),
        ("PUT", "/api/images/colours/red/0", b"", 422, "An image of 0 bytes"),
        ("PUT", "/api/images/colours/red/0", b"no image", 422, "red/0 is not an image"),
        ("DELETE", "/api/images/..", b"", 409, "cannot be called '..'"),
        ("POST", "/api/try?domain=none", b"x", 404, "Unknown domain 'none'"),
        ("POST", "/api/try", b"x", 409, "There is no domain"),
        ("POST", "/api/learning", b"[]", 422, "Begin a lesson with"),
        ("POST", "/api/learning", b'{"name": "../up"}', 409, "cannot be called '../up'"),
        ("POST", "/api/learning", b'{"name": "a", "images": 3}', 409, "0 have arrived"),
    ],
)
def test_what_is_wrong_is_refused_in_words(
    client: Client, tmp_path: Path, method: str, path: str, body: bytes, status: int, words: str
) -> None:
    (tmp_path / "secret.safetensors").write_text("secret")
    told, answer = client.ask(method, path, body)
    assert told == status and words in answer["error"], answer
    assert str(tmp_path) not in answer["error"].replace(str(tmp_path / "store"), "")
    assert [found for found in tmp_path.rglob("*.image")] == []
    assert not (tmp_path / "up").exists()


def test_bounds_of_bytes(client: Client, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = (images / "red" / "0.png").read_bytes()
    monkeypatch.setattr(uploads, "MOST_BYTES", int(1.5 * len(image)))
    assert client.ask("PUT", "/api/images/colours/red/0", image) == (200, {})
    status, refused = client.ask("PUT", "/api/images/colours/red/1", image)
    assert status == 422 and "would take more than" in refused["error"]
    assert client.ask("DELETE", "/api/images/colours") == (200, {})
    assert client.ask("PUT", "/api/images/colours/red/1", image) == (200, {})
    monkeypatch.setattr(uploads, "MOST_FILE_BYTES", 10)
    assert client.ask("PUT", "/api/images/colours/red/2", image)[0] == 422


def test_a_full_disk_is_told(client: Client, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(uploads, "stream_atomically", full)
    image = (images / "red" / "0.png").read_bytes()
    status, refused = client.ask("PUT", "/api/images/colours/red/0", image)
    assert status == 507 and "the disk is full" in refused["error"]


def test_foreign_pages_are_refused(client: Client) -> None:
    assert client.ask("GET", "/api/store", Host="evil.example:80")[0] == 403
    assert client.ask("GET", "/api/store", Host=f"localhost:{client.port}")[0] == 200
    for strange in ("", "[", "127.0.0.1.evil.example", "localhost@evil.example"):
        assert client.ask("GET", "/api/store", Host=strange)[0] == 403
    foreign = {"Origin": "http://evil.example"}
    assert client.ask("DELETE", "/api/learning", None, **foreign)[0] == 403
    own = {"Origin": f"http://127.0.0.1:{client.port}"}
    assert client.ask("DELETE", "/api/learning", None, **own)[0] == 200


def test_with_a_token_nobody_else_is_answered(tmp_path: Path) -> None:
    with serving(tmp_path / "store", tmp_path / "page", TOKEN) as client:
        assert client.ask("GET", "/")[0] == 200
        assert client.ask("GET", "/api/store")[0] == 403
        for wrong in (f"addapt-token={TOKEN}x", "addapt-token=", "addapt-token=ä", "; ;="):
            assert (
                client.ask("GET", "/api/store", Cookie=wrong.encode().decode("latin-1"))[0] == 403
            )
        assert client.ask("GET", "/api/store", Cookie=f"addapt-token={TOKEN}")[0] == 200
        bearer = {"Authorization": f"Bearer {TOKEN}", "Host": "board.local"}
        assert client.ask("GET", "/api/store", None, **bearer)[0] == 200
        connection = HTTPConnection("127.0.0.1", client.port)
        for token, cookies in ((TOKEN, 1), ("wrong", 0)):
            connection.request("GET", f"/?token={token}")
            response = connection.getresponse()
            response.read()
            assert (response.status, response.headers["Location"]) == (303, "/")
            assert len(response.headers.get_all("Set-Cookie") or []) == cookies
        connection.close()


def test_tokens() -> None:
    assert len(make_token(None)) >= 32 and make_token(None) != make_token(None)
    assert make_token(TOKEN) == TOKEN
    for wrong in (
        "short",
        "with a blank in it and long",
        "Ünlimited-and-long",
        "semi;colon-and-long",
    ):
        with pytest.raises(Exception, match="`token` has"):
            make_token(wrong)


def test_an_engine_of_its_own_learns(tmp_path: Path) -> None:
    opened = list[Engine]()

    def open_engine() -> Engine:
        opened.append(FakeEngine())
        return opened[-1]

    device = Device(tmp_path, open_engine, Access(None), threads=1)
    assert device.teaching.wait(-1, 0)[1].state == teaching.IDLE
    assert len(opened) == 1


def test_an_address_of_another_machine_is_told(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"`host` is '203\.0\.113\.9', .*address of this machine"):
        make_server(tmp_path, 0, "203.0.113.9")
