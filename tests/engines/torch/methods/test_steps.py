"""A step of every method: on every family of backbones, in parts, played, and written."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from addapt.domains import read_domain
from addapt.domains.file import write_domain
from addapt.engines.torch.backbones import Backbone, load_backbone
from addapt.engines.torch.memory import accumulate_gradients
from addapt.engines.torch.memory.simulate import Simulation
from addapt.engines.torch.methods import METHODS, AdaptedModel, attach, build_method
from tests.domains.domain_cases import INFO
from tests.families import FAMILIES

EXACT = sorted(name for name, method in METHODS.items() if not method.batch_statistics)


@pytest.fixture(scope="module", params=FAMILIES)
def backbone(request: pytest.FixtureRequest) -> Backbone:
    """Return one backbone for all methods: none may change it."""
    return load_backbone(request.param, "random")


@pytest.fixture(scope="module")
def resnet18() -> Backbone:
    return load_backbone("resnet18", "random")


@pytest.fixture(scope="module")
def precise_resnet18() -> Backbone:
    return load_backbone("resnet18", "random").double()


def with_values(model: AdaptedModel) -> AdaptedModel:
    """Move every trained tensor a little: what starts at zero would hide what is before it."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.domain_parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator).to(parameter))
    return model


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_step_reaches_every_trained_tensor(backbone: Backbone, name: str) -> None:
    model = with_values(attach(backbone, build_method(name), classes=3)).train()
    accumulate_gradients(model, torch.randn(3, 3, 64, 48), torch.tensor([0, 1, 2]))
    for key, tensor in model.domain_state().items():
        if isinstance(tensor, torch.nn.Parameter):
            assert tensor.grad is not None and tensor.grad.any(), key
            assert tensor.grad.isfinite().all(), key


@pytest.mark.parametrize("name", EXACT)
def test_parts_give_the_gradient_of_the_whole_batch(precise_resnet18: Backbone, name: str) -> None:
    model = with_values(attach(precise_resnet18, build_method(name), classes=3)).train()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 3, 40, 33, generator=generator, dtype=torch.float64)

    def gradients(micro_batch: int) -> dict[str, Tensor]:
        model.zero_grad()
        accumulate_gradients(model, x, torch.tensor([0, 1, 2]), micro_batch=micro_batch)
        return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}

    whole = gradients(3)
    assert len(whole) == len(list(model.domain_parameters()))
    for micro_batch in (1, 2):
        for key, gradient in gradients(micro_batch).items():
            torch.testing.assert_close(gradient, whole[key], rtol=1e-8, atol=1e-11, msg=key)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_planner_plays_a_step(resnet18: Backbone, name: str) -> None:
    method = build_method(name)
    simulation = Simulation("resnet18", method, 3)
    real = attach(resnet18, method, 3).domain_state()
    played = simulation.model.domain_state()
    assert {n: t.shape for n, t in played.items()} == {n: t.shape for n, t in real.items()}
    step = simulation.step(2, 2, 32)
    assert 0 < step.kept_bytes < step.peak_bytes


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_domain_file_holds_all_of_it(resnet18: Backbone, tmp_path: Path, name: str) -> None:
    source = with_values(attach(resnet18, build_method(name), classes=3)).eval()
    write_domain(tmp_path / "it.safetensors", INFO, source.stored_state(source.domain_state()))
    target = attach(resnet18, build_method(name), classes=3).eval()
    target.load_stored_state(read_domain(tmp_path / "it.safetensors")[1])
    x = torch.randn(2, 3, 40, 33)
    with torch.no_grad():
        assert torch.equal(source(x), target(x))
