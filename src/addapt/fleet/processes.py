"""Flower's processes: started in a home of their own, told to report nothing, and ended."""

import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO

from addapt._disk import disk_reason
from addapt._errors import FleetError, MissingPackageError, OptionError
from addapt._hosts import LOOPBACK
from addapt.fleet.link import Link
from addapt.fleet.news import NewsReader
from addapt.fleet.own_app import SETTINGS, write_programs

APP = Path(__file__).with_name("app")  # what `flwr run` takes
START_S, END_S, LOOK_EVERY_S = 60.0, 5.0, 0.2
SERVER = "fleet"  # as Flower's commands call it
NODE = "flower-supernode"
# Flower's node does not say why a server refuses it.
KEYS_HINT = (
    "Does the server know this device's key, is the certificate the server's, and does the clock "
    "here agree with the server's (5 s ahead or 5 min behind is too much)? "
)
# Flower's own words in a node's log.
KNOWN, SENT = b"SuperNode ID: ", b"Sent successfully"
SEND_S, TAKEN_S = 20.0, 7.0
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
LAST_LINES = 15  # of a process's own words, when it ended by itself

PR_SET_PDEATHSIG = 1  # from Linux's prctl.h
Value = str | int | float | bool


def require_flower() -> None:
    """Raise a MissingPackageError if Flower is not installed."""
    if find_spec("flwr") is None:
        raise MissingPackageError(
            "Fleets need Flower, which is not installed: pip install 'addapt[fleet]'."
        )


class ProgramEnded(FleetError):
    """One of Flower's programs has ended by itself."""


