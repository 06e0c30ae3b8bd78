"""Ways of adapting a frozen backbone: what each is, without what computes it."""

from addapt.methods.base import Method, Recipe
from addapt.methods.baselines import Bias, Finetune, FinetuneFrozenBn, Head
from addapt.methods.beside_blocks import DA3, RepNet, TinyTL
from addapt.methods.inside_blocks import LoRA, Norm, ParallelAdapter, Piggyback, SeriesAdapter
from addapt.methods.registry import (
    METHODS,
    build_method,
    register_method,
    registered_attach,
    require_registered,
)

__all__ = [
    "DA3",
    "METHODS",
    "Bias",
    "Finetune",
    "FinetuneFrozenBn",
    "Head",
    "LoRA",
    "Method",
    "Norm",
    "ParallelAdapter",
    "Piggyback",
    "Recipe",
    "RepNet",
    "SeriesAdapter",
    "TinyTL",
    "build_method",
    "register_method",
    "registered_attach",
    "require_registered",
]
