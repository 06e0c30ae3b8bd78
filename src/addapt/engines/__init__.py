"""What computes: one folder for each engine, all behind the door of `engines.base`."""

from importlib import import_module
from pathlib import Path
from typing import Any

from addapt._errors import UnknownNameError
from addapt.engines.base import Engine

# The module of each engine, with the functions `open_backbone` and `wrap_backbone`.
ENGINES = {"torch": "addapt.engines.torch.engine"}
DEFAULT_ENGINE = "torch"


def open_engine(
    backbone: str = "efficientnet_lite0",
    weights: str | Path | None = None,
    *,
    engine: str = DEFAULT_ENGINE,
    device: str = "cpu",
    seed: int = 0,
) -> Engine:
    """Load a backbone into an engine.

    Args:
        backbone: the name of one; see `addapt.backbones`.
        weights: a weights file, or "random"; by default those of the installed package.
        engine: one of `ENGINES`.
        device: where it computes.
        seed: of random weights.

    Raises:
        UnknownNameError: there is no such engine or backbone.
        WeightsError: the weights cannot be read or do not fit.
        OptionError: there is no such device here.
    """
    if engine not in ENGINES:
        raise UnknownNameError("engine", engine, ENGINES)
    opened: Engine = import_module(ENGINES[engine]).open_backbone(
        backbone, weights, device=device, seed=seed
    )
    return opened


def engine_of(backbone: Any) -> Engine:
    """Return the engine of a backbone: of its name, of a network of PyTorch, or itself."""
    if isinstance(backbone, Engine):
        return backbone
    if isinstance(backbone, str):
        return open_engine(backbone)
    wrapped: Engine = import_module(ENGINES["torch"]).wrap_backbone(backbone)
    return wrapped
