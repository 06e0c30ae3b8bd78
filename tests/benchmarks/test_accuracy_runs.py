"""Which runs are made, in which order, with which settings; and their table."""

import argparse
import dataclasses
from pathlib import Path

import accuracy
import pytest
import result_rows
import trial
import tuning
from result_rows import Row

from addapt.demo.images import SOURCES
from addapt.engines.torch.backbones import Backbone
from addapt.methods import METHODS
from tests.conftest import MakeFolder

NAMES = ["digits", "faces"]


def trial_row(method: str, domain: str, settings: trial.Settings, accuracy: float | None) -> Row:
    return {
        "method": method,
        "domain": domain,
        "settings": dataclasses.asdict(settings),
        "hyperparameters": trial.hyperparameters(method),
        "accuracy": accuracy,
    }


def searched(method: str, best: int) -> list[Row]:
    """Return rows of a whole search that trial number `best` wins."""
    return [
        trial_row(method, domain, one.settings, 0.9 if place == best else 0.8)
        for place, one in enumerate(tuning.trials(method))
        for domain in tuning.TUNED_ON
    ]


def test_every_method_has_four_different_trials() -> None:
    for method in METHODS:
        settings = [one.settings for one in tuning.trials(method)]
        assert len(set(settings)) == 4
        assert len({getattr(one, tuning.rate_name(method)) for one in settings}) == 2
        schedules = {(one.epochs, one.min_steps) for one in settings}
        assert schedules == set(tuning.SCHEDULES.values())
    assert set(tuning.OTHER_RATES) <= set(METHODS)


def test_winner_needs_the_whole_search_and_has_the_best_mean() -> None:
    rows = searched("head", best=2)
    assert tuning.chosen_settings(rows, "head") == (tuning.trials("head")[2].settings, "tuned")
    assert tuning.winner(rows[:-1], "head") is None
    assert tuning.chosen_settings(rows[:-1], "head") == (trial.recipe_settings("head"), "recipe")
    assert "**0.900**" in tuning.table(rows) and "not run here" in tuning.table(rows)


def test_a_diverged_trial_loses_and_other_defaults_do_not_count() -> None:
    rows = searched("head", best=0)
    rows[0]["accuracy"] = None
    assert tuning.winner(rows, "head") == tuning.trials("head")[1]  # the first of equals
    rows = searched("da3", best=0)
    rows[0]["hyperparameters"] = rows[0]["hyperparameters"] | {"width": 1}
    assert tuning.winner(rows, "da3") is None


def test_order_of_runs_is_useful_when_broken_off() -> None:
    runs = accuracy.ordered_runs(list(METHODS), NAMES)
    assert len(set(runs)) == len(runs)
    first = runs[: len(METHODS) * len(NAMES)]
    assert {(run.seed, run.amount) for run in first} == {(0, accuracy.ALL)}
    methods = [run.method for run in first[:: len(NAMES)]]
    assert methods[: len(accuracy.SEEDED)] == list(accuracy.SEEDED)
    assert {run.method for run in runs if run.seed} == set(accuracy.SEEDED)
    assert {run.method for run in runs if run.seed > 2} == set(accuracy.DEMO_METHODS)
    assert not [run for run in runs if run.domain == "faces" and run.amount == accuracy.FEW]
    of_da3 = [run for run in runs if run.method == "da3"]
    assert len(of_da3) == 2 * 5 + 3  # seeds of both domains, and of few images of one
    assert accuracy.seeds_of("da3", "fashion-mnist") == 3


def test_a_run_is_done_only_with_the_settings_of_now() -> None:
    run = accuracy.Run("head", "digits", 0, accuracy.ALL)
    row = trial_row("head", "digits", trial.recipe_settings("head"), 0.9)
    row |= {"seed": 0, "amount": accuracy.ALL, "threads": 1}
    assert accuracy.is_done(run, 1, [row], [])
    assert not accuracy.is_done(run, 2, [row], [])
    assert not accuracy.is_done(run, 1, [row | {"seed": 1}], [])
    # The search decides the rate, and nothing else.
    assert accuracy.is_done(run, 1, [row], searched("head", best=2))
    assert not accuracy.is_done(run, 1, [row], searched("head", best=1))


def test_machines_and_threads_are_told_apart() -> None:
    rows = [
        result("digits", seed, share, "da3") | {"threads": threads, "machine": {"cpu": cpu}}
        for cpu, threads, seed, share in (
            *(("one", 1, 0, 0.9), ("one", 1, 1, 0.92), ("one", 1, 4, 0.1)),
            *(("one", 2, 0, 0.8), ("other", 1, 0, 0.7)),
        )
    ]
    assert accuracy.machines_table(rows, ["digits"]).splitlines()[2:] == [
        "| one, 1 | 91.0 ± 1.4 | 2 |",
        "| one, 2 | 80.0 | 1 |",
        "| other, 1 | 70.0 | 1 |",
    ]


