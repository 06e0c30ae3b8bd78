"""What holds for every method that adapts convolution by convolution."""

import copy
from pathlib import Path

import pytest
import torch

from addapt._errors import OptionError
from addapt.bench.contender import Workload, check_comparison, contenders_of
from addapt.domains import read_domain, write_domain
from addapt.engines.torch.backbones import Backbone, load_backbone
from addapt.engines.torch.freezing import FrozenConv2d, pack_weights, unpack_weights
from addapt.engines.torch.memory import KeptTensors, accumulate_gradients
from addapt.engines.torch.memory.simulate import Simulation
from addapt.engines.torch.methods import AdaptedModel, Method, attach, build_method
from addapt.engines.torch.methods.convolutions import ConvolutionAdaptor, convolutions
from tests.domains.domain_cases import INFO
from tests.engines.torch.methods.plain_twins import CLASSES, move_all, random_batch

NAMES = ("lora", "norm", "parallel_adapter", "piggyback", "series_adapter")


@pytest.fixture(params=NAMES)
def method(request: pytest.FixtureRequest) -> Method:
    return build_method(request.param)


@pytest.fixture
def lean(tiny_backbone: Backbone) -> Backbone:
    return tiny_backbone.lean()


def train(model: AdaptedModel, steps: int = 2) -> None:
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    x, labels = random_batch()
    for _ in range(steps):
        optimiser.zero_grad()
        accumulate_gradients(model.train(), x, labels)
        optimiser.step()


@pytest.fixture(scope="module", params=["resnet18", "mobilenet_v2"])
def family(request: pytest.FixtureRequest) -> Backbone:
    """Return one backbone for all methods, none of which may change it."""
    return load_backbone(request.param, "random")


def test_only_the_domains_tensors_are_its_state(lean: Backbone, method: Method) -> None:
    model = attach(lean, method, CLASSES)
    state = model.domain_state()
    assert set(state) == {n for n, p in model.named_parameters() if p.requires_grad}
    own = {id(tensor) for tensor in lean.state_dict(keep_vars=True).values()}
    assert not own & {id(tensor) for tensor in state.values()}
    assert not any(isinstance(layer, FrozenConv2d) for layer in model.adaptor.modules())


def test_another_domain_is_bit_identical_after_training(lean: Backbone, method: Method) -> None:
    other = attach(lean, method, CLASSES).eval()
    move_all(other)
    x, _ = random_batch()
    before, weights = other(x), copy.deepcopy(lean.state_dict())
    model = attach(lean, method, CLASSES)
    train(model)
    assert not torch.equal(model(x), attach(lean, method, CLASSES)(x))
    assert torch.equal(other(x), before)
    for name, tensor in lean.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


def test_micro_batches_give_the_gradient_of_the_whole_batch(lean: Backbone, method: Method) -> None:
    model = attach(lean.double(), method, CLASSES)
    move_all(model, by=0.002)
    x, labels = random_batch(torch.float64)

    def gradients(micro_batch: int) -> list[torch.Tensor]:
        model.zero_grad()
        accumulate_gradients(model.train(), x, labels, micro_batch=micro_batch)
        return [p.grad for p in model.domain_parameters() if p.grad is not None]

    whole = gradients(len(x))
    assert len(whole) == len(list(model.domain_parameters()))
    for a, b in zip(gradients(1), whole, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_packed_weights_do_the_same(method: Method) -> None:
    backbone = load_backbone("resnet18", "random")
    model = attach(backbone, method, CLASSES).train()
    move_all(model, by=0.002)
    x, labels = random_batch(images=2)
    gradients = []
    expected = model(x)
    for _ in range(2):  # plain, then packed
        model.zero_grad()
        accumulate_gradients(model, x, labels)
        gradients.append([p.grad for p in model.domain_parameters()])
        pack_weights(model)
        with torch.no_grad():
            backbone(x)  # now they are packed, whatever the method does
    assert all(layer.weight is None for _, layer in convolutions(backbone))
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-4)
    for a, b in zip(*gradients, strict=True):
        assert a is not None and b is not None
        assert (a - b).norm() <= 1e-3 * a.norm()
    unpack_weights(model)
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-4)


