"""What every method promises, asked of each one in the registry."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from addapt._errors import DomainError, OptionError
from addapt.domains import read_domain
from addapt.domains.file import write_domain
from addapt.engines.torch.arrays import to_arrays, to_tensors
from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.memory import accumulate_gradients
from addapt.engines.torch.methods import attach
from addapt.methods import DA3, METHODS, Method, build_method
from tests.domains.domain_cases import INFO
from tests.engines.torch.gates.small_backbones import KINDS, small_backbone
from tests.engines.torch.methods.plain_twins import CLASSES, move_all, random_batch


@pytest.fixture(params=sorted(METHODS))
def method(request: pytest.FixtureRequest) -> Method:
    return build_method(request.param)


@pytest.fixture
def backbone() -> Backbone:
    return small_backbone()


@pytest.mark.parametrize("kind", KINDS)
def test_it_starts_as_the_pretrained_network_and_a_step_reaches_every_tensor(
    method: Method, kind: str
) -> None:
    backbone = small_backbone(kind)
    model = attach(backbone, method, CLASSES).eval()
    x, labels = random_batch()
    # Fine-tuning trains batch norms, and so starts from the network in which they stand apart.
    start = backbone.plain_copy() if method.plain else backbone
    with torch.no_grad():
        assert torch.equal(model.features(x), start(x))
    accumulate_gradients(move_all(model).train(), x, labels)
    for parameter in model.domain_parameters():
        assert parameter.grad is not None and parameter.grad.any()
        assert parameter.grad.isfinite().all()


def test_only_the_domain_is_trained_and_nothing_of_the_backbone_is_its_own(
    backbone: Backbone, method: Method
) -> None:
    before = copy.deepcopy(backbone.state_dict())
    model = attach(backbone, method, CLASSES).train()
    assert model.backbone is backbone
    state = model.domain_state()
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    assert trained == {id(p) for p in model.domain_parameters()}
    assert trained == {id(t) for t in state.values() if isinstance(t, nn.Parameter)}
    shared = {t.data_ptr() for t in backbone.state_dict().values() if t.numel()}
    assert not shared & {t.data_ptr() for t in state.values() if t.numel()}
    domain_before = {name: t.detach().clone() for name, t in state.items()}
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0, weight_decay=0.1)
    x, labels = random_batch()
    for _ in range(3):  # head, then adaptor: each layer of zeros hides those before it for a step
        optimiser.zero_grad()
        accumulate_gradients(model, x, labels)
        optimiser.step()
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    for name, tensor in model.domain_state().items():
        assert not torch.equal(tensor, domain_before[name]), name


def test_a_step_under_autocast_after_predicting_in_inference_mode(
    backbone: Backbone, method: Method
) -> None:
    model = move_all(attach(backbone, method, CLASSES)).eval()
    x, _ = random_batch()
    with torch.inference_mode():
        expected = model(x)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(x)
    torch.testing.assert_close(logits.float(), expected, rtol=0.1, atol=0.1)
    logits.float().square().sum().backward()  # outside, as PyTorch documents it
    for parameter in model.domain_parameters():
        assert parameter.grad is not None and parameter.grad.dtype == parameter.dtype
        assert parameter.grad.isfinite().all()


@pytest.mark.parametrize("name", sorted(n for n, m in METHODS.items() if not m.batch_statistics))
def test_parts_give_the_gradient_of_the_whole_batch(backbone: Backbone, name: str) -> None:
    model = move_all(attach(backbone.double(), build_method(name), CLASSES)).train()
    x, labels = random_batch(torch.float64, 3)

    def gradients(micro_batch: int) -> dict[str, Tensor]:
        model.zero_grad()
        accumulate_gradients(model, x, labels, micro_batch=micro_batch)
        return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}

    whole = gradients(3)
    assert len(whole) == len(list(model.domain_parameters()))
    for micro_batch in (1, 2):
        for key, gradient in gradients(micro_batch).items():
            torch.testing.assert_close(gradient, whole[key], rtol=1e-8, atol=1e-11, msg=key)


def test_a_domain_file_holds_all_of_it(backbone: Backbone, tmp_path: Path, method: Method) -> None:
    source = move_all(attach(backbone, method, CLASSES)).eval()
    stored = to_arrays(source.stored_state(source.domain_state()))
    write_domain(tmp_path / "it.safetensors", INFO, stored)
    target = attach(backbone, method, CLASSES).eval()
    x, _ = random_batch()
    with torch.no_grad():
        assert not torch.equal(source(x), target(x))
        target.load_stored_state(to_tensors(read_domain(tmp_path / "it.safetensors")[1]))
        assert torch.equal(source(x), target(x))


def test_wrong_state_is_refused_and_changes_nothing(backbone: Backbone) -> None:
    model = attach(backbone, DA3(), CLASSES)
    state = {name: t.detach() + 1 for name, t in model.domain_state().items()}
    before = {name: t.detach().clone() for name, t in model.domain_state().items()}
    for wrong, message in (
        (dict(list(state.items())[1:]), "missing"),
        (state | {"other": torch.zeros(1)}, "'other'"),
        (state | {"head.weight": torch.zeros(4, 8)}, r"\(4, 8\)"),
    ):
        with pytest.raises(DomainError, match=message):
            model.load_domain_state(wrong)
    for name, tensor in model.domain_state().items():
        assert torch.equal(tensor, before[name])


def test_no_classes(backbone: Backbone) -> None:
    with pytest.raises(OptionError, match="0 classes"):
        attach(backbone, DA3(), classes=0)
