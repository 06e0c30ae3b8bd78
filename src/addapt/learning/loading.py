"""From a domain's file to a model, trusting nothing that the file says.

What the method would keep for this backbone and so many classes is worked out on the device
`meta`, where nothing takes memory, and held against the file's header. Only a file that agrees is
read, and only then the model is made.
"""

import copy
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from addapt._errors import AddaptError, DomainError
from addapt.domains import DomainFile, DomainInfo, Store, TensorPlace, check_backbone
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.backbones.registry import unfilled_backbone
from addapt.engines.torch.gates import BlockGates
from addapt.engines.torch.methods import AdaptedModel, attach, build_method, gates_of
from addapt.learning.gating import gates_from

_NUMBERS = ("float16", "bfloat16", "float32", "float64")
MESSAGE_CHARACTERS = 800
_LARGEST = 2**31  # hyper-parameter


class DomainLoader:
    """Makes models of domains that share a backbone."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self._hollow: Backbone | None = None  # made when it is needed first

    def load(self, store: Store, name: str) -> tuple[DomainInfo, AdaptedModel]:
        """Read a domain and make its model, ready to predict.

        Raises:
            UnknownNameError: there is no such domain.
            DomainError: it is damaged or was learned on another backbone.
        """
        own = self.backbone.info
        if self._hollow is None:
            self._hollow = hollow_backbone(self.backbone)
        with store.open(name) as file:
            check_backbone(file.info, own.name, own.weights_sha256, file.path)
            check_declared(file, self._hollow)
            tensors = file.read()
        info = file.info
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
            method = build_method(info.method, info.hyperparameters)
            model = attach(self.backbone, method, len(info.classes), gates_from(info))
        model.load_stored_state(tensors)
        check_gates(model)
        return info, model.eval()


def check_gates(model: AdaptedModel) -> None:
    """Refuse gates that name channels which their blocks do not have.

    Raises:
        DomainError: they do.
    """
    gates = gates_of(model)
    for gate in gates if isinstance(gates, BlockGates) else ():
        order = [] if gate.order is None else gate.order.tolist()
        if sorted(order) != [*range(len(order))]:
            raise DomainError(
                "Its gates name channels that the backbone does not have. Restore the file from a "
                "copy or learn the domain again."
            )


def hollow_backbone(backbone: Backbone) -> Backbone:
    """Return a copy of a backbone whose tensors have shapes and types, but no values."""
    replaced: dict[int, Tensor] = {}
    for parameter in backbone.parameters():
        replaced[id(parameter)] = nn.Parameter(parameter.to("meta"), requires_grad=False)
    for buffer in backbone.buffers():
        replaced[id(buffer)] = buffer.to("meta")
    hollow = copy.deepcopy(backbone, replaced)
    if hollow.load_plain is not None:  # then the name is one of those that are known
        hollow.load_plain = partial(unfilled_backbone, backbone.info.name)
    return hollow.to("meta")  # also the weights that were packed


def check_declared(file: DomainFile, hollow: Backbone) -> None:
    """Compare an open file's tensors with those that its method keeps for the backbone.

    Raises:
        DomainError: names, types or shapes differ, or the file's hyper-parameters make no sense.
    """
    try:
        declared = _declared(file.info, hollow)
        if problem := _difference(declared, file.tensors):
            raise DomainError(
                f"{problem}: it was written by another version or changed since. Learn the domain "
                "again, or use the version that wrote it (`addapt show` tells)."
            )
    except AddaptError as error:
        raise DomainError(f"{file.path} cannot be used. {_shortened(str(error))}") from error


def _declared(info: DomainInfo, hollow: Backbone) -> dict[str, Tensor]:
    for name, value in info.hyperparameters.items():
        # Some count when the model runs, and not yet when it is built.
        if isinstance(value, int | float) and abs(value) >= _LARGEST:
            raise DomainError(
                f"Its hyper-parameter {name!r} is {str(value)[:20]}, which makes no sense. "
                "Restore the file from a copy or learn the domain again."
            )
    method = build_method(info.method, info.hyperparameters)
    try:
        with torch.device("meta"):
            model = attach(hollow, method, len(info.classes), gates_from(info))
            return model.stored_state(model.domain_state())
    except AddaptError:
        raise
    except Exception as error:  # numbers out of all range make torch raise almost anything
        reason = str(error).split("\n", 1)[0] or type(error).__name__
        raise DomainError(
            f"Its method {info.method!r} cannot be built with the hyper-parameters "
            f"{info.hyperparameters} ({reason}). "
            "Restore the file from a copy or learn the domain again."
        ) from error


def _shortened(text: str) -> str:
    """Leave out the middle of a long text, which may quote the file's."""
    half = MESSAGE_CHARACTERS // 2
    return text if len(text) <= 2 * half else f"{text[:half]} ... {text[-half:]}"


def _difference(declared: Mapping[str, Tensor], found: Mapping[str, TensorPlace]) -> str | None:
    """Say in words what is not as declared; None if all is."""
    if missing := sorted(declared.keys() - found.keys()):
        return f"Its tensor {missing[0]!r} is missing"
    if unexpected := sorted(found.keys() - declared.keys()):
        return f"Its tensor {unexpected[0]!r} is none of its method's"
    for name, tensor in declared.items():
        if found[name].shape != tuple(tensor.shape):
            return (
                f"Its tensor {name!r} has shape {found[name].shape}, but {tuple(tensor.shape)} "
                "is needed"
            )
        dtype = str(tensor.dtype).removeprefix("torch.")
        # A backbone may have been made more or less precise after the domain was learned.
        if found[name].dtype != dtype and not {found[name].dtype, dtype} <= set(_NUMBERS):
            return f"Its tensor {name!r} is of type {found[name].dtype}, but {dtype} is needed"
    return None
