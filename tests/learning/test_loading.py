"""From a file to a model: what was learned comes back, and nothing a file claims is believed."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from addapt._errors import DomainError
from addapt.domains import DomainFile, DomainInfo, Store, read_info
from addapt.engines.torch.backbones import Backbone, load_backbone
from addapt.engines.torch.freezing import pack_weights
from addapt.engines.torch.methods import (
    DA3,
    METHODS,
    AdaptedModel,
    Head,
    LoRA,
    Method,
    attach,
    build_method,
)
from addapt.learning.loading import DomainLoader, hollow_backbone
from tests.conftest import build_tiny_backbone
from tests.domains.domain_cases import INFO

GOLDEN = Path(__file__).parents[1] / "domains" / "golden_schema_1.safetensors"
# These were measured; others that are as quick may be added.
QUICK_ON_META = {
    "clone",
    "detach",
    "empty",
    "fill_",
    "new_empty",
    "new_ones",
    "new_zeros",
    "select",
    "uniform_",
    "zero_",
}
X = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def lean_tiny_backbone() -> Backbone:
    backbone = build_tiny_backbone()
    backbone.load_plain = build_tiny_backbone  # as `load_backbone` would have it
    return backbone.lean()


def describe(backbone: Backbone, method: Method, /, **changes: Any) -> DomainInfo:
    own = backbone.info
    info = replace(
        INFO,
        backbone=own.name,
        weights_sha256=own.weights_sha256,
        method=method.name,
        hyperparameters=asdict(method),
    )
    return replace(info, **changes)


def random_model(backbone: Backbone, method: Method) -> AdaptedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = attach(backbone, method, len(INFO.classes)).eval()
        for parameter in model.domain_parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def save(store: Store, backbone: Backbone, method: Method, /, **changes: Any) -> dict[str, Tensor]:
    model = random_model(backbone, method)
    state = model.stored_state(model.domain_state())
    store.save("a", describe(backbone, method, **changes), state)
    return state


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.mark.parametrize("name", METHODS)
def test_every_method_comes_back(store: Store, name: str) -> None:
    backbone = load_backbone("mobilenet_v2", "random") if "finetune" in name else None
    backbone = backbone or lean_tiny_backbone()
    method = build_method(name).for_backbone(backbone)
    state = save(store, backbone, method)
    info, loaded = DomainLoader(backbone).load(store, "a")
    assert info.method == name
    assert not loaded.training
    stored = loaded.stored_state(loaded.domain_state())
    assert stored.keys() == state.keys()
    assert all(torch.equal(stored[key], state[key]) for key in state)
    assert loaded.backbone is backbone


def test_a_plain_backbone_of_the_user(store: Store) -> None:
    backbone = build_tiny_backbone()
    for method in (DA3(), build_method("finetune")):
        model = random_model(backbone, method)
        store.save("a", describe(backbone, method), model.domain_state())
        assert torch.equal(DomainLoader(backbone).load(store, "a")[1](X), model(X))


def test_packed_and_converted_backbones(store: Store) -> None:
    backbone = lean_tiny_backbone()
    expected = random_model(backbone, LoRA())(X)
    save(store, backbone, LoRA())
    pack_weights(backbone)
    backbone(X)
    torch.testing.assert_close(DomainLoader(backbone).load(store, "a")[1](X), expected)
    double = lean_tiny_backbone().double()
    logits = DomainLoader(double).load(store, "a")[1](X.double())
    torch.testing.assert_close(logits.float(), expected)


def test_a_hollow_backbone_has_shapes_only() -> None:
    backbone = lean_tiny_backbone()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    hollow = hollow_backbone(backbone)
    assert all(tensor.is_meta for tensor in hollow.state_dict().values())
    assert {name: tensor.shape for name, tensor in hollow.state_dict().items()} == {
        name: tensor.shape for name, tensor in before.items()
    }
    assert all(torch.equal(backbone.state_dict()[name], before[name]) for name in before)


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        (Head(), {"classes": ("a", "b")}, r"'head.weight' has shape \(3, 12\), but \(2, 12\)"),
        (Head(), {"classes": tuple(map(str, range(70_000)))}, "has shape"),
        (DA3(), {"method": "head", "hyperparameters": {}}, "is none of its method's"),
        (Head(), {"method": "da3", "hyperparameters": asdict(DA3())}, "is missing"),
        (Head(), {"method": "da4"}, "Unknown method 'da4'"),
        (Head(), {"hyperparameters": {"size": 1}}, "no hyper-parameter 'size'"),
        (DA3(), {"hyperparameters": {"kernel": 2**31 - 1}}, "cannot be built with the hyper-par"),
        (DA3(), {"hyperparameters": {"kernel": 5.0}}, "'kernel' of method 'da3' is 5.0"),
        (DA3(), {"hyperparameters": {"grid": 10**4000}}, "'grid' is 1000000.* makes no sense"),
        (DA3(), {"hyperparameters": {"grid": "x" * 9000}}, "cannot be used"),
        (LoRA(), {"hyperparameters": {"rank": 2**31 - 1}}, "has shape"),
        (LoRA(), {"hyperparameters": {"rank": 2**31}}, "'rank' is 2147483648, which makes no"),
    ],
)
def test_a_file_that_is_not_as_declared_is_not_read(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    method: Method,
    changes: dict[str, Any],
    message: str,
) -> None:
    backbone = lean_tiny_backbone()
    save(store, backbone, method, **changes)
    monkeypatch.delattr(DomainFile, "read")
    with pytest.raises(DomainError, match=message) as caught:
        DomainLoader(backbone).load(store, "a")
    assert str(caught.value).startswith(f"{store.path('a')} cannot be used. ")
    assert len(str(caught.value)) < 1200


def test_types_must_be_of_the_declared_kind(store: Store) -> None:
    backbone = lean_tiny_backbone()
    state = save(store, backbone, Head())
    info = describe(backbone, Head())
    store.save("a", info, {name: tensor.int() for name, tensor in state.items()})
    with pytest.raises(DomainError, match="'head.weight' is of type int32, but float32 is needed"):
        DomainLoader(backbone).load(store, "a")


def test_another_backbone_is_refused_before_all_else(store: Store) -> None:
    save(store, lean_tiny_backbone(), Head(), method="da4")
    with pytest.raises(DomainError, match="a was learned on tiny"):
        DomainLoader(build_tiny_backbone("other")).load(store, "a")


def test_random_numbers_of_the_caller_are_left_alone(store: Store) -> None:
    backbone = lean_tiny_backbone()
    save(store, backbone, DA3())
    before = torch.get_rng_state()
    DomainLoader(backbone).load(store, "a")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_domain_of_schema_1_still_works(tmp_path: Path) -> None:
    (tmp_path / "old.safetensors").write_bytes(GOLDEN.read_bytes())
    backbone = build_tiny_backbone()
    sha256 = read_info(GOLDEN).weights_sha256
    backbone.info = replace(backbone.info, weights_sha256=sha256)
    info, model = DomainLoader(backbone).load(Store(tmp_path), "old")
    assert info.classes == ("cat", "dog")
    weight = torch.arange(24.0).view(2, 12) / 8 - 1
    expected = backbone(X) @ weight.T + torch.tensor([-0.5, 0.25])
    torch.testing.assert_close(model(X), expected)


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the names of all operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", [name for name in METHODS if "finetune" not in name])
def test_shapes_are_found_without_torchs_slow_parts(name: str) -> None:
    """On `meta`, `zeros_like` and arithmetic import symbolic algebra: half a second, 40 MB."""
    hollow = hollow_backbone(lean_tiny_backbone())
    with Recorder() as recorder, torch.device("meta"):
        model = build_method(name).attach(hollow, 3)
        model.stored_state(model.domain_state())
    assert recorder.names - QUICK_ON_META == set()
