"""A training step on the device `meta`: every operation of the real one, and no numbers."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from addapt.engines.torch.backbones.registry import unfilled_backbone
from addapt.engines.torch.memory.kept import KeptTensors
from addapt.engines.torch.memory.live import LiveTensors, memory_of
from addapt.engines.torch.memory.micro_batches import add_gradient
from addapt.engines.torch.memory.workspace import FORWARD, Convolutions
from addapt.engines.torch.methods import AdaptedModel, Method

META = "meta"


@dataclass(frozen=True)
class SimulatedStep:
    """What a step would take, as far as operations and tensors show it.

    Args:
        peak_bytes: live tensors and the workspace of convolutions, above the model and
            the optimiser's state.
        live_bytes: of that, the tensors.
        kept_bytes: what autograd keeps for backward.
        state_bytes: of the optimiser.
        forward_kernels: different convolutions of forward that answering one image did
            not need.
        backward_kernels: different convolutions of backward.
        multiply_adds: of the convolutions of one micro-batch, forward and backward.
        result_bytes: what all operations of one micro-batch write.
        calls: how many operations those are.
    """

    peak_bytes: int
    live_bytes: int
    kept_bytes: int
    state_bytes: int
    forward_kernels: int
    backward_kernels: int
    multiply_adds: int
    result_bytes: int
    calls: int


class Simulation:
    """A model without memory whose steps are played.

    Args:
        backbone_name: one of `BACKBONES`.
        method: how it is adapted.
        classes: of the head.

    Raises:
        UnknownNameError: there is no such backbone.
    """

    def __init__(self, backbone_name: str, method: Method, classes: int) -> None:
        backbone = unfilled_backbone(backbone_name)
        backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if not method.plain:
            backbone = backbone.lean(consume=True)
        # What is drawn for new layers must not change what the caller draws next.
        with torch.random.fork_rng(devices=[]), torch.device(META):
            self.model: AdaptedModel = method.attach(backbone, classes)

    @property
    def weight_bytes(self) -> int:
        """The bytes of the loaded model: backbone and domain."""
        sizes = {}
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            _, key, sizes[key] = memory_of(tensor)
        return sum(sizes.values())

    @property
    def adapts_features(self) -> bool:
        """Whether gradients flow through the backbone, not only to the head."""
        return next(self.model.adaptor.parameters(), None) is not None

    def step(self, batch: int, micro_batch: int, image_px: int) -> SimulatedStep:
        """Play one step of `batch` images, of which `micro_batch` are in memory at once."""
        trained = list(self.model.domain_parameters())
        live = LiveTensors(with_holes=True)
        convolutions = Convolutions(live)
        self.model.train()
        with convolutions, live:
            if micro_batch < batch:  # the peak comes when an earlier part has left gradients
                for parameter in trained:
                    parameter.grad = torch.zeros_like(parameter)
            make_images = partial(meta_images, micro_batch, image_px)
            labels = torch.zeros(micro_batch, dtype=torch.long, device=META)
            add_gradient(self.model, make_images, labels, images=batch)
        for parameter in trained:
            parameter.grad = None
        trained_bytes = sum(parameter.nbytes for parameter in trained)
        # AdamW copies one tensor at a time where gradient and parameter differ in layout.
        optimiser_bytes = trained_bytes + max(parameter.nbytes for parameter in trained)
        with KeptTensors(self.model) as kept:
            self.model(meta_images(micro_batch, image_px))
        forward = {kernel for kernel in convolutions.kernels if kernel[0] == FORWARD}
        return SimulatedStep(
            peak_bytes=max(live.peak_bytes, convolutions.peak_bytes, optimiser_bytes),
            live_bytes=live.peak_bytes,
            kept_bytes=kept.peak_bytes,
            state_bytes=2 * trained_bytes,
            forward_kernels=len(forward - self._answering_kernels(image_px)),
            backward_kernels=len(convolutions.kernels - forward),
            multiply_adds=convolutions.multiply_adds,
            result_bytes=convolutions.result_bytes,
            calls=convolutions.calls,
        )

    def _answering_kernels(self, image_px: int) -> set[tuple[object, ...]]:
        convolutions = Convolutions(LiveTensors())
        self.model.eval()
        with torch.no_grad(), convolutions:
            self.model(meta_images(1, image_px))
        return convolutions.kernels


def meta_images(images: int, image_px: int) -> Tensor:
    """Return images without memory, laid out as the loop lays out real ones."""
    size = (images, 3, image_px, image_px)
    return torch.empty(size, device=META, memory_format=torch.channels_last)
