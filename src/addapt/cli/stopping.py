"""What Ctrl-C and a polite request to end do while a command works for a long time."""

import contextlib
import os
import signal
import sys
import threading
from types import FrameType, TracebackType

import typer

from addapt._errors import AddaptError
from addapt.cli.output import INTERRUPTED, say

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SIGNALLED = 128  # added to a signal's number, this is what a shell reports
PATIENCE_S = 4.0  # after that long it is over, whatever is being done
STANDARD_ERROR = 2
SHOW_CURSOR = "\x1b[?25h"  # a progress bar hides it


class StopOnSignal:
    """Ends a command on SIGINT or SIGTERM, within 5 seconds in any case.

    The first signal is a request, told by `asked`, while `gently` is set, and otherwise interrupts
    at once. The second one ends the process there and then. Nothing is lost by that, as files are
    written whole or not at all.
    """

    def __init__(self) -> None:
        self.asked = False
        self.gently = False
        self._code = INTERRUPTED
        self._deadline: threading.Timer | None = None

    def __enter__(self) -> "StopOnSignal":
        self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._deadline is None:
            return
        self._deadline.cancel()
        if isinstance(error, KeyboardInterrupt):
            say("Stopped.", err=True)
            raise typer.Exit(self._code) from None
        if isinstance(error, AddaptError) and error.exit_code == INTERRUPTED:
            error.exit_code = self._code

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._deadline is not None:
            self._end("Stopped at once.")
        self._code = SIGNALLED + number
        self._deadline = threading.Timer(
            PATIENCE_S, self._end, ["Stopped, as this step takes too long to wait for."]
        )
        self._deadline.daemon = True
        self._deadline.start()
        if not self.gently:
            raise KeyboardInterrupt
        self.asked = True
        _tell("Stopping after this step; once more stops at once.")

    def _end(self, message: str) -> None:
        """End the process without waiting for anything."""
        if sys.stderr.isatty():
            message = SHOW_CURSOR + message
        _tell(f"{message} What was saved last is kept.")
        os._exit(self._code)


def _tell(message: str) -> None:
    """Print from a signal's handler, which may have interrupted someone else's printing."""
    with contextlib.suppress(OSError):
        os.write(STANDARD_ERROR, f"\n{message}\n".encode())
