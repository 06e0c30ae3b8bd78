"""The rivals in plain PyTorch are what they say."""

import torch

from addapt.engines.torch.bench.eager import attach_eager
from addapt.engines.torch.memory import accumulate_gradients, kept_bytes
from addapt.engines.torch.methods import AdaptedModel
from tests.conftest import build_tiny_backbone


def model_and_gradients(method: str) -> tuple[AdaptedModel, list[torch.Tensor]]:
    torch.manual_seed(0)
    model = attach_eager(build_tiny_backbone(), method, 3).train()
    torch.nn.init.normal_(model.head.weight)
    accumulate_gradients(model, torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0]))
    gradients = [p.grad for p in model.domain_parameters()]
    assert all(gradient is not None for gradient in gradients)
    return model, [gradient for gradient in gradients if gradient is not None]


def test_biases_and_head_are_trained_and_nothing_else() -> None:
    model, gradients = model_and_gradients("bias")
    trained = [name for name, p in model.named_parameters() if p.grad is not None]
    assert {name.rpartition(".")[2] for name in trained} == {"bias", "weight"}
    assert [name for name in trained if name.endswith("weight")] == ["head.weight"]
    assert len(gradients) == 3 + 2
    assert all(gradient.any() for gradient in gradients)


def test_checkpointing_keeps_less_and_changes_no_gradient() -> None:
    (plain, gradients), (checkpointed, again) = (
        model_and_gradients(method) for method in ("bias", "bias+checkpointing")
    )
    torch.testing.assert_close(again, gradients)
    x = torch.randn(4, 3, 32, 32)
    assert kept_bytes(lambda: checkpointed(x)) < kept_bytes(lambda: plain(x))


def test_finetuning_has_no_second_copy_of_the_weights() -> None:
    model, gradients = model_and_gradients("finetune")
    storages = {p.data_ptr() for p in model.parameters()}
    assert len(storages) == len(gradients)
    assert model.adaptor.training
