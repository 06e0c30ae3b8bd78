"""docs/RESULTS.md is made of the committed results, and is current."""

from typing import Any

import accuracy
import pytest
import results_page
import step_rows
from result_rows import read_rows

from addapt.methods import METHODS


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


def test_readme_tells_the_means_of_the_table() -> None:
    readme = (results_page.PAGE.parents[1] / "README.md").read_text(encoding="utf-8")
    said = " ".join(readme.split()).partition("**Accuracy of twelve methods, measured**")[2]
    said = said.partition("- **")[0]
    _, accuracies = results_page.points(read_rows(accuracy.FILE), step_rows.step_results())
    named = {"da3": "DA³ reaches ", "bias": "(biases ", "lora": "(LoRA ", "head": "head only "}
    for method, words in named.items():
        assert f"{words}{accuracies[method][1]:.1f}" in said


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
