"""One contender on PyTorch, in a process of its own; `addapt.bench.worker` says how it works."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from addapt.bench.contender import AS_PUBLISHED, BIAS_CHECKPOINTING, Contender, Workload
from addapt.bench.worker import CLASSES, LR, BenchedStep, Steps, serve_steps
from addapt.engines.base import Images
from addapt.engines.torch.arrays import backbone_input
from addapt.engines.torch.backbones import Backbone, load_backbone
from addapt.engines.torch.engine import TorchEngine
from addapt.engines.torch.freezing import pack_weights
from addapt.engines.torch.memory import KeptTensors
from addapt.engines.torch.methods import attach
from addapt.engines.torch.model import TorchModel
from addapt.methods import ParallelAdapter, build_method


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
    network, model = _model(contender, backbone)
    # Packing is done by the first step: packed copies count as memory above the loaded model.
    pack = partial(pack_weights, network) if contender.packed else lambda: None
    hidden = contender.method == BIAS_CHECKPOINTING
    cuda = workload.device.startswith("cuda")
    return BenchedStep(
        TorchEngine(backbone),
        model,
        workload,
        before_steps=pack,
        # What checkpointing keeps is hidden from the meter, which would tell a number too low.
        kept=(lambda step: None) if hidden else partial(_kept_bytes, network),
        synchronise=torch.cuda.synchronize if cuda else lambda: None,
    )


def _model(contender: Contender, backbone: Backbone) -> tuple[nn.Module, Steps]:
    """Return the network of a contender, and what makes steps of it."""
    # The product's process does not need what its rivals are made of.
    if contender.setting == AS_PUBLISHED:
        from addapt.engines.torch.bench.plain_steps import PlainSteps
        from addapt.engines.torch.bench.published import own_optimiser, publish

        network = publish(backbone, contender.method, CLASSES)
        to_input: Callable[[Images], Tensor] = partial(backbone_input, backbone)
        if contender.method == ParallelAdapter.name:
            # With channels last, as images lie in memory, PyTorch 2.13 corrupts its memory in
            # backward of a convolution of 1 x 1 beside one of 3 x 3 (SIGSEGV in oneDNN).
            to_input = _channels_first(to_input)
        return network, PlainSteps(
            network,
            to_input,
            own_optimiser(network, contender.method, LR),
            batch_statistics=contender.batch_statistics,
        )
    if contender.engine == "eager":
        from addapt.engines.torch.bench.eager import attach_eager

        adapted = attach_eager(backbone, contender.method, CLASSES)
    else:
        adapted = attach(backbone, build_method(contender.method), CLASSES)
    return adapted, TorchModel(adapted)


def _channels_first(to_input: Callable[[Images], Tensor]) -> Callable[[Images], Tensor]:
    return lambda images: to_input(images).contiguous()


def _kept_bytes(network: nn.Module, step: Callable[[], None]) -> int:
    with KeptTensors(network) as tensors:
        step()
    return tensors.peak_bytes


if __name__ == "__main__":
    serve_steps(load_benched)
