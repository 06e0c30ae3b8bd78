"""What each part of DA3 gives: which runs are made, when one counts, and their table."""

import dataclasses
from typing import Any

import da3_parts
import domains
import pytest
import trial
from da3_parts import BASE, DOMAINS, METHOD, SEEDS, VARIANTS, Run
from result_rows import Row

from addapt.engines import open_engine
from addapt.methods import DA3
from tests.conftest import MakeFolder


def row(variant: str, domain: str, seed: int, share: float | None) -> Row:
    return {
        "variant": variant,
        "domain": domain,
        "seed": seed,
        "settings": dataclasses.asdict(trial.recipe_settings(METHOD)),
        "hyperparameters": trial.hyperparameters(METHOD, VARIANTS[variant]),
        "accuracy": share,
        "parameters": 1000,
        "file_bytes": 5000,
    }


def test_each_variant_changes_something_and_is_learned_first_with_one_seed() -> None:
    for variant, changes in VARIANTS.items():
        default = trial.hyperparameters(METHOD)
        changed = {name for name, value in changes.items() if value != default[name]}
        assert changed == changes.keys(), variant
        assert len(changed) == {BASE: 0, "no attention": 2}.get(variant, 1), variant
    forms = {DA3(**changes) for changes in VARIANTS.values()}
    assert len(forms) == len(VARIANTS)
    runs = da3_parts.ordered_runs(list(VARIANTS), DOMAINS)
    assert len(set(runs)) == len(runs) == len(VARIANTS) * len(DOMAINS) * SEEDS
    assert [run.variant for run in runs[: len(DOMAINS)]] == [BASE] * len(DOMAINS)
    assert {run.seed for run in runs[: len(runs) // SEEDS]} == {0}


@pytest.mark.parametrize(
    "stale",
    [
        {"hyperparameters": trial.hyperparameters(METHOD)},
        {"settings": {"lr": 1.0}},
        {"variant": "of former days"},
    ],
    ids=str,
)
def test_a_run_is_done_only_as_it_would_be_made_now(stale: dict[str, Any]) -> None:
    run = Run("width 12", "cifar-10", 1)
    done = row(run.variant, run.domain, run.seed, 0.9)
    assert da3_parts.is_done(run, [done])
    assert not da3_parts.is_done(dataclasses.replace(run, seed=0), [done])
    assert not da3_parts.is_done(run, [done | stale])
    assert "90.0" not in da3_parts.table([done | stale])


def test_rows_that_are_older_than_a_hyperparameter_are_of_what_could_not_be_otherwise() -> None:
    older = trial.hyperparameters(METHOD)
    del older["spatial"], older["channel"]
    assert trial.is_of({"hyperparameters": older}, METHOD)
    assert not trial.is_of({"hyperparameters": older}, METHOD, {"spatial": False})
    assert not trial.is_of({"hyperparameters": older | {"shortcut": False}}, METHOD)
    del older["shortcut"]  # which could be otherwise
    assert not trial.is_of({"hyperparameters": older}, METHOD)
    assert trial.is_of({"hyperparameters": {}}, "head")


def test_table_has_differences_of_pairs_and_says_what_is_missing() -> None:
    rows = [
        row(variant, name, seed, share + 0.02 * seed)
        for variant, share in ((BASE, 0.9), ("grid 4", 0.89), ("width 12", 0.5))
        for name in DOMAINS
        for seed in range(SEEDS)
        if variant != "width 12" or (seed == 0 and name != "cifar-10")
    ]
    rows.append(row("first block 0", "solar-cells", 0, None))
    rows.append(row("grid 4", "solar-cells", 1, 0.93))  # made anew: two points better
    lines = {line.split(" | ")[0]: line for line in da3_parts.table(rows).splitlines()}
    costs = "1,000 | 5 |"
    same = "91.0 ± 1.4 | 91.0 ± 1.4 | 91.0 ± 1.4"
    assert lines["| base"] == f"| base | {same} | 91.0 | – | {costs}"
    assert "| 91.0 ± 2.8 | 90.0 ± 1.4 | 90.3 | -0.7 ± 0.3 |" in lines["| grid 4"]
    assert f"| 50.0 | 50.0 | not run here | not run here | – | {costs}" in lines["| width 12"]
    assert "| not run here | diverged | not run here |" in lines["| first block 0"]
    assert lines["| no biases"].endswith("| not run here | – | – | – |")


def test_a_run_is_judged_on_spare_images_and_knows_its_variant(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, spare = make_folder("train", images=8), make_folder("spare", images=5, seed=1)
    folders = domains.DomainFolders(train, None, train, spare)
    monkeypatch.setattr(domains, "domain_folders", lambda name: folders)
    short = trial.Settings(lr=1e-2, backbone_lr=0.0, epochs=1, min_steps=1)
    monkeypatch.setattr(da3_parts, "recipe_settings", lambda name: short)
    monkeypatch.setitem(VARIANTS, "late", {"first_block": 7, "spatial": False})
    engine = open_engine("resnet18", engine="onnx")
    run = Run("late", "digits", 1)
    found = da3_parts.make(engine, run)
    assert (found["judged_images"], found["engine"]) == (15, "onnx")
    assert found["hyperparameters"] == dataclasses.asdict(DA3(first_block=7, spatial=False))
    assert found["command"].startswith(
        "python benchmarks/da3_parts.py run --variant late --domain digits --seed 1"
    )
    assert da3_parts.is_done(run, [found])