def test_a_copy_has_a_backbone_of_its_own(lean: Backbone, method: Method) -> None:
    model = attach(lean, method, CLASSES)
    move_all(model)
    x, _ = random_batch()
    twin = copy.deepcopy(model)
    assert torch.equal(twin(x), model(x))
    before = model(x)
    with torch.no_grad():
        for parameter in twin.backbone.parameters():
            parameter.zero_()
    assert torch.equal(model(x), before)
    assert not torch.equal(twin(x), before)


def test_the_whole_model_changes_its_type(lean: Backbone, method: Method) -> None:
    model = attach(lean, method, CLASSES)
    move_all(model)
    x, _ = random_batch()
    expected = model(x).double()
    torch.testing.assert_close(model.double()(x.double()), expected, rtol=1e-4, atol=1e-5)


def test_domain_file_round_trip(lean: Backbone, method: Method, tmp_path: Path) -> None:
    model = attach(lean, method, CLASSES).eval()
    move_all(model)
    path = tmp_path / "domain.safetensors"
    write_domain(path, INFO, model.stored_state(model.domain_state()))
    again = attach(lean, method, CLASSES).eval()
    again.load_stored_state(read_domain(path)[1])
    x, _ = random_batch()
    assert not torch.equal(attach(lean, method, CLASSES)(x), model(x))
    assert torch.equal(again(x), model(x))


def test_a_simulated_step_keeps_what_a_real_one_keeps(family: Backbone, method: Method) -> None:
    simulated = Simulation(family.info.name, method, CLASSES).step(4, 2, 32)
    model = attach(family, method, CLASSES).train()
    x = torch.randn(2, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    with KeptTensors(model) as kept:
        model(x)
    assert simulated.kept_bytes == kept.peak_bytes
    assert simulated.peak_bytes > simulated.kept_bytes
    assert simulated.backward_kernels


@pytest.mark.parametrize("name", ["parallel_adapter", "series_adapter"])
def test_weights_of_adapters_have_a_lower_rate(lean: Backbone, name: str) -> None:
    method = build_method(name)
    adaptor = method.attach(lean, CLASSES).adaptor
    slow = {id(p) for p in adaptor.pretrained_parameters()}
    assert slow == {id(p) for p in adaptor.parameters() if p.dim() == 4}
    assert len(slow) == 4
    assert 0 < method.recipe.backbone_lr < method.recipe.lr


def test_a_plain_backbone_is_refused(tiny_backbone: Backbone, method: Method) -> None:
    with pytest.raises(OptionError, match=r"tiny is a plain one.*backbone\.lean\(\)"):
        attach(tiny_backbone, method, CLASSES)


def test_bench_compares_them(method: Method) -> None:
    rows = contenders_of(method.name, batch=8)
    assert {row.engine for row in rows} == {"addapt"}
    assert rows[0].micro_batch == 1
    work = Workload("resnet18", "random", batch=1, image_px=32, threads=1, device="cpu")
    check_comparison([method.name], work, 1)


def test_the_walk_changes_nothing_by_itself(lean: Backbone) -> None:
    adaptor = ConvolutionAdaptor(lean, lambda convolution: None)
    x, _ = random_batch()
    assert torch.equal(adaptor(lean, x), lean(x))
    assert adaptor.layer_of("blocks.0.conv") is None
    with pytest.raises(RuntimeError) as raised:
        adaptor(lean, x[:, :2])
    assert "While executing" not in str(raised.value)


def test_names_are_those_of_the_network(lean: Backbone) -> None:
    names = [name for name, _ in convolutions(lean)]
    assert names == ["stem.0", "blocks.0.conv", "blocks.1.conv", "blocks.2.conv"]
    assert all(lean.get_submodule(name) is layer for name, layer in convolutions(lean))
    adaptor = build_method("norm").attach(lean, CLASSES).adaptor
    assert isinstance(adaptor, ConvolutionAdaptor)
    assert len({id(adaptor.layer_of(name)) for name in names}) == 4
