"""Accuracy of both engines: which runs are made, and their table."""

import accuracy
import domains
import engines_accuracy
import pytest
import trial
from engines_accuracy import ENGINES, METHOD
from result_rows import Row

from addapt.engines import open_engine
from tests.benchmarks.test_accuracy_runs import trial_row
from tests.conftest import MakeFolder


def row(engine: str, domain: str, seed: int, share: float) -> Row:
    found = trial_row(METHOD, domain, trial.recipe_settings(METHOD), share)
    return found | {"engine": engine, "seed": seed, "amount": accuracy.ALL, "train_s": 60.0}


def test_both_engines_of_a_domain_come_together_and_all_have_three_seeds() -> None:
    runs = engines_accuracy.ordered_runs(domains.DOMAINS)
    assert len(set(runs)) == len(runs) == 3 * len(domains.DOMAINS) * len(ENGINES)
    for first, second in zip(runs[::2], runs[1::2], strict=True):
        assert [first[0], second[0]] == list(ENGINES) and first[1] == second[1]


def test_a_run_is_done_by_the_engine_that_made_it() -> None:
    run = accuracy.Run(METHOD, "digits", 1, accuracy.ALL)
    rows = [row("onnx", "digits", 1, 0.9) | {"threads": 2}]
    assert engines_accuracy.is_done("onnx", run, 2, rows, [])
    assert not engines_accuracy.is_done("onnx", run, 1, rows, [])
    assert not engines_accuracy.is_done("torch", run, 2, rows, [])


def test_table_has_means_over_seeds_of_the_domains_of_both_engines() -> None:
    rows = [
        row("onnx", name, seed, 0.9 + 0.01 * seed) for name in domains.DOMAINS for seed in (0, 1, 2)
    ]
    assert engines_accuracy.engine_means(rows) == {"onnx": pytest.approx(0.91), "torch": None}
    rows += [row("torch", "digits", 0, 0.5), row("onnx", "digits", 0, 0.8)]
    heading, _, onnx, torch = engines_accuracy.table(rows).splitlines()
    assert "| mean of 1 |" in heading
    rest = " 91.0 ± 1.0 |" * (len(domains.DOMAINS) - 1)
    assert onnx == f"| onnx | 87.7 ± 6.7 |{rest} 87.7 | 3 | 60 |"
    assert torch.startswith("| torch | 50.0 | not run here |")
    assert torch.endswith("| not run here | 50.0 | 0 to 1 | 60 |")


def test_a_run_names_its_engine(make_folder: MakeFolder) -> None:
    folder = make_folder("train", images=8)
    settings = trial.Settings(lr=1e-2, backbone_lr=0.0, epochs=1, min_steps=1)
    engine = open_engine("resnet18", engine="onnx")
    found = trial.learn_and_judge(engine, "head", settings, folder, folder, image_px=32)
    assert (found["engine"], found["backbone"]) == ("onnx", "resnet18")
