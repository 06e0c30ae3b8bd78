"""What computes: one folder for each engine, all behind the door of `engines.base`."""

from importlib import import_module
from pathlib import Path
from typing import Any

from addapt._errors import OptionError
from addapt.backbones import TIMM, backbone_entry
from addapt.engines.base import Engine
from addapt.engines.choosing import choose_engine
from addapt.engines.installed import require_runtime, require_torch
from addapt.gates import GateConfig
from addapt.methods import Method

# The module of each engine, with the function `open_backbone`.
ENGINES = {"onnx": "addapt.engines.onnx.engine", "torch": "addapt.engines.torch.engine"}


def open_engine(
    backbone: str = "efficientnet_lite0",
    weights: str | Path | None = None,
    *,
    engine: str | None = None,
    method: str | Method | None = None,
    gates: GateConfig | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> Engine:
    """Load a backbone into an engine.

    Args:
        backbone: the name of one; see `addapt.backbones`.
        weights: a weights file, or "random"; by default those of the installed package.
        engine: "onnx" or "torch"; by default the first that can do what is asked.
        method: what it must be able to do; None if anything will do.
        gates: likewise.
        device: where it computes.
        seed: of random weights.

    Raises:
        UnknownNameError: there is no such engine, backbone or method.
        WeightsError: the weights cannot be read or do not fit.
        OptionError: the engine cannot do that, or there is no such device here.
        MissingPackageError: the engine's package, or the weights', is not installed.
    """
    name = choose_engine(engine, backbone=backbone, method=method, gates=gates, device=device)
    if name == "onnx":
        require_runtime()
    opened: Engine = import_module(ENGINES[name]).open_backbone(
        backbone, weights, device=device, seed=seed
    )
    return opened


def native_px(backbone: str) -> int:
    """Return the side of the images that a backbone is made for; timm tells it of its own.

    Raises:
        UnknownNameError: there is no such backbone.
        MissingPackageError: it is one of timm, and timm or PyTorch is not installed.
    """
    if not backbone.startswith(TIMM):
        return backbone_entry(backbone).input.px
    require_torch(f"the backbone {backbone!r}")
    px: int = import_module("addapt.engines.torch.backbones.from_timm").native_px(backbone)
    return px


def engine_of(
    backbone: Any, weights: str | Path | None = None, engine: str | None = None
) -> Engine:
    """Return the engine of a backbone: of its name, of a network of PyTorch, or itself.

    Raises:
        AddaptError: as `open_engine`, or the arguments do not go together.
    """
    if isinstance(backbone, str):
        return open_engine(backbone, weights, engine=engine)
    if weights is not None:
        raise OptionError("`weights` is for a backbone that is named: this one has its own.")
    name = backbone.name if isinstance(backbone, Engine) else "torch"
    if engine not in (None, name):
        raise OptionError(f"This backbone needs the engine {name!r}: leave out `engine`.")
    if isinstance(backbone, Engine):
        return backbone
    require_torch("a network of one's own")
    wrapped: Engine = import_module(ENGINES["torch"]).wrap_backbone(backbone)
    return wrapped


class Engines:
    """The engines of one backbone, of which the second is opened when it is needed.

    Args:
        backbone: its name, a network of PyTorch, or an engine that has one.
        weights: of a backbone that is named; see `open_engine`.
        engine: the name of the only one; by default what is asked decides.

    Raises:
        AddaptError: as `engine_of`.
    """

    def __init__(
        self, backbone: Any, weights: str | Path | None = None, engine: str | None = None
    ) -> None:
        self.first = engine_of(backbone, weights, engine)
        self._weights = weights
        self._free = isinstance(backbone, str) and engine is None
        self._opened = {self.first.name: self.first}

    def able(self, method: str | Method, gates: GateConfig | None) -> Engine:
        """Return the engine for a method with gates, or the only one, whatever it can do.

        Raises:
            AddaptError: as `open_engine`.
        """
        if not self._free:
            return self.first
        backbone = self.first.backbone.name
        name = choose_engine(backbone=backbone, method=method, gates=gates)
        if name not in self._opened:
            self._opened[name] = open_engine(backbone, self._weights, engine=name)
        self._opened[name].threads = self.first.threads
        return self._opened[name]
