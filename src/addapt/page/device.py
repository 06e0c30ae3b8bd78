"""The domains of a device's store, offered to the page: what it may ask, and what is answered."""

import dataclasses
import json
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from addapt._disk import CHUNK_BYTES, disk_reason
from addapt._errors import AddaptError, DataError, DomainError, OptionError, UnknownNameError
from addapt.domains import Store
from addapt.domains.layout import SUFFIX
from addapt.engines.base import Engine
from addapt.learning import Learner
from addapt.page.access import COOKIE, Access, Forbidden
from addapt.page.server import PageHandler
from addapt.page.teaching import Busy, Teaching
from addapt.page.uploads import MOST_FILE_BYTES, Uploads

API = "/api/"
OFFERED = "/device.json"  # in whose place the folder of the page says no
ORDER_BYTES = 10_000  # of the words that begin a lesson
HEARTBEAT_S = 15.0  # a browser that has gone is noticed by writing to it
STALLED_S = 60.0  # after so long without a byte a connection is given up
TOP = 5


class Device:
    """A store and what recognises and learns for it.

    Args:
        store: the folder of the domains.
        open_engine: opens an engine.
        access: who may ask.
        threads: of the processor; None tries how many are the fastest.

    Raises:
        AddaptError: the store cannot be read, or there is no such engine.
    """

    def __init__(
        self,
        store: Path,
        open_engine: Callable[[], Engine],
        access: Access,
        threads: int | None = None,
    ) -> None:
        Store(store).names()  # which says what is wrong if it cannot be listed
        engine = open_engine()
        if threads is not None:
            engine.threads = threads
        self.access = access
        self.uploads = Uploads(store)
        self._learner = Learner(engine, store)
        self._one = threading.Lock()  # what recognises is used by one thread at a time
        self.teaching = Teaching(open_engine, self._learner, self.uploads, threads)

    def domains(self) -> list[dict[str, Any]]:
        """Return what is known about each domain, or what is wrong with it."""
        found: list[dict[str, Any]] = []
        for name in self._learner.store.names():
            try:
                info = self._learner.store.info(name)
                found.append(
                    {
                        "name": name,
                        "classes": info.classes,
                        "image_px": info.image_px,
                        "images": info.train_images + info.val_images,
                        "accuracy": info.val_accuracy,
                        "date": info.date,
                    }
                )
            except AddaptError as error:
                found.append({"name": name, "problem": str(error)})
        return found

    def file(self, name: str) -> Path:
        """Return the file of a domain, or raise an UnknownNameError."""
        return self._learner.store.require(name)

    def recognise(self, image: Path, domain: str | None) -> dict[str, Any]:
        """Return what an image is: of one domain, or of any."""
        with self._one:
            (found,) = self._learner.recognise([image], domain, top=TOP)
        told = ("domain", "label", "probability", "nearest", "top")
        return {name: getattr(found, name) for name in told}


