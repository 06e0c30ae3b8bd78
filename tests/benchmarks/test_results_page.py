"""docs/RESULTS.md is made of the committed results, and is current."""

import json
from pathlib import Path
from typing import Any

import accuracy
import gates
import gates_table
import pytest
import results_claims
import results_page
import step_rows
from result_rows import RESULTS, ROOT, read_rows
from step_rows import DEFAULT, SMALLEST

from addapt.engines.torch.gates import Gates
from addapt.engines.torch.methods import METHODS


def test_page_is_current() -> None:
    committed = results_page.PAGE.read_text(encoding="utf-8")
    assert committed == results_page.page(), "run: python benchmarks/results_page.py"


def test_plot_is_there_if_the_page_shows_it() -> None:
    shown = results_page.PLOT.name in results_page.PAGE.read_text(encoding="utf-8")
    assert results_page.PLOT.exists() or not shown


def test_every_method_has_a_row() -> None:
    lines = results_page.page().splitlines()
    for method in METHODS:
        assert any(line.startswith((f"| {method} |", f"| {method} (")) for line in lines)


def words_of(page: Path) -> str:
    return " ".join(page.read_text(encoding="utf-8").split())


README, MEMORY = ROOT / "README.md", ROOT / "docs" / "MEMORY.md"


def test_readme_tells_the_means_of_the_table() -> None:
    said = words_of(README).partition("**Accuracy of twelve methods, measured**")[2]
    _, found = results_page.points(read_rows(accuracy.FILE), step_rows.step_results())
    named = {
        "da3": "DA³ reaches {} %",
        "bias": "(biases {}",
        "repnet": "Rep-Net {}",
        "tinytl": "TinyTL {}",
        "head": "head only {})",
        "lora": "(LoRA {}",
        "finetune": "fine-tuning {}",
        "finetune_frozen_bn": "or {} with frozen batch norms)",
    }
    for method, words in named.items():
        assert words.format(f"{found[method][1]:.1f}") in said
    few = [row for row in accuracy.counted(read_rows(accuracy.FILE)) if row["amount"] != "1000"]
    phrases = ("DA³ reaches {} %", "LoRA {}", "fine-tuning {}", "head only {}.")
    for method, phrase in zip(("da3", "lora", "finetune", "head"), phrases, strict=True):
        own = [row for row in few if row["method"] == method]
        mean = accuracy.mean_accuracy(own, results_page.FEW_DOMAINS)
        assert mean is not None
        assert phrase.format(f"{100 * mean:.1f}") in said.partition("From ten images a class")[2]
    lean = {m for m, (megabytes, _) in found.items() if megabytes < found["finetune"][0] / 4}
    assert lean == {"da3", "bias", "repnet", "tinytl", "head"}
    assert max(lean, key=lambda method: found[method][1]) == "da3"
    accurate = {m: megabytes for m, (megabytes, accuracy) in found.items() if accuracy > 91}
    assert min(accurate, key=lambda method: accurate[method]) == "da3", "the words of the plot"
    assert "DA³ needs the least memory of those above 91 %" in words_of(README)


def da3_ratio(result: dict[str, Any], setting: str, name: str) -> float | None:
    rival, own = (step_rows.step_row(result, method, setting) for method in ("finetune", "da3"))
    return step_rows.ratio(rival, own, name)


def test_readme_and_memory_page_tell_the_ratios_of_the_step_tables() -> None:
    results = step_rows.step_results()

    def ends(batch: int, setting: str, name: str) -> str:
        of_batch = [result for result in results if result["batch"] == batch]
        return step_rows.spread([da3_ratio(result, setting, name) for result in of_batch])

    said = words_of(README).partition("**Memory and time, measured**")[2]
    assert (
        f"needs {ends(8, SMALLEST, 'peak_bytes')} less memory than fine-tuning in its smallest "
        f"setting; in the default one {ends(8, DEFAULT, 'peak_bytes')} less memory and "
        f"{ends(8, DEFAULT, 'step_s')} less time. At batch 32 the default needs "
        f"{ends(32, DEFAULT, 'peak_bytes')} less memory and {ends(32, DEFAULT, 'step_s')} less time"
    ) in said

    def less_than(*rivals: str) -> str:
        return step_rows.spread(
            [
                results_claims.ratio_of(result, rival, DEFAULT, "peak_bytes")
                for result in results
                for rival in rivals
            ]
        )

    assert f"needs {less_than('series_adapter', 'parallel_adapter')} less memory in the" in said
    assert f"against Piggyback {less_than('piggyback')}." in said
    small = {result["backbone"]: result for result in results if result["batch"] == 8}
    lite0, mobile = small["efficientnet_lite0"], small["mobilenet_v2"]
    memory, time = (
        [step_rows.times(da3_ratio(result, setting, name)) for result in (lite0, mobile)]
        for setting, name in ((SMALLEST, "peak_bytes"), (DEFAULT, "step_s"))
    )
    assert (
        f"{memory[0]} and {memory[1]} of 20 in memory, {time[0]} and {time[1]} of 2 in time"
    ) in words_of(MEMORY)


