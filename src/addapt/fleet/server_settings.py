"""What was asked of a fleet's server, as its app is told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from addapt.domains import Store
from addapt.fleet.news import tell
from addapt.fleet.privacy import Privacy


@dataclass(frozen=True)
class ServerSettings:
    """What was asked for, from Flower's run configuration."""

    name: str
    rounds: int
    min_devices: int
    strategy: str
    store: Store
    restart: bool
    backbone: str
    weights: str | None
    method: str
    image_px: int | None
    seed: int
    privacy: Privacy | None
    round_timeout_s: float
    news: Path | None

    @classmethod
    def of(cls, said: dict[str, Any]) -> "ServerSettings":
        """Read them."""
        return cls(
            name=str(said["name"]),
            rounds=int(said["rounds"]),
            min_devices=int(said["min-devices"]),
            strategy=str(said["strategy"]),
            store=Store(Path(str(said["store"]))),
            restart=bool(said["restart"]),
            backbone=str(said["backbone"]),
            weights=str(said["weights"]) or None,
            method=str(said["method"]),
            image_px=int(said["image-px"]) or None,
            seed=int(said["seed"]),
            privacy=Privacy.of(
                float(said["clipping-norm"]),
                float(said["noise-multiplier"]),
                str(said["strategy"]),
                int(said["min-devices"]),
            ),
            round_timeout_s=float(said["round-timeout"]),
            news=Path(str(said["news"])) if said["news"] else None,
        )

    def tell(self, **facts: Any) -> None:
        """Tell whoever watches the server."""
        if self.news:
            tell(self.news, **facts)

    def leave_out(self, name: str, why: str) -> None:
        """Tell that a device is left out."""
        self.tell(left_out=name, why=why)
