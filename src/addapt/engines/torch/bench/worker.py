"""One contender on PyTorch, in a process of its own; `addapt.bench.worker` says how it works."""

from collections.abc import Callable
from functools import partial

import torch

from addapt.bench.contender import BIAS_CHECKPOINTING, Contender, Workload
from addapt.bench.worker import CLASSES, BenchedStep, serve_steps
from addapt.engines.torch.backbones import load_backbone
from addapt.engines.torch.engine import TorchEngine
from addapt.engines.torch.freezing import pack_weights
from addapt.engines.torch.memory import KeptTensors
from addapt.engines.torch.methods import AdaptedModel, attach
from addapt.engines.torch.model import TorchModel
from addapt.methods import build_method


def load_benched(contender: Contender, workload: Workload) -> BenchedStep:
    """Load a contender, or what its rivals are made of."""
    torch.set_num_threads(workload.threads)
    torch.manual_seed(0)
    backbone = load_backbone(
        workload.backbone,
        workload.weights,
        device=workload.device,
        plain=contender.engine == "eager",
    )
    if contender.engine == "eager":  # the product's process does not need what these are made of
        from addapt.engines.torch.bench.eager import attach_eager

        adapted = attach_eager(backbone, contender.method, CLASSES)
    else:
        adapted = attach(backbone, build_method(contender.method), CLASSES)
    # Packing is done by the first step: packed copies count as memory above the loaded model.
    pack = partial(pack_weights, adapted) if contender.packed else lambda: None
    hidden = contender.method == BIAS_CHECKPOINTING
    cuda = workload.device.startswith("cuda")
    return BenchedStep(
        TorchEngine(backbone),
        TorchModel(adapted),
        workload,
        before_steps=pack,
        # What checkpointing keeps is hidden from the meter, which would tell a number too low.
        kept=(lambda step: None) if hidden else partial(_kept_bytes, adapted),
        synchronise=torch.cuda.synchronize if cuda else lambda: None,
    )


def _kept_bytes(adapted: AdaptedModel, step: Callable[[], None]) -> int:
    with KeptTensors(adapted) as tensors:
        step()
    return tensors.peak_bytes


if __name__ == "__main__":
    serve_steps(load_benched)
