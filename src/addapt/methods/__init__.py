"""Ways of adapting a frozen backbone: one file each."""

from addapt.methods.base import AdaptedModel, Adaptor, Method, Recipe
from addapt.methods.bias import Bias
from addapt.methods.da3 import DA3
from addapt.methods.finetune import Finetune, FinetuneFrozenBn
from addapt.methods.gated import (
    gates_of,
    measure_gates,
    refit_gates,
    settle_gates,
    switch_gates,
)
from addapt.methods.head import Head
from addapt.methods.lora import LoRA, merged_backbone
from addapt.methods.norm import Norm
from addapt.methods.parallel_adapter import ParallelAdapter
from addapt.methods.piggyback import Piggyback
from addapt.methods.registry import METHODS, attach, build_method, check_gate_unit
from addapt.methods.repnet import RepNet
from addapt.methods.series_adapter import SeriesAdapter
from addapt.methods.tinytl import TinyTL

__all__ = [
    "merged_backbone",
    "SeriesAdapter",
    "Piggyback",
    "ParallelAdapter",
    "Norm",
    "LoRA",
    "DA3",
    "METHODS",
    "AdaptedModel",
    "Adaptor",
    "Bias",
    "Finetune",
    "FinetuneFrozenBn",
    "Head",
    "Method",
    "Recipe",
    "RepNet",
    "TinyTL",
    "attach",
    "build_method",
    "check_gate_unit",
    "gates_of",
    "measure_gates",
    "refit_gates",
    "settle_gates",
    "switch_gates",
]
