"""The lean step against plain PyTorch: the same loss, the same gradient of all that is trained."""

import statistics

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from addapt.engines.torch.backbones import Backbone, load_backbone
from addapt.engines.torch.freezing import pack_weights
from addapt.engines.torch.methods import DA3, AdaptedModel, Bias, Method, RepNet, TinyTL, attach
from tests.families import FAMILIES, LARGER

CLASSES = 3


def plain_backbone(name: str, dtype: torch.dtype) -> Backbone:
    """Build a backbone whose batch norms do something."""
    backbone = load_backbone(name, "random", plain=True)
    generator = torch.Generator().manual_seed(1)
    for layer in backbone.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor, low, high in (
                (layer.weight, 0.8, 1.2),
                (layer.bias, -0.2, 0.2),
                (layer.running_mean, -0.2, 0.2),
                (layer.running_var, 0.8, 1.2),
            ):
                assert tensor is not None
                with torch.no_grad():
                    tensor.uniform_(low, high, generator=generator)
    return backbone.to(dtype)


def gradients(model: AdaptedModel, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
    loss = F.cross_entropy(model(x), labels)
    trained = {n: t for n, t in model.domain_state().items() if t.requires_grad}
    return dict(zip(trained, torch.autograd.grad(loss, list(trained.values())), strict=True))


def same_start(model: AdaptedModel, dtype: torch.dtype) -> AdaptedModel:
    """Give every trained tensor a value: layers that start at zero would hide those before."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.domain_parameters():
            values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(values.to(dtype) * 0.02)
    return model


LIMITS = {torch.float32: 1e-4, torch.float64: 1e-9}
CASES = [
    *((DA3(), name, dtype) for name in FAMILIES for dtype in LIMITS),
    *(
        pytest.param(DA3(), name, dtype, marks=pytest.mark.slow)
        for name in LARGER
        for dtype in LIMITS
    ),
    (Bias(), "resnet18", torch.float64),
    (TinyTL(), "efficientnet_lite0", torch.float64),
    (TinyTL(), "resnet18", torch.float64),
    (RepNet(), "efficientnet_lite0", torch.float64),
    (RepNet(biases=True), "resnet18", torch.float64),
]


@pytest.mark.parametrize(
    ("method", "name", "dtype"), CASES, ids=lambda value: getattr(value, "name", str(value))
)
def test_every_gradient_is_that_of_the_plain_network(
    method: Method, name: str, dtype: torch.dtype
) -> None:
    limit = LIMITS[dtype]
    plain = plain_backbone(name, dtype)
    lean = plain.lean()
    backbones = [plain, lean]
    if dtype == torch.float32:
        backbones.append(plain.lean())
        pack_weights(backbones[-1])
    models = [same_start(attach(backbone, method, CLASSES), dtype) for backbone in backbones]
    errors: dict[tuple[int, str], list[float]] = {}
    # The median of three: rounding may put an activation on the other side of its kink.
    for seed in range(3 if dtype == torch.float32 else 1):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(2, 3, 48, 33, generator=generator, dtype=torch.float64).to(dtype)
        expected, *found = (gradients(model, x, torch.tensor([2, 0])) for model in models)
        for i, others in enumerate(found):
            assert others.keys() == expected.keys()
            for key, gradient in expected.items():
                assert gradient.any(), key
                error = ((others[key] - gradient).norm() / gradient.norm()).item()
                errors.setdefault((i, key), []).append(error)
    worst = max(errors, key=lambda place: statistics.median(errors[place]))
    assert statistics.median(errors[worst]) <= limit, f"{worst}: {errors[worst]}"
