"""What a user may touch is pinned: a new public name is a decision, not an accident."""

import pytest

import addapt
from addapt._errors import MissingPackageError

PUBLIC = [
    "AdaptedModel",
    "AddaptError",
    "Backbone",
    "Bias",
    "Controls",
    "DA3",
    "Finetune",
    "FinetuneFrozenBn",
    "GateConfig",
    "Head",
    "Learner",
    "LoRA",
    "Method",
    "Norm",
    "ParallelAdapter",
    "Piggyback",
    "RepNet",
    "SeriesAdapter",
    "TinyTL",
    "Watching",
    "accumulate_gradients",
    "attach",
    "audit",
    "freeze",
    "load_backbone",
    "measure",
    "pack_weights",
    "register_method",
    "unpack_weights",
]


def test_public_names_are_pinned() -> None:
    assert sorted(addapt.__all__) == PUBLIC


def test_public_names_resolve() -> None:
    assert [name for name in addapt.__all__ if getattr(addapt, name, None) is None] == []


@pytest.mark.usefixtures("without_torch")
def test_where_pytorch_is_not_its_names_say_so() -> None:
    with pytest.raises(MissingPackageError, match="PyTorch.* is needed for addapt.freeze: pip"):
        addapt.freeze  # noqa: B018 - to look it up is all
    assert addapt.DA3().name == "da3"
