"""A server of static files, with the headers that the page asks for."""

import socket
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from addapt._errors import OptionError
from addapt._hosts import LOOPBACK

PORT = 8765


class PageHandler(SimpleHTTPRequestHandler):
    """Gives out the files of one folder, and nothing that lies above it."""

    extensions_map: ClassVar[dict[str, str]] = {  # type: ignore[misc]
        "": "application/octet-stream",
        ".css": "text/css",
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript",
        ".json": "application/json",
        ".mjs": "text/javascript",
        ".svg": "image/svg+xml",
        ".wasm": "application/wasm",
        ".webmanifest": "application/manifest+json",
    }

    def end_headers(self) -> None:
        """Have the browser isolate the page, which gives it threads, and ask for new files."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def list_directory(self, path: object) -> None:
        """Show no list of files."""
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


def make_server(
    folder: Path,
    port: int = PORT,
    host: str = LOOPBACK,
    handler: Callable[..., PageHandler] = PageHandler,
) -> ThreadingHTTPServer:
    """Return a server of a folder.

    Args:
        folder: of the page.
        port: where it listens; 0 is any that is free.
        host: an address of this machine, by default the one that only itself can reach.
        handler: answers, given `directory`.

    Raises:
        OptionError: the address or the port is not to be had.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        server = type("PageServer", (ThreadingHTTPServer,), {"address_family": family})
        found: Any = server(address[:2], partial(handler, directory=str(folder)))
    except (OSError, OverflowError, UnicodeError) as error:
        given, remedy = f"`port` is {port}", "give another one, or 0 for any that is free"
        if host != LOOPBACK:
            given = f"`host` is {host!r}, {given}"
            remedy = "give an address of this machine, such as 0.0.0.0, or another port"
        raise OptionError(f"{given}, which cannot be listened on ({error}): {remedy}.") from error
    assert isinstance(found, ThreadingHTTPServer)
    return found
