"""Ways of adapting a frozen backbone: one file each."""

from addapt.methods.base import AdaptedModel, Adaptor, Method, Recipe
from addapt.methods.da3 import DA3
from addapt.methods.finetune import Finetune
from addapt.methods.head import Head
from addapt.methods.registry import METHODS, attach, build_method

__all__ = [
    "DA3",
    "METHODS",
    "AdaptedModel",
    "Adaptor",
    "Finetune",
    "Head",
    "Method",
    "Recipe",
    "attach",
    "build_method",
]