def test_readme_and_gates_page_tell_what_the_gates_save() -> None:
    rows = gates_table.summary(gates_table.joined(gates.FILE, gates.TIMES), results_page.PLOTTED)
    found = {(r["unit"], r["kind"], r["compute_target"]): r for r in rows}

    def lost(of: dict[str, Any]) -> str:
        return f"{100 * (of['ungated_accuracy'] - of['accuracy']):.1f}".lstrip("0")

    largest, large, least, small = (
        found["resolution", "static", share] for share in (0.8, 0.6, 0.4, 0.25)
    )
    assert (
        f"predicts {least['times_batch1']:.2f}x faster at batch 1 and "
        f"{least['times_batch16']:.1f}x at batch 16, and loses {lost(least)} points"
    ) in words_of(README)
    said = words_of(ROOT / "docs" / "GATES.md")
    closed, narrow = found["blocks", "static", 0.6], found["channels", "static", 0.8]
    looks = found["resolution", "dynamic", 0.4]
    for words in (
        f"is {largest['times_batch1']:.2f}x faster for one image with `--compute 0.8` and "
        f"loses {lost(largest)} points",
        f"{large['times_batch1']:.2f}x and {lost(large)} with 0.6",
        f"**{least['times_batch1']:.2f}x and {lost(least)} with `--compute 0.4`**",
        f"{small['times_batch1']:.2f}x and {lost(small)} with 0.25",
        f"batches of 16 {large['times_batch16']:.1f}x, {least['times_batch16']:.1f}x and "
        f"{small['times_batch16']:.1f}x faster with the last three",
        f"share of 60 % are {closed['times_batch1']:.2f}x faster and lose {lost(closed)}",
        f"narrower ones with 80 % are {narrow['times_batch1']:.2f}x faster and lose nothing",
        f"two looks with 40 % are {looks['times_batch1']:.2f}x faster and lose {lost(looks)}",
    ):
        assert words in said
    assert narrow["accuracy"] >= narrow["ungated_accuracy"], "nothing"
    steps = json.loads((RESULTS / "gates_step.json").read_text(encoding="utf-8"))["rows"]
    faster = {(r["backbone"], r["unit"], r["kind"]): f"{r['ratio_time']:.2f}x" for r in steps}
    lite, resnet = (
        [faster[name, unit, "static"] for unit in ("blocks", "channels")]
        for name in (results_page.PLOTTED, gates.RANDOM)
    )
    assert f"EfficientNet-Lite0 is {lite[0]} as fast with closed blocks and {lite[1]}" in said
    assert f"ResNet-50's {resnet[0]} and {resnet[1]};" in said


def test_gates_page_says_truly_that_dynamic_gates_pay_nowhere_and_what_the_default_is() -> None:
    rows = gates_table.summary(gates_table.joined(gates.FILE, gates.TIMES), results_page.PLOTTED)
    found = {(r["unit"], r["kind"], r["compute_target"]): r for r in rows}
    for unit, shares in gates.TARGETS.items():
        for share in shares:
            fixed, deciding = (found[unit, kind, share] for kind in ("static", "dynamic"))
            assert deciding["times_batch1"] < fixed["times_batch1"]
            assert deciding["accuracy"] < fixed["accuracy"] + 0.002
    default = Gates()
    shipped = found[default.unit, default.kind, default.compute]
    better = [
        row
        for row in rows
        if row["times_batch1"] > shipped["times_batch1"] and row["accuracy"] >= shipped["accuracy"]
    ]
    assert not better, "the default is on the upper edge of the image"


def row(method: str, engine: str, setting: str, peak_bytes: int) -> dict[str, Any]:
    return {
        "method": method,
        "engine": engine,
        "setting": setting,
        "peak_bytes": peak_bytes,
        "step_s": 1.0,
        "ratio_time": None,
    }


def test_step_row_is_that_of_the_product_in_the_setting_asked_for() -> None:
    plain = row("bias", "eager", "whole batch", 900)
    small, default = (row("bias", "addapt", "smallest", 10), row("bias", "addapt", "default", 30))
    result = {"rows": [plain, small, default, row("finetune", "eager", "whole batch", 600)]}
    assert step_rows.step_row(result, "bias", "default") == default
    assert step_rows.step_row(result, "bias", "smallest") == small
    only = step_rows.step_row(result, "finetune", "default")
    assert only is not None and step_rows.ratio(only, default, "peak_bytes") == 20
    assert step_rows.step_row(result, "da3", "default") is None
    alone = {"rows": [default]}
    assert step_rows.step_row(alone, "bias", "default") == default
    assert step_rows.step_row(alone, "bias", "smallest") is None, "only one setting was run"
    assert step_rows.ratio(only, None, "peak_bytes") is None


def test_spread_names_the_ends() -> None:
    assert step_rows.spread([3.0, None, 12.51, 9.0]) == "3.0x to 12.5x"
    assert step_rows.spread([2.0]) == "2.0x"
    assert step_rows.spread([None]) == "not run here"


def test_plot_is_drawn(tmp_path: Any) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "plot.png"
    results_page.draw(("a step", {"da3": (40.0, 95.0), "finetune": (700.0, 94.0)}), path)
    assert path.read_bytes().startswith(b"\x89PNG")
