"""PyTorch's own tools that look into a network: compile, export, torch.func, two processes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from addapt._errors import OptionError
from addapt.engines.torch.backbones import load_backbone
from addapt.engines.torch.freezing import freeze, pack_weights, unpack_weights
from addapt.engines.torch.methods import AdaptedModel, attach
from addapt.methods import METHODS, build_method
from tests.engines.torch.freezing.measures import relative_error
from tests.engines.torch.freezing.networks import NETWORKS

SOME = ("densenet", "mobilenet_v3")
CLASSES, PX = 3, 32


def images(count: int = 2, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, PX, PX, generator=torch.Generator().manual_seed(seed))


def gradient(network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(network(x).square().sum(), x)
    return found


def adapted(method: str = "da3") -> AdaptedModel:
    torch.manual_seed(0)
    plain = METHODS[method].batch_statistics or method.startswith("finetune")
    backbone = load_backbone("resnet18", "random", plain=plain)
    model = attach(backbone, build_method(method), CLASSES).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model


def trained_gradients(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    F.cross_entropy(model(x), torch.arange(len(x)) % CLASSES).backward()  # type: ignore[no-untyped-call]
    return {
        name.removeprefix("_orig_mod."): p.grad.clone()
        for name, p in model.named_parameters()
        if p.grad is not None
    }


@pytest.mark.parametrize("name", SOME)
def test_func_sees_through_frozen_layers(name: str) -> None:
    frozen, x = freeze(NETWORKS[name]()), images()
    found = torch.func.grad(lambda each: frozen(each).square().sum())(x)
    assert relative_error(found, gradient(frozen, x)) <= 1e-5
    each = torch.func.vmap(lambda image: frozen(image[None])[0])(x)
    assert relative_error(each, frozen(x)) <= 1e-5


@pytest.mark.parametrize("method", sorted(METHODS))
def test_func_gives_the_gradients_of_every_method(method: str) -> None:
    model, x = adapted(method), images()
    expected = trained_gradients(model, x)
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}

    def loss(values: dict[str, Tensor]) -> Tensor:
        logits = torch.func.functional_call(model, values, (x,))
        return F.cross_entropy(logits, torch.arange(len(x)) % CLASSES)

    found = torch.func.grad(loss)(trained)
    assert expected
    for name in expected:
        assert relative_error(found[name], expected[name]) <= 1e-4


@pytest.mark.parametrize("name", SOME)
def test_export(name: str) -> None:
    frozen, x = freeze(NETWORKS[name]()), images()
    program = torch.export.export(frozen, (x,))
    assert relative_error(program.module()(x), frozen(x)) <= 1e-5


@pytest.mark.parametrize("name", SOME)
def test_compiling_breaks_no_graph_and_is_done_once_for_all_batches(name: str) -> None:
    torch._dynamo.reset()
    counters.clear()
    frozen = freeze(NETWORKS[name]())
    compiled = torch.compile(frozen, backend="aot_eager")
    for count in (2, 3, 4, 5):
        x = images(count)
        assert relative_error(gradient(compiled, x), gradient(frozen, x)) <= 1e-5
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] <= 2  # for two images, then for any number


def test_compiling_a_model_that_learns() -> None:
    torch._dynamo.reset()
    counters.clear()
    model = adapted()
    compiled = torch.compile(model, backend="aot_eager")
    assert isinstance(compiled, nn.Module)
    for count in (2, 3, 4):
        found, expected = (trained_gradients(m, images(count)) for m in (compiled, model))
        assert found.keys() == expected.keys() != set()
        for name in expected:
            assert relative_error(found[name], expected[name]) <= 1e-4
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] <= 2


@pytest.mark.parametrize(
    "use",
    [
        lambda network, x: torch.func.grad(lambda each: network(each).sum())(x),
        lambda network, x: torch.export.export(network, (x,)),
        lambda network, x: torch.compile(network, backend="aot_eager")(x),
    ],
    ids=["func", "export", "compile"],
)
def test_packed_weights_say_what_to_do(use: Callable[[nn.Module, Tensor], object]) -> None:
    torch._dynamo.reset()
    frozen, x = freeze(NETWORKS["vgg"]()), images()
    pack_weights(frozen)
    frozen(x)
    with pytest.raises(OptionError, match="unpack_weights"):
        use(frozen, x)
    unpack_weights(frozen)
    use(frozen, x)


def half_of_the_work(rank: int, folder: str) -> None:
    """Learn from every second image, beside another process."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    model = DistributedDataParallel(adapted())
    x, labels = images(4), torch.arange(4) % CLASSES
    F.cross_entropy(model(x[rank::2]), labels[rank::2]).backward()  # type: ignore[no-untyped-call]
    named = model.module.named_parameters()
    torch.save({name: p.grad for name, p in named if p.grad is not None}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_learn_as_one(tmp_path: Path) -> None:
    spawn(half_of_the_work, (str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    expected = trained_gradients(adapted(), images(4))
    assert first.keys() == second.keys() == expected.keys()
    for name in expected:
        assert torch.equal(first[name], second[name])
        assert relative_error(first[name], expected[name]) <= 1e-4
