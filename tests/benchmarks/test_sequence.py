"""Learning in a row: a shared network changes under its earlier heads, adaptors do not."""

from pathlib import Path

import domains
import pytest
import sequence
import torch
import trial
import tuning
from safetensors.torch import load_file

from addapt.engines.torch.backbones import Backbone
from addapt.engines.torch.methods import attach
from addapt.methods import Finetune
from tests.conftest import MakeFolder

NAMES = ["one", "two"]


@pytest.fixture(autouse=True)
def tiny_domains(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {
        "one": make_folder("one", images=6),
        "two": make_folder("two", classes=("dark", "light"), images=6, seed=1),
    }
    settings = trial.Settings(lr=1e-2, backbone_lr=1e-2, epochs=2, min_steps=1)

    def domain_folders(name: str) -> domains.DomainFolders:
        return domains.DomainFolders(folders[name], None, folders[name], None)

    monkeypatch.setattr(domains, "domain_folders", domain_folders)
    monkeypatch.setattr(domains, "IMAGE_PX", 32)
    monkeypatch.setattr(tuning, "chosen_settings", lambda rows, method: (settings, "tuned"))


def learn(backbone: Backbone, method: str, work: Path) -> sequence.Record:
    record: sequence.Record = {}
    steps = sequence.DomainSequence(backbone, method, NAMES, work, record)
    for _ in NAMES:
        steps.step()
    return record


def test_a_shared_network_changes_under_its_heads_and_adaptors_do_not(
    tiny_backbone: Backbone, tmp_path: Path
) -> None:
    record = learn(tiny_backbone, "head", tmp_path / "head")
    assert record["changed_logits"] == [[0], [0, 0]]
    assert [len(row) for row in record["accuracy"]] == [1, 2]
    record = learn(tiny_backbone, "finetune", tmp_path / "finetune")
    (first,), (later, own) = record["changed_logits"]
    assert (first, own) == (0, 0)
    assert later > 0


def test_network_carries_over_and_the_head_stays(tiny_backbone: Backbone, tmp_path: Path) -> None:
    steps = sequence.DomainSequence(tiny_backbone, "finetune", NAMES, tmp_path / "work", {})
    steps.step()
    source = steps.learner.store.path("one")
    model = attach(sequence.continued(tiny_backbone, source), Finetune(), classes=2)
    tensors = load_file(source)
    for name, tensor in model.adaptor.state_dict(prefix="adaptor.").items():
        assert torch.equal(tensor, tensors[name])
    assert not model.head.weight.any()
    start = tiny_backbone.plain_copy()
    carried = torch.cat([p.flatten() for p in model.adaptor.parameters()])
    assert not torch.equal(carried, torch.cat([p.flatten() for p in start.parameters()]))


def test_table_shows_what_is_there() -> None:
    record = {"accuracy": [[0.9], [0.5, 0.8]], "changed_logits": [[0], [7, 0]]}
    lines = sequence.table({"domains": NAMES, "finetune": record}).splitlines()
    assert lines[2:4] == [
        "| finetune, one | 90.0 |  | 0 |",
        "| finetune, two | 50.0 | 80.0 | 7 |",
    ]
    assert lines[5] == "| da3, two | not run here | not run here | – |"
