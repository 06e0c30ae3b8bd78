"""Where a server of a fleet is, and how it is reached."""

from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"


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

    @property
    def words(self) -> list[str]:
        """What Flower's programs have to be told of TLS."""
        if self.certificate is None:
            return ["--insecure"]
        return ["--root-certificates", str(self.certificate)]
