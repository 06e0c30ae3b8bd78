"""Ways of adapting a frozen backbone: one file each."""

from addapt.engines.torch.methods.base import AdaptedModel, Adaptor, Method, Recipe
from addapt.engines.torch.methods.bias import Bias
from addapt.engines.torch.methods.da3 import DA3
from addapt.engines.torch.methods.finetune import Finetune, FinetuneFrozenBn
from addapt.engines.torch.methods.gated import (
    gates_of,
    measure_gates,
    refit_gates,
    settle_gates,
    switch_gates,
)
from addapt.engines.torch.methods.head import Head
from addapt.engines.torch.methods.lora import LoRA, merged_backbone
from addapt.engines.torch.methods.norm import Norm
from addapt.engines.torch.methods.parallel_adapter import ParallelAdapter
from addapt.engines.torch.methods.piggyback import Piggyback
from addapt.engines.torch.methods.registry import METHODS, attach, build_method, check_gate_unit
from addapt.engines.torch.methods.repnet import RepNet
from addapt.engines.torch.methods.series_adapter import SeriesAdapter
from addapt.engines.torch.methods.tinytl import TinyTL

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
