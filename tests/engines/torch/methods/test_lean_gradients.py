"""The lean step against plain PyTorch: the same loss, the same gradient of all that is trained."""

import statistics

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from addapt.backbones import BACKBONES
from addapt.engines.torch.freezing import pack_weights
from addapt.engines.torch.methods import AdaptedModel, attach
from addapt.methods import DA3, Bias, Method, RepNet, TinyTL
from tests.engines.torch.gates.small_backbones import KINDS
from tests.engines.torch.methods.plain_twins import CLASSES, move_all, plain_backbone


def gradients(model: AdaptedModel, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
    loss = F.cross_entropy(model(x), labels)
    trained = {n: t for n, t in model.domain_state().items() if t.requires_grad}
    return dict(zip(trained, torch.autograd.grad(loss, list(trained.values())), strict=True))


LIMITS = {torch.float32: 1e-4, torch.float64: 1e-9}
CASES = [
    *((DA3(), name, torch.float32) for name in (*KINDS, "mobilenet_v2")),
    *(
        pytest.param(DA3(), name, torch.float32, marks=pytest.mark.slow)
        for name in BACKBONES
        if name != "mobilenet_v2"
    ),
    *((DA3(), kind, torch.float64) for kind in KINDS),
    (Bias(), "basic", torch.float64),
    (TinyTL(), "inverted", torch.float64),
    (TinyTL(), "basic", torch.float64),
    (RepNet(), "inverted", torch.float64),
    (RepNet(biases=True), "bottleneck", torch.float64),
]


@pytest.mark.parametrize(
    ("method", "name", "dtype"), CASES, ids=lambda value: getattr(value, "name", str(value))
)
def test_every_gradient_is_that_of_the_plain_network(
    method: Method, name: str, dtype: torch.dtype
) -> None:
    plain = plain_backbone(name, dtype)
    lean = plain.lean()
    backbones = [plain, lean]
    if dtype == torch.float32:
        backbones.append(plain.lean())
        pack_weights(backbones[-1])
    models = []
    for backbone in backbones:
        torch.manual_seed(1)
        models.append(move_all(attach(backbone, method, CLASSES)))
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
    assert statistics.median(errors[worst]) <= LIMITS[dtype], f"{worst}: {errors[worst]}"
