"""From a domain's file to a model, trusting nothing that the file says.

What the method would keep for this backbone and so many classes is asked of the engine, which
computes nothing for it, and held against the file's header. Only a file that agrees is read, and
only then the model is made.
"""

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from addapt._errors import AddaptError, DomainError
from addapt.domains import DomainFile, DomainInfo, Store, TensorPlace, check_backbone
from addapt.engines.base import Engine, Form, Model, Recogniser
from addapt.gates import GateConfig, gates_from, looks_from
from addapt.learning.two_looks import forms_of, models_of, recogniser_of
from addapt.methods import Method, build_method

KEPT_MODELS = 8
MESSAGE_CHARACTERS = 800
_NUMBERS = {"float16", "bfloat16", "float32", "float64"}
_LARGEST = 2**31  # hyper-parameter

Stamp = tuple[int, int, int]


class DomainLoader:
    """Makes models of a store's domains, and keeps those used last.

    A domain whose file has changed is read anew.
    """

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine, self._store = engine, store
        self._kept: OrderedDict[str, tuple[Stamp, DomainInfo, Recogniser]] = OrderedDict()

    def load(self, name: str) -> tuple[DomainInfo, Recogniser]:
        """Return what is known about a domain, and its model, ready to recognise.

        Raises:
            UnknownNameError: there is no such domain.
            DomainError: it is damaged or was learned on another backbone.
        """
        kept = self._kept.pop(name, None)
        with self._store.open(name) as file:
            if kept is None or kept[0] != file.stamp:
                own = self._engine.backbone
                check_backbone(file.info, own.name, own.weights_sha256, file.path)
                kept = file.stamp, file.info, read_model(file, self._engine)
        self._kept[name] = kept
        while len(self._kept) > KEPT_MODELS:
            self._kept.popitem(last=False)
        return kept[1], kept[2]


def asked_by(info: DomainInfo, path: Path) -> tuple[str, GateConfig | None]:
    """Return what a domain asks of an engine: the name of its method, and its gates.

    Raises:
        DomainError: its file says what makes no sense.
    """
    try:
        return build_method(info.method, info.hyperparameters).name, gates_from(info)
    except AddaptError as error:
        raise _unusable(path, error) from error


def read_model(file: DomainFile, engine: Engine) -> Recogniser:
    """Make what recognises by an open file, whatever weights it was learned on.

    Raises:
        DomainError: it is damaged, or not what its method keeps.
    """
    models, looks = read_models(file, engine), looks_from(file.info)
    return recogniser_of(models, looks, file.info.interpolation)


def read_models(file: DomainFile, engine: Engine) -> tuple[Model, ...]:
    """Make the model of an open file, or both where there are two looks, that in full first.

    Raises:
        DomainError: as `read_model`.
    """
    method, gates = _check_forms(file, engine)
    stored = {name: array for name, array in file.read().items() if name in file.tensors}
    return models_of(engine, method, len(file.info.classes), gates, stored)


def _check_forms(file: DomainFile, engine: Engine) -> tuple[Method, GateConfig | None]:
    """Return a file's method and gates, once its tensors are found to be those which they keep.

    Raises:
        DomainError: names, types or shapes differ, or the file's hyper-parameters make no sense.
    """
    info = file.info
    try:
        for name, value in info.hyperparameters.items():
            # Some count when the model runs, and not yet when it is built.
            if isinstance(value, int | float) and abs(value) >= _LARGEST:
                raise DomainError(
                    f"Its hyper-parameter {name!r} is {str(value)[:20]}, which makes no sense. "
                    "Restore the file from a copy or learn the domain again."
                )
        method, gates = build_method(info.method, info.hyperparameters), gates_from(info)
        looks_from(info)
        engine.require(method, gates)
        declared = forms_of(engine, method, len(info.classes), gates)
        if problem := _difference(declared, file.tensors):
            raise DomainError(
                f"{problem}: it was written by another version or changed since. Learn the domain "
                "again, or use the version that wrote it (`addapt show` tells)."
            )
    except AddaptError as error:
        raise _unusable(file.path, error) from error
    return method, gates


def _unusable(path: Path, error: AddaptError) -> DomainError:
    return DomainError(f"{path} cannot be used. {_shortened(str(error))}")


def _shortened(text: str) -> str:
    """Leave out the middle of a long text, which may quote the file's."""
    half = MESSAGE_CHARACTERS // 2
    return text if len(text) <= 2 * half else f"{text[:half]} ... {text[-half:]}"


def _difference(declared: Mapping[str, Form], found: Mapping[str, TensorPlace]) -> str | None:
    """Say in words what is not as declared; None if all is."""
    if missing := sorted(declared.keys() - found.keys()):
        return f"Its tensor {missing[0]!r} is missing"
    if unexpected := sorted(found.keys() - declared.keys()):
        return f"Its tensor {unexpected[0]!r} is none of its method's"
    for name, (dtype, shape) in declared.items():
        if found[name].shape != shape:
            return f"Its tensor {name!r} has shape {found[name].shape}, but {shape} is needed"
        # A backbone may have been made more or less precise after the domain was learned.
        if found[name].dtype != dtype and not {found[name].dtype, dtype} <= _NUMBERS:
            return f"Its tensor {name!r} is of type {found[name].dtype}, but {dtype} is needed"
    return None
