"""Which engine does what is asked: the first that can, unless one is asked for by its name."""

from addapt._errors import OptionError, UnknownNameError
from addapt.backbones import check_backbone
from addapt.engines.abilities import ABILITIES
from addapt.engines.installed import require_torch
from addapt.gates import GateConfig
from addapt.methods import Method, build_method


def choose_engine(
    asked: str | None = None,
    *,
    backbone: str,
    method: str | Method | None = None,
    gates: GateConfig | None = None,
    device: str = "cpu",
) -> str:
    """Return the name of the engine for what is to be done; nothing is imported for it.

    Args:
        asked: the engine's name; by default "onnx" if it can do all of it, else "torch".
        backbone: its name.
        method: or its name; None if any will do.
        gates: those of the domain.
        device: where to compute.

    Raises:
        UnknownNameError: there is no such engine, backbone or method.
        OptionError: the engine that was asked for cannot do that.
        MissingPackageError: PyTorch is needed, and not installed.
    """
    if asked is not None and asked not in ABILITIES:
        raise UnknownNameError("engine", asked, ABILITIES)
    check_backbone(backbone)
    if isinstance(method, str):
        method = build_method(method)
    name = None if method is None else method.name
    lack = ABILITIES["onnx"].lack(backbone=backbone, method=name, gates=gates, device=device)
    if asked == "onnx" and lack is not None:
        raise OptionError(f"The engine 'onnx' has no {lack} Or give `engine='torch'`.")
    if asked != "torch" and lack is None:
        return "onnx"
    if lack is None:
        require_torch("the engine 'torch'")
    else:
        is_gates = gates is not None and lack.what == gates.words
        require_torch(f"domains with {lack.what}" if is_gates else f"the {lack.what}")
    return "torch"