def result(domain: str, seed: int, share: float, method: str = "head") -> Row:
    row = trial_row(method, domain, trial.recipe_settings(method), share)
    more = {"seed": seed, "amount": accuracy.ALL, "settings_from": "tuned", "train_s": 60.0}
    return row | more | {"parameters": 1000 + len(domain), "file_bytes": 5000}


def test_table_gives_mean_and_spread_over_seeds_and_says_what_is_missing() -> None:
    rows = [result("digits", 0, 0.1), result("digits", 0, 0.90), result("digits", 1, 0.92)]
    table = accuracy.table([*rows, result("faces", 0, 1.0)], accuracy.ALL, NAMES, ["head", "da3"])
    head, _, others = table.splitlines()[2:]
    assert head == "| head | 91.0 ± 1.4 | 100.0 | 95.5 | 1 to 2 | 1,005 to 1,006 | 5 |"
    assert others == "Not run here: da3."


def test_means_are_over_the_domains_that_all_methods_have() -> None:
    rows = [result("digits", 0, 0.9), result("faces", 0, 0.5), result("digits", 0, 0.8, "bias")]
    heading, _, head, bias = accuracy.table(
        rows, accuracy.ALL, NAMES, ["head", "bias"]
    ).splitlines()
    assert "| faces | mean of 1 | seeds |" in heading
    assert "| 90.0 | 50.0 | 90.0 |" in head and "| 80.0 | not run here | 80.0 |" in bias
    assert "| faces | mean | seeds |" in accuracy.table(rows, accuracy.ALL, NAMES, ["head"])
    apart = accuracy.table([*rows[1:]], accuracy.ALL, NAMES, ["head", "bias"])
    assert apart.count("| not run here | 50.0 | not run here |") == 1
    assert accuracy.common_domains([]) == []


def test_one_run_is_learned_with_its_settings_and_judged_and_one_diverges(
    tiny_backbone: Backbone, make_folder: MakeFolder
) -> None:
    train, test = make_folder("train", images=8), make_folder("test", images=5, seed=1)
    settings = trial.Settings(lr=1e-2, backbone_lr=0.0, epochs=2, min_steps=1)
    row = trial.learn_and_judge(tiny_backbone, "head", settings, train, test, image_px=32)
    assert row["settings"] == dataclasses.asdict(settings)
    assert (row["images"], row["val_images"], row["judged_images"]) == (24, 3, 15)
    assert row["epochs"] == 2 and row["parameters"] == 12 * 3 + 3
    assert row["file_bytes"] > 4 * row["parameters"]
    assert 0 <= row["accuracy"] <= 1
    settings = trial.Settings(lr=1e38, backbone_lr=0.0, epochs=3, min_steps=1)
    row = trial.learn_and_judge(tiny_backbone, "bias", settings, train, train, image_px=32)
    assert row["accuracy"] is None and "loss" in row["error"]


def test_rows_are_appended_and_shared_out_and_the_rest_is_guessed(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.jsonl"
    assert result_rows.read_rows(path) == []
    for number in range(2):
        result_rows.append_row(path, {"number": number})
    assert result_rows.read_rows(path) == [{"number": 0}, {"number": 1}]
    assert result_rows.parse_share("2/3") == (1, 3)
    for text in ("0/2", "3/2", "half", "1"):
        with pytest.raises(argparse.ArgumentTypeError):
            result_rows.parse_share(text)
    rows = [{"method": "da3", "wall_s": 60.0}, {"method": "head", "wall_s": 120.0}]
    assert result_rows.minutes_left(["da3", "da3", "bias"], rows) == "4 min"  # bias: 90 s
    assert result_rows.minutes_left(["da3"], []) == "?"


def test_the_demo_expects_what_five_runs_gave() -> None:
    rows = [row for row in accuracy.counted(accuracy.main_rows()) if row["method"] == "da3"]
    for source in SOURCES:
        own = [row for row in rows if (row["domain"], row["amount"]) == (source.name, accuracy.ALL)]
        percents = [round(100 * row["accuracy"], 1) for row in own]
        assert len(percents) == accuracy.DEMO_SEEDS
        assert source.expected == (min(percents), max(percents))


@pytest.mark.parametrize("domain", ["digits", "silhouettes", "solar-cells"])
def test_da3_was_above_head_only_with_each_seed(domain: str) -> None:
    ours, head = (
        {
            row["seed"]: row["accuracy"]
            for row in accuracy.counted(accuracy.main_rows())
            if (row["method"], row["domain"], row["amount"]) == (method, domain, accuracy.ALL)
        }
        for method in accuracy.DEMO_METHODS
    )
    assert ours.keys() == head.keys() and len(ours) == accuracy.DEMO_SEEDS
    assert all(ours[seed] > head[seed] for seed in ours)
