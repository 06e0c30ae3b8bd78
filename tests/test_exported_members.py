"""What a user may touch is pinned: a new public name is a decision, not an accident."""

import addapt

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
