"""What each engine can do, known before one is opened and without what it computes with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from addapt.backbones import BACKBONES
from addapt.gates import RESOLUTION, UNITS, GateConfig
from addapt.methods import METHODS


class Lack(NamedTuple):
    """What is asked for and not there, such as "method 'lora'", and what there is of that kind."""

    what: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.what}. It has: {', '.join(self.known) or 'none'}."


@dataclass(frozen=True)
class Abilities:
    """What an engine can do: names of methods, backbones and devices, and gates in words."""

    methods: tuple[str, ...]
    backbones: tuple[str, ...]
    devices: tuple[str, ...]
    gates: tuple[str, ...]

    def lack(
        self,
        *,
        backbone: str | None = None,
        method: str | None = None,
        gates: GateConfig | None = None,
        device: str | None = None,
    ) -> Lack | None:
        """Return the first that is missing of what is asked for; None if all is there."""
        if backbone is not None and backbone not in self.backbones:
            return Lack(f"backbone {backbone!r}", self.backbones)
        if method is not None and method not in self.methods:
            return Lack(f"method {method!r}", self.methods)
        if gates is not None and gates.words not in self.gates:
            return Lack(gates.words, self.gates)
        if device is not None and device.partition(":")[0] not in self.devices:
            return Lack(f"device {device!r}", self.devices)
        return None


ONNX = Abilities(
    methods=("bias", "da3", "head"),
    backbones=tuple(BACKBONES),
    devices=("cpu",),
    gates=tuple(GateConfig(RESOLUTION, dynamic).words for dynamic in (False, True)),
)
# Methods of one's own and further devices are known once PyTorch is there.
TORCH = Abilities(
    methods=tuple(METHODS),
    backbones=tuple(BACKBONES),
    devices=("cpu", "cuda"),
    gates=tuple(GateConfig(unit, dynamic).words for unit in UNITS for dynamic in (False, True)),
)
ABILITIES = {"onnx": ONNX, "torch": TORCH}
RUNTIMES = {"onnx": "onnxruntime", "torch": "torch"}  # as `Engine.versions` names them


def engine_that_taught(versions: Mapping[str, str]) -> str | None:
    """Return the engine by the versions in a domain's file; None if they do not tell."""
    return next((name for name, runtime in RUNTIMES.items() if runtime in versions), None)