class FlowerHome:
    """A temporary home of Flower's, and the processes that were started in it.

    Raises:
        FleetError: the disk refused.
    """

    def __init__(self) -> None:
        with ExitStack() as undo:
            try:
                self._folder = tempfile.TemporaryDirectory(prefix="addapt-fleet-")
                undo.callback(self._folder.cleanup)
                self.path = Path(self._folder.name)
                self._own = self.path / "programs"
                write_programs(self._own)
                self.news = NewsReader(self.path / "news")  # what its apps tell
            except OSError as error:
                raise FleetError(
                    "Flower's own files were not written to the folder of temporary files because "
                    f"{disk_reason(error)} The variable TMPDIR names another folder."
                ) from error
            undo.pop_all()
        self._running: list[tuple[str, subprocess.Popen[bytes], IO[bytes]]] = []

    def __enter__(self) -> "FlowerHome":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for _, process, _ in self._running:
            _signal(process, signal.SIGTERM)
        until = time.monotonic() + END_S
        for _, process, log in self._running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, until - time.monotonic()))
            _signal(process, signal.SIGKILL)  # what it has started, too
            process.wait()
            log.close()
        self.news.close()
        with suppress(OSError):  # what was ended may have been writing
            self._folder.cleanup()

    @property
    def environment(self) -> dict[str, str]:
        """What its processes see: Flower looks for its own programs on the path."""
        programs, path = str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)
        return {
            **os.environ,
            "FLWR_HOME": str(self.path),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "PATH": os.pathsep.join([str(self._own), programs, path]),
        }

    def start(self, program: str, *words: str) -> None:
        """Start a program; what it says goes into a file."""
        log = (self.path / f"{program}.log").open("wb")
        process = subprocess.Popen(
            [program, *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=self.environment,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
        self._running.append((program, process, log))

    def require_running(self) -> None:
        """Raise a ProgramEnded with its last words if a process has ended."""
        for program, process, _ in self._running:
            if process.poll() is not None:
                hint = KEYS_HINT if program == NODE else ""
                raise ProgramEnded(f"{program} ended by itself. {hint}{self.last_words(program)}")

    def last_words(self, program: str) -> str:
        """Return the end of what a program has said."""
        text = (self.path / f"{program}.log").read_text("utf-8", errors="replace")
        lines = [line.strip() for line in COLOURS.sub("", text).split("\n")]
        told = [line for line in lines if line and not line.startswith(("INFO", "WARNING"))]
        return f"It said: {' '.join(told[-LAST_LINES:])}" if told else ""

    def wait_for(self, link: Link) -> None:
        """Wait until a server answers.

        Raises:
            FleetError: it does not.
        """
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            self.require_running()
            if link.answers():
                return
            time.sleep(LOOK_EVERY_S)
        raise FleetError(f"Flower's server did not answer at {link.address} in {START_S:.0f} s.")

    def was_known(self) -> bool:
        """Tell whether a server has given a node its number."""
        return KNOWN in (self.path / f"{NODE}.log").read_bytes()

    def wait_for_sending(self) -> None:
        """Wait until a server has the answer that a node's app has just given, but not for long.

        A server looks every three seconds, and takes no answer from a node that has left.
        """
        log, until = self.path / f"{NODE}.log", time.monotonic() + SEND_S
        before = log.read_bytes().count(SENT)
        while time.monotonic() < until and log.read_bytes().count(SENT) == before:
            time.sleep(LOOK_EVERY_S)
        time.sleep(TAKEN_S)

    def connect(self, link: Link) -> None:
        """Have Flower's commands know a server."""
        connection = [f"address = {to_toml(link.address)}"]
        if link.certificate is None:
            connection.append("insecure = true")
        else:
            connection.append(f"root-certificates = {to_toml(str(link.certificate.absolute()))}")
        lines = ["[superlink]", f"default = {to_toml(SERVER)}", "", f"[superlink.{SERVER}]"]
        lines += connection
        (self.path / "config.toml").write_text("\n".join([*lines, ""]), encoding="utf-8")

    def run(self, settings: Mapping[str, Value]) -> None:
        """Have the server run the app with these settings.

        Raises:
            FleetError: it refused.
        """
        asked, told = self.path / SETTINGS, {**settings, "news": str(self.news.path)}
        asked.write_text(
            "".join(f"{name} = {to_toml(value)}\n" for name, value in told.items()),
            encoding="utf-8",
        )
        self.command("run", str(APP), SERVER, "--run-config", str(asked))

    def command(self, *words: str) -> None:
        """Run one of Flower's own commands.

        Raises:
            FleetError: it failed.
        """
        done = subprocess.run(
            ["flwr", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=self.environment,
            check=False,
        )
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise FleetError(f"Flower refused: {' '.join(said.split())[-1000:]}")


def to_toml(value: Value) -> str:
    """Write a value as TOML does.

    Raises:
        OptionError: Flower's command line cannot pass it on.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return repr(value)
    if any(letter in value for letter in "\"'") or not value.isprintable():
        raise OptionError(f"Flower cannot be given {value!r}: use names without quotation marks.")
    return json.dumps(value, ensure_ascii=False)


def node_config(settings: Mapping[str, Value]) -> str:
    """Write settings as Flower takes those of a node."""
    return " ".join(f"{name}={to_toml(value)}" for name, value in settings.items())


def free_port() -> int:
    """Return a port of this machine that nobody listens at just now."""
    with socket.create_server((LOOPBACK, 0)) as server:
        port: int = server.getsockname()[1]
    return port


@contextmanager
def server(
    link: Link, listen: str, tls: Sequence[str], devices: Sequence[Path]
) -> Iterator[FlowerHome]:
    """Run a server until the block ends.

    Args:
        link: how this machine reaches it.
        listen: the address to listen at.
        tls: what Flower's server has to be told of TLS.
        devices: public keys of those that may take part, where it asks for them.
    """
    require_flower()
    with FlowerHome() as home:
        home.start(
            "flower-superlink",
            *("--host", listen, "--port", str(link.port)),
            *tls,
            "--disable-runtime-dependency-installation",
        )
        home.wait_for(link)
        home.connect(link)
        for key in devices:
            home.command("supernode", "register", str(key), SERVER)
        yield home


@contextmanager
def node(link: Link, key: Path | None, settings: Mapping[str, Value]) -> Iterator[FlowerHome]:
    """Run a device's node until the block ends; it waits for a server that is away."""
    require_flower()
    with FlowerHome() as home:
        told = {**settings, "news": str(home.news.path)}
        home.start(
            NODE,
            *("--superlink", link.address),
            *link.words,
            *(() if key is None else ("--auth-supernode-private-key", str(key))),
            *("--port", str(free_port())),
            *("--node-config", node_config(told)),
        )
        yield home


def _end_with_parent() -> None:
    """Have Linux end this process when the one that started it is killed; no other system can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a process and all that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
