"""Where a server of a fleet is, and how it is reached."""

import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from addapt._errors import OptionError

ANSWER_S = 1.0  # is waited for an answer


@dataclass(frozen=True)
class Link:
    """Where a server is, and how it is reached: `certificate` is who signs for it, None for no TLS.

    `host` and `port` are as a device sees them.
    """

    host: str
    port: int
    certificate: Path | None = None

    @property
    def address(self) -> str:
        """The two together."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def answers(self) -> bool:
        """Tell whether anything answers there just now."""
        with suppress(OSError), socket.create_connection((self.host, self.port), ANSWER_S):
            return True
        return False

    @property
    def words(self) -> list[str]:
        """What Flower's programs have to be told of TLS."""
        if self.certificate is None:
            return ["--insecure"]
        return ["--root-certificates", str(self.certificate)]


def check_free(host: str, port: int) -> None:
    """Refuse an address of this machine that cannot be listened at.

    Raises:
        OptionError: that is so.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise OptionError(
            f"`host` is {host!r}, `port` is {port}, which cannot be listened on ({error}): give an "
            "address of this machine, such as 0.0.0.0, or another port."
        ) from error
