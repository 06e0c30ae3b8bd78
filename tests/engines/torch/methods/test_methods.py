"""What every method promises, asked of each one in the registry."""

import copy
from typing import Any

import pytest
import torch

from addapt._errors import AddaptError, DomainError, OptionError, UnknownNameError
from addapt.engines.torch.backbones import Backbone, load_backbone
from addapt.engines.torch.methods import METHODS, Method, attach, build_method
from tests.families import EVERY


@pytest.fixture(params=sorted(METHODS))
def method(request: pytest.FixtureRequest) -> Method:
    return build_method(request.param)


@pytest.fixture
def tiny_backbone(tiny_backbone: Backbone, method: Method) -> Backbone:
    """Take the lean one for the methods that work inside its convolutions."""
    inside = ("lora", "norm", "parallel_adapter", "piggyback", "series_adapter")
    return tiny_backbone.lean() if method.name in inside else tiny_backbone


@pytest.fixture(scope="module", params=EVERY)
def backbone(request: pytest.FixtureRequest) -> Backbone:
    """Return one backbone for all methods, none of which may change it."""
    return load_backbone(request.param, "random")


def test_network_starts_as_the_pretrained_one(method: Method, backbone: Backbone) -> None:
    x = torch.randn(2, 3, 64, 64)
    model = attach(backbone, method, classes=5).eval()
    # Fine-tuning trains batch norms, and so starts from the network in which they stand apart.
    start = backbone.plain_copy() if method.plain else backbone
    with torch.no_grad():
        assert torch.equal(model.features(x), start(x))
        assert model(x).shape == (2, 5)


def test_only_the_domain_is_trained(tiny_backbone: Backbone, method: Method) -> None:
    before = copy.deepcopy(tiny_backbone.state_dict())
    model = attach(tiny_backbone, method, classes=3).train()
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    assert trained == {id(p) for p in model.domain_parameters()}
    assert trained == {
        id(t) for t in model.domain_state().values() if isinstance(t, torch.nn.Parameter)
    }
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0, weight_decay=0.1)
    domain_before = {name: t.detach().clone() for name, t in model.domain_state().items()}
    for _ in range(3):  # head, then adaptor: each layer of zeros hides those before it for a step
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(
            model(torch.randn(4, 3, 32, 32)), torch.tensor([0, 1, 2, 0])
        )
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    for name, tensor in tiny_backbone.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    moved = [n for n, t in model.domain_state().items() if not torch.equal(t, domain_before[n])]
    assert set(moved) == set(domain_before)


def test_domains_share_one_backbone(tiny_backbone: Backbone, method: Method) -> None:
    first = attach(tiny_backbone, method, classes=3)
    second = attach(tiny_backbone, method, classes=4)
    assert first.backbone is second.backbone is tiny_backbone
    ours = {t.data_ptr() for t in tiny_backbone.state_dict().values() if t.numel()}
    for model in (first, second):
        assert not ours & {t.data_ptr() for t in model.domain_state().values() if t.numel()}


def test_state_round_trip(tiny_backbone: Backbone, method: Method) -> None:
    source = attach(tiny_backbone, method, classes=3).eval()
    with torch.no_grad():
        for tensor in source.domain_parameters():
            tensor.add_(torch.randn_like(tensor) * 0.1)
    target = attach(tiny_backbone, method, classes=3).eval()
    target.load_domain_state({n: t.detach().clone() for n, t in source.domain_state().items()})
    x = torch.randn(2, 3, 40, 33)
    assert torch.equal(source(x), target(x))


def test_wrong_state_is_refused_and_changes_nothing(
    tiny_backbone: Backbone, method: Method
) -> None:
    model = attach(tiny_backbone, method, classes=3)
    state = {name: t.detach() + 1 for name, t in model.domain_state().items()}
    before = {name: t.detach().clone() for name, t in model.domain_state().items()}
    missing = dict(list(state.items())[1:])
    for wrong, message in (
        (missing, "missing"),
        (state | {"other": torch.zeros(1)}, "'other'"),
        (state | {"head.weight": torch.zeros(4, 12)}, r"\(4, 12\)"),
    ):
        with pytest.raises(DomainError, match=message):
            model.load_domain_state(wrong)
    for name, tensor in model.domain_state().items():
        assert torch.equal(tensor, before[name])


def test_model_follows_the_type_of_the_backbone(tiny_backbone: Backbone, method: Method) -> None:
    model = attach(tiny_backbone.double(), method, classes=3)
    assert model(torch.randn(2, 3, 32, 32, dtype=torch.float64)).dtype == torch.float64


def test_no_classes(tiny_backbone: Backbone, method: Method) -> None:
    with pytest.raises(OptionError, match="0 classes"):
        attach(tiny_backbone, method, classes=0)


def test_unknown_method_and_hyperparameter() -> None:
    with pytest.raises(UnknownNameError, match=r"'da33'.*Did you mean 'da3'.*finetune.*, head"):
        build_method("da33")
    with pytest.raises(OptionError, match=r"no hyper-parameter 'breadth'.*kernel"):
        build_method("da3", {"breadth": 3})
    assert issubclass(UnknownNameError, AddaptError)


@pytest.mark.parametrize(
    ("hyperparameters", "default"),
    [
        ({"kernel": True}, "5"),
        ({"kernel": 5.0}, "5"),
        ({"kernel": None}, "5"),
        ({"biases": 1}, "True"),
        ({"first_block": False}, "None"),
        ({"first_block": "2"}, "None"),
    ],
)
def test_a_hyperparameter_of_a_wrong_type(hyperparameters: dict[str, Any], default: str) -> None:
    with pytest.raises(OptionError, match=f"not of the type of its default {default}"):
        build_method("da3", hyperparameters)


def test_whole_numbers_serve_as_others() -> None:
    assert build_method("lora", {"alpha": 4}) == build_method("lora", {"alpha": 4.0})
    assert build_method("da3", {"first_block": None}) == build_method("da3", {})


def test_every_method_says_what_it_is() -> None:
    for name, method in METHODS.items():
        assert method.name == name
        assert method.summary
        assert method.recipe.lr > 0
        assert method.recipe.epochs > 0
