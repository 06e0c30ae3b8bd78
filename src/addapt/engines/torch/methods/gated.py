"""What is done with the gates of a model, whatever their unit."""

from collections.abc import Iterable

from torch import Tensor

from addapt.engines.torch.gates import (
    BlockGates,
    TwoLooks,
    measure_block_gates,
    refit_block_gates,
    settle_block_gates,
)
from addapt.engines.torch.methods.base import AdaptedModel
from addapt.engines.torch.methods.da3 import AdditiveAdaptor


def gates_of(model: AdaptedModel) -> BlockGates | TwoLooks | None:
    """Return the gates that are part of a model, if it has some."""
    if model.looks is not None:
        return model.looks
    return model.adaptor.gates if isinstance(model.adaptor, AdditiveAdaptor) else None


def switch_gates(model: AdaptedModel, on: bool) -> None:
    """Let gates decide, or keep all of them open: then the model is the ungated one."""
    gates = gates_of(model)
    if gates is not None:
        gates.active = on


def measure_gates(model: AdaptedModel, batches: Iterable[Tensor]) -> None:
    """Before training, find on some of the domain's images what can be left out.

    Args:
        model: of `attach`, with gates; without any nothing is done.
        batches: normalised images of the size that will be learned; gone through more than once.

    Raises:
        OptionError: not so much can be left out as is asked for.
    """
    gates = gates_of(model)
    if isinstance(gates, BlockGates):
        training = model.training
        measure_block_gates(gates, model.eval(), batches)
        model.train(training)


def refit_gates(model: AdaptedModel, batches: Iterable[Tensor]) -> None:
    """Between epochs of training, fit gates to the adaptors as they are by now.

    Args:
        model: that learns; with gates that decide for each image, else nothing is done.
        batches: some of its normalised images.
    """
    gates = gates_of(model)
    if isinstance(gates, BlockGates) and gates.gates.dynamic:
        training = model.training
        refit_block_gates(gates, model.eval(), batches)
        model.train(training)


def settle_gates(model: AdaptedModel, batches: Iterable[Tensor]) -> None:
    """After training, have images cost on average the share of compute that is asked for.

    Args:
        model: trained, with gates; without any nothing is done.
        batches: normalised images that were not learned from, such as those for validation.
    """
    gates = gates_of(model)
    training = model.training
    model.eval()
    if isinstance(gates, TwoLooks):
        gates.settle(batches, model.classify)
    elif gates is not None and gates.gates.dynamic:
        settle_block_gates(gates, model, batches)
    model.train(training)