class DeviceHandler(PageHandler):
    """Gives out the page, and below /api/ what a device has."""

    timeout = STALLED_S

    def __init__(self, *arguments: Any, device: Device, **options: Any) -> None:
        self._device = device
        self._unread = 0
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:
        """Answer what changes nothing."""
        asked = urlsplit(self.path)
        token = parse_qs(asked.query).get("token")
        if asked.path == "/" and token:
            self._take_token(token[0])
        elif asked.path.startswith(API):
            self._answer()
        elif asked.path == OFFERED:
            self._give({"offered": True})
        else:
            super().do_GET()

    def do_POST(self) -> None:
        """Try an image, or begin a lesson."""
        self._answer()

    def do_PUT(self) -> None:
        """Take an image to learn from."""
        self._answer()

    def do_DELETE(self) -> None:
        """Stop a lesson, or forget the images of one."""
        self._answer()

    def _take_token(self, token: str) -> None:
        """Turn the token of the address into a cookie, so that it stands in no history."""
        self.send_response(HTTPStatus.SEE_OTHER)
        if self._device.access.opens(token):
            cookie = f"{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/"
            self.send_header("Set-Cookie", cookie)
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self) -> None:
        with suppress(ConnectionError, TimeoutError):  # the browser has gone
            self._attempt()

    def _attempt(self) -> None:
        try:
            self._device.access.check(self.headers, changes=self.command != "GET")
            self._unread = self._length()
            self._route()
        except (ConnectionError, TimeoutError):
            raise
        except AddaptError as error:
            self._give({"error": str(error)}, _status_of(error))
        except OSError as error:
            words = f"The device could not do that because {disk_reason(error)}"
            self._give({"error": words}, HTTPStatus.INSUFFICIENT_STORAGE)

    def _route(self) -> None:
        path = urlsplit(self.path).path.removeprefix(API)
        match (self.command, *(unquote(part) for part in path.split("/"))):
            case "GET", "store":
                self._give({"domains": self._device.domains()})
            case "GET", "domains", file if file.endswith(SUFFIX):
                self._give_file(file.removesuffix(SUFFIX))
            case "POST", "try":
                self._try()
            case "PUT", "images", name, label, number:
                self._require_idle(name)
                size_bytes = self._unread
                self._device.uploads.add(name, label, _whole(number), size_bytes, self._read)
                self._give({})
            case "DELETE", "images", name:
                self._require_idle(name)
                self._device.uploads.remove(name)
                self._give({})
            case "GET", "learning":
                self._stream()
            case "POST", "learning":
                self._device.teaching.start(**self._order())
                self._give({}, HTTPStatus.ACCEPTED)
            case "DELETE", "learning":
                self._device.teaching.stop()
                self._give({})
            case _:
                raise UnknownNameError("request", f"{self.command} {self.path[:80]}", ())

    def _require_idle(self, name: str) -> None:
        if self._device.teaching.is_teaching(name):
            raise Busy(f"{name!r} is being taught: its images stay until that has finished.")

    def _try(self) -> None:
        domain = parse_qs(urlsplit(self.path).query).get("domain", [None])[0]
        if not 0 < self._unread <= MOST_FILE_BYTES:
            raise DataError(f"An image of {self._unread} bytes: 1 to {MOST_FILE_BYTES} are taken.")
        with tempfile.TemporaryDirectory(prefix="addapt-try-") as folder:
            path = Path(folder) / "image"
            with path.open("wb") as file:
                while part := self._read(CHUNK_BYTES):
                    file.write(part)
            try:
                self._give(self._device.recognise(path, domain))
            except DataError as error:
                raise DataError(str(error).replace(str(path), "that was sent")) from None

    def _order(self) -> dict[str, Any]:
        if self._unread > ORDER_BYTES:
            raise OptionError(f"More than {ORDER_BYTES} bytes to begin a lesson.")
        try:
            order = json.loads(self._read(ORDER_BYTES))
            name, images = order["name"], order.get("images")
            extend, restart = order.get("extend", False), order.get("restart", False)
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            name = None
        if not isinstance(name, str) or not (images is None or type(images) is int):
            raise OptionError('Begin a lesson with {"name": NAME, "images": HOW_MANY}.')
        return {
            "name": name,
            "images": images,
            "extend": extend is True,
            "restart": restart is True,
        }

    def _stream(self) -> None:
        """Tell how far the lesson is, as server-sent events, as long as the browser listens."""
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        version = -1
        while True:
            before = version
            version, lesson = self._device.teaching.wait(version, HEARTBEAT_S)
            news = f"data: {json.dumps(dataclasses.asdict(lesson))}\n\n"
            self.wfile.write((":\n\n" if version == before else news).encode())
            self.wfile.flush()

    def _give_file(self, name: str) -> None:
        with self._device.file(name).open("rb") as file:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Disposition", f'attachment; filename="{name}{SUFFIX}"')
            self.end_headers()
            shutil.copyfileobj(file, self.wfile)

    def _give(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Answer with JSON; what was sent and not read is, as else it is not heard."""
        self._unread = min(self._unread, MOST_FILE_BYTES)
        while self._read(CHUNK_BYTES):
            pass
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _length(self) -> int:
        text = self.headers.get("Content-Length", "0")
        if not (text.isascii() and text.isdigit()) or "Transfer-Encoding" in self.headers:
            raise DataError("Send the length of what comes as `Content-Length`.")
        return int(text[:18])

    def _read(self, most: int) -> bytes:
        part = self.rfile.read(min(most, self._unread))
        self._unread = self._unread - len(part) if part else 0
        return part


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise DataError(f"An image is number {text[:80]!r}: give a whole number, from 0 on.")
    return int(text)


def _status_of(error: AddaptError) -> HTTPStatus:
    if isinstance(error, Forbidden):
        return HTTPStatus.FORBIDDEN
    if isinstance(error, UnknownNameError):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, Busy | DomainError):
        return HTTPStatus.CONFLICT
    return HTTPStatus.UNPROCESSABLE_ENTITY
