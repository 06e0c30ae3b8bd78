"""Domains' files that a dying disk or a stranger changed: refused, or read rightly.

`scripts/soak` does the same with thousands of copies of a larger domain, and measures time.
"""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from addapt.engines.torch.arrays import to_arrays
from addapt.engines.torch.engine import TorchEngine
from addapt.engines.torch.methods import attach
from addapt.learning import Learner
from addapt.methods import build_method
from tests.conftest import build_tiny_backbone
from tests.damage import FUZZ, Damage, Original, damages
from tests.domains.domain_cases import INFO
from tests.judges import LOADED, REFUSED, DomainJudge

METHODS = ("da3", "finetune")  # few tensors of its own, many of the backbone's


def write_untrained(learner: Learner, method_name: str) -> bytes:
    """Save a domain that nobody learned, and return its file."""
    assert isinstance(learner.engine, TorchEngine)
    backbone, store = learner.engine.network, learner.store
    method = build_method(method_name).for_backbone(len(backbone.blocks))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = attach(backbone, method, len(INFO.classes))
        for parameter in model.domain_parameters():
            torch.nn.init.normal_(parameter)
    info = dataclasses.replace(
        INFO,
        backbone=backbone.info.name,
        weights_sha256=backbone.info.weights_sha256,
        method=method.name,
        hyperparameters=dataclasses.asdict(method),
    )
    store.save("whole", info, to_arrays(model.stored_state(model.domain_state())))
    return store.path("whole").read_bytes()


@pytest.fixture(scope="module", params=METHODS)
def judge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DomainJudge:
    learner = Learner(build_tiny_backbone(), tmp_path_factory.mktemp(request.param))
    content = write_untrained(learner, request.param)
    return DomainJudge(learner, Original(content))


@settings(FUZZ, max_examples=FUZZ.max_examples // len(METHODS))
@given(data=st.data())
def test_damaged_domains_are_refused_or_read_rightly(
    judge: DomainJudge, data: st.DataObject
) -> None:
    assert judge(data.draw(damages(judge.original))) in (REFUSED, LOADED)


def test_the_judge_itself(judge: DomainJudge) -> None:
    content = judge.original.content
    assert judge(Damage(content, sealed=False, how=())) == LOADED
    assert judge(Damage(content[:-1], sealed=False, how=())) == REFUSED
