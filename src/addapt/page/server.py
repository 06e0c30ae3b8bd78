"""A server of static files for this machine alone, with the headers that the page asks for."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from addapt._errors import OptionError

LOOPBACK = "127.0.0.1"
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
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def list_directory(self, path: object) -> None:
        """Show no list of files."""
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


def make_server(folder: Path, port: int = PORT) -> ThreadingHTTPServer:
    """Return a server of a folder that listens on the loopback address; port 0 is any free one.

    Raises:
        OptionError: the port is taken or not allowed.
    """
    handler = partial(PageHandler, directory=str(folder))
    try:
        return ThreadingHTTPServer((LOOPBACK, port), handler)
    except (OSError, OverflowError) as error:
        raise OptionError(
            f"`port` is {port}, which cannot be listened on ({error}): give another one, or 0 for "
            "any that is free."
        ) from error
