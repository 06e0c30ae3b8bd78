"""docs/RESULTS.md is made of the committed results, and is current."""

import json
import re
import statistics
from collections.abc import Sequence
from typing import Any

import accuracy
import domains
import fleet
import gates_page
import gates_points
import gates_torch
import gates_torch_table
import memory_tables
import page
import published
import pytest
import readme_tables
import results_claims
import results_page
import sequence
import step_rows
import watch_table
import where_memory_goes
import which_domain_figures
import zoo
from result_rows import RESULTS, ROOT, latest, read_rows
from step_rows import DEFAULT, SMALLEST

from addapt.bench.contender import DEVICE
from addapt.gates import BLOCKS, GateConfig, scaled_px
from addapt.learning.two_looks import FIRST_SHARE
from addapt.methods import METHODS

BACKBONE_BYTES = 4 * 3_371_008  # of EfficientNet-Lite0 without its classifier


def test_page_is_current_and_has_a_row_for_every_method() -> None:
    committed = results_page.PAGE.read_text(encoding="utf-8")
    assert committed == results_page.page(), "run: python benchmarks/results_page.py"
    assert results_page.PLOT.exists() or results_page.PLOT.name not in committed
    for method in METHODS:
        assert f"\n| {method} |" in committed or f"\n| {method} (" in committed


README, MEMORY, GATES = ROOT / "README.md", ROOT / "docs" / "MEMORY.md", ROOT / "docs" / "GATES.md"


def said_of(subject: str) -> str:
    """Return the README's row of measured claims about this."""
    lines = README.read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith(f"| {subject} ")]
    return line


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def spread_of(rivals: Sequence[str], setting: str, name: str, *batches: int) -> str:
    """Return how many times less DA3 takes than these, over all steps of these batches."""
    results = [result for result in step_rows.step_results() if result["batch"] in batches]
    return step_rows.spread(
        [
            results_claims.ratio_of(result, rival, setting, name)
            for result in results
            for rival in rivals
        ]
    )


def test_readme_has_the_ratios_of_the_step_tables() -> None:
    rival = ["finetune"]
    said = said_of("PyTorch engine, three backbones, against fine-tuning")
    memory, time = said.split("; time ")
    assert spread_of(rival, DEFAULT, "peak_bytes", 8) in memory
    assert spread_of(rival, SMALLEST, "peak_bytes", 8) in memory
    assert spread_of(rival, DEFAULT, "peak_bytes", 32) in memory
    assert spread_of(rival, DEFAULT, "step_s", 8) in time
    assert spread_of(rival, DEFAULT, "step_s", 32) in time


def test_readme_has_the_times_without_pytorch() -> None:
    said = said_of("a step against fine-tuning")
    pairs = []
    for result in step_rows.step_results(step_rows.ENGINES):
        ours = step_rows.step_row(result, "da3", DEVICE)
        theirs = step_rows.step_row(result, "da3", DEFAULT)
        assert ours is not None and theirs is not None
        pairs.append((result, ours["ratio_time"], ours["ratio_time"] / theirs["ratio_time"]))
    small = [pair for pair in pairs if pair[0]["backbone"] == "efficientnet_lite0"]
    (large,) = (pair for pair in pairs if pair[0]["backbone"] == "resnet50")
    usual = [pair[1] for pair in small if pair[0]["image_px"] == 224]
    assert f"{step_rows.spread(usual)} faster, ResNet-50 {large[1]:.1f}x" in said
    others = step_rows.spread([pair[2] for pair in pairs])
    assert f"{others} faster than on the PyTorch engine" in said
    found = json.loads((RESULTS / "predict.json").read_text(encoding="utf-8"))
    one = [r["ratio_time"] for r in found["rows"] if (r["engine"], r["images"]) == ("onnx", 1)]
    assert f"{step_rows.spread(one)} faster" in said_of("one image against PyTorch")
    (cold,) = (row for row in found["cold_rows"] if row["engine"] == "onnx")
    assert f"{cold['wall_s']:.1f} s, {cold['process_bytes'] / 1e6:.0f} MB" in said_of(
        "one image against PyTorch"
    )


def test_readme_has_the_comparison_as_published() -> None:
    results = step_rows.step_results(published.FOLDER)
    memory, process, time = (
        published.less(results, name, 32) for name in ("peak_bytes", "process_bytes", "step_s")
    )
    said = said_of("the paper's rivals, run as by their authors")
    assert f"{memory} less above the model, {process} whole process, {time} less time" in said


def test_tables_of_the_readme_are_current() -> None:
    page = README.read_text(encoding="utf-8")
    assert page == memory_tables.fill(page, readme_tables.TABLES), (
        "run: python benchmarks/readme_tables.py"
    )
    for name, table in readme_tables.TABLES.items():
        assert f"<!-- {name} -->\n{table()}\n<!-- end -->" in page
    for method in ("da3", "head"):
        own = [row for row in readme_tables.accuracy_rows() if row["method"] == method]
        assert len(own) == accuracy.SEEDS * len(domains.DOMAINS)


def test_readme_says_truly_what_its_plot_shows() -> None:
    _, found = results_page.points(read_rows(accuracy.SMALL_FILE), step_rows.step_results())
    accurate = {method: megabytes for method, (megabytes, mean) in found.items() if mean > 91}
    best = min(accurate, key=lambda method: accurate[method])
    assert best in ("da3", results_page.WITHOUT_PYTORCH)
    assert "on five domains at 96 px" in README.read_text(encoding="utf-8")
    rows = accuracy.counted(read_rows(accuracy.SMALL_FILE))
    rows = [row for row in rows if row["amount"] == accuracy.ALL]
    assert len(accuracy.common_domains(rows)) == 5


def test_readme_has_what_is_forgotten() -> None:
    order = json.loads(sequence.FILE.read_text(encoding="utf-8"))
    said = said_of("forgetting, five domains in a row")
    first, *_, last = order["finetune"]["accuracy"]
    assert f"digits fall from {percent(first[0])} to {percent(last[0])} %" in said
    assert sum(map(sum, order["da3"]["changed_logits"])) == 0 and "0 changed outputs" in said


def test_readme_has_the_numbers_of_the_soak_and_of_the_demo() -> None:
    soak, demo = (
        json.loads((RESULTS / name).read_text(encoding="utf-8"))
        for name in ("soak.json", "demo.json")
    )
    assert f"{soak['kills']} kills" in said_of("reliability")
    assert f"{soak['damaged_files']:,} damaged files" in said_of("reliability")
    assert soak["lost"] == soak["unreadable"] == soak["crashes"] == soak["hangs"] == 0
    said = said_of("demo")
    fields = ("da3_accuracy", "head_accuracy")
    accuracies = [percent(domain[field]) for field in fields for domain in demo["domains"]]
    assert re.findall(r"\d+\.\d", said.split("; files")[0]) == accuracies
    seconds = [domain["learn_s"] for domain in demo["domains"]]
    assert f"{min(seconds):.0f} to {max(seconds):.0f} s a domain" in said
    shares = [domain["file_bytes"] / BACKBONE_BYTES for domain in demo["domains"]]
    assert f"{percent(min(shares))} to {percent(max(shares))} % of the backbone" in said


def test_readme_has_how_near_planning_comes() -> None:
    planned = json.loads((RESULTS / "plan_accuracy.json").read_text(encoding="utf-8"))
    rows, said = planned["rows"], said_of("planning (`addapt plan`)")
    assert f"within {100 * planned['largest_error']:.1f} %" in said
    seconds = [row["plan_s"] for row in rows]
    assert f"in {min(seconds):.0f} to {max(seconds):.0f} s" in said
    assert f"{len(rows)} combinations" in said


def test_tables_of_memory_are_current() -> None:
    page = MEMORY.read_text(encoding="utf-8")
    assert page == memory_tables.fill(page), "run: python benchmarks/memory_tables.py"


def test_each_table_of_memory_is_on_the_page() -> None:
    page = MEMORY.read_text(encoding="utf-8")
    for name, table in memory_tables.TABLES.items():
        assert f"<!-- {name} -->\n{table()}\n<!-- end -->" in page
    torn = "<!-- stages -->\nold\n<!-- end -->\nkept <!-- end -->"
    filled = f"<!-- stages -->\n{memory_tables.stages_table()}\n<!-- end -->\nkept <!-- end -->"
    assert memory_tables.fill(torn) == filled


def test_memory_page_says_truly_what_a_session_takes() -> None:
    stages = memory_tables.read(where_memory_goes.FILE)["stages"]["onnx"]
    by_name = {stage["stage"]: stage for stage in stages}
    session = by_name["session, weights included"]
    page = " ".join(MEMORY.read_text(encoding="utf-8").split())
    assert f"some {(session['peak_bytes'] - session['bytes']) / 1e6:.0f} MB more" in page
    code = by_name["runtime"]
    assert 0.4 < code["own_bytes"] / code["bytes"] < 0.6 and "About half of it is pages" in page
    smallest = step_rows.step_row(step_rows.step_results()[0], "da3", SMALLEST)
    assert smallest is not None  # one bit an element there, four bytes here
    assert f"{32 * smallest['kept_bytes'] / 1e6:.0f} MB an image at 224 px" in page


def gate_rows() -> dict[tuple[str, str, float], dict[str, Any]]:
    rows = gates_torch_table.summary(
        gates_torch_table.joined(gates_torch.FILE, gates_torch.TIMES), results_page.PLOTTED
    )
    return {(row["unit"], row["kind"], row["compute_target"]): row for row in rows}


def lost(row: dict[str, Any]) -> str:
    return percent(row["ungated_accuracy"] - row["accuracy"]).lstrip("0")


def test_readme_and_gates_page_have_what_the_gates_save() -> None:
    found = gate_rows()
    least = found["resolution", "static", 0.4]
    on_pytorch = [
        f"{least['times_batch1']:.2f}x faster for one image",
        f"{least['times_batch16']:.1f}x for 16; {lost(least)} points lost",
    ]
    for words in gates_page.readme_words() or on_pytorch:
        assert words in said_of("gates (`--gates`), one image")
    page = GATES.read_text(encoding="utf-8")
    for unit, kind, share in (
        *(("resolution", "static", share) for share in (0.8, 0.6, 0.4, 0.25)),
        ("blocks", "static", 0.6),
    ):
        row = found[unit, kind, share]
        assert f"{row['times_batch1']:.2f}x" in page and lost(row) in page
    steps = json.loads((RESULTS / "gates_step.json").read_text(encoding="utf-8"))["rows"]
    for step in steps:
        if (step["unit"], step["kind"]) == ("blocks", "static"):
            assert f"{step['ratio_time']:.2f}x" in page


def test_on_pytorch_deciding_pays_nowhere_and_nothing_faster_than_the_default_is_as_accurate() -> (
    None
):
    found = gate_rows()
    for share in gates_torch.TARGETS[BLOCKS]:
        fixed, deciding = (found[BLOCKS, kind, share] for kind in ("static", "dynamic"))
        assert deciding["times_batch1"] < fixed["times_batch1"]
        assert deciding["accuracy"] < fixed["accuracy"] + 0.002
    default = GateConfig()
    shipped = found[default.unit, default.kind, default.compute]
    better = [
        row
        for row in found.values()
        if row["times_batch1"] > shipped["times_batch1"] and row["accuracy"] >= shipped["accuracy"]
    ]
    assert not better


def test_tables_of_gates_are_current() -> None:
    page = GATES.read_text(encoding="utf-8")
    for name, table in gates_page.TABLES.items():
        assert f"<!-- {name} -->\n{table()}\n<!-- end -->" in page, (
            "run: python benchmarks/results_page.py"
        )
    for share, px in ((0.17, 64), (0.4, 96), (0.7, 128)):
        assert scaled_px(gates_points.PX, share * FIRST_SHARE) == px
        assert f"{px} px for {share}" in " ".join(page.split())


def test_readme_has_how_often_the_domain_is_right() -> None:
    said = said_of("which of six domains, or none")
    result = which_domain_figures.read()
    for words in which_domain_figures.words(result):
        assert words in said


def test_page_on_domains_has_its_figures() -> None:
    page = (ROOT / "docs" / "DOMAINS.md").read_text(encoding="utf-8")
    result = which_domain_figures.read()
    whole, parts = (which_domain_figures.mean_of(result[key]) for key in ("whole", "parts"))
    right = percent(whole["end_to_end"])
    assert f"| the domain is the right one | {percent(whole['chosen'])} % |" in page
    assert f"{right} % (" + f"{percent(whole['oracle'])} % if the domain is named)" in page
    assert f"right for {percent(parts['end_to_end'])} % instead of {right} %" in " ".join(
        page.split()
    )
    accepted = [100 * row["accepted"] for row in result["whole"]]
    assert f"accepted | {min(accepted):.0f} to {max(accepted):.0f} % |" in page
    foreign = {row["foreign"]: 100 * row["accepted"] for row in result["foreign"]}
    near = (foreign.pop(name) for name in ("digits", "fashion-mnist", "silhouettes"))
    assert "silhouettes | {:.0f}, {:.0f} and {:.0f} % |".format(*near) in page
    assert f"textures | {min(foreign.values()):.0f} to {max(foreign.values()):.0f} % |" in page


def test_readme_has_what_other_peoples_networks_keep() -> None:
    said = said_of("networks of timm and torchvision")
    words = zoo.counts(zoo.rows_of(zoo.FILE))
    ran, refused = (int(number) for number in re.findall(r"(\d+) (?:have|were)", words)[:2])
    assert refused == 0 and f"all of {ran} freeze" in said
    lean, coded = re.findall(r"(\d+) keep less than 6% \((\d+) with", words)[0]
    assert f"{lean} keep less than 6 % of the bytes ({coded} with 8-bit codes)" in said
    (cut,) = re.findall(r"(\d+) are cut", words)
    assert f"{cut} are cut into blocks by themselves" in said


def test_readme_has_what_teaching_in_the_browser_takes() -> None:
    result, said = page.read(), said_of("teaching in the browser, 200 images of 96 px")
    in_page, shell = result["page"], result["shell"]
    assert result["image_px"] == 96
    assert result["images"]["classes"] * result["images"]["of_each"] == 200
    assert f"{in_page['taught']['teach_s']:.0f} s (the shell {shell['learn_s']:.0f} s)" in said
    assert percent(in_page["accuracy"]) == percent(shell["accuracy"])
    assert f"{percent(shell['accuracy'])} % of test images in both" in said
    assert f"an image tried in {in_page['try_ms']:.0f} ms" in said
    assert result["large_px"] == 224
    small, large = (in_page[name]["most_bytes"] / 1e6 for name in ("taught", "large"))
    assert f"the tab holds {small:.0f} MB at most, {large:.0f} at 224 px" in said


def test_readme_has_what_a_fleet_learns() -> None:
    rows = latest(read_rows(fleet.FILE), "domain", "split", "seed", "strategy").values()
    for domain in ("digits", "solar-cells"):
        even, skewed = (
            [row for row in rows if (row["domain"], row["split"]) == (domain, split)]
            for split in ("even", "skewed")
        )
        alone = statistics.mean(statistics.mean(row["alone"]) for row in skewed)
        assert (
            f"{mean_of('accuracy', even)} % with images split evenly, "
            f"{mean_of('accuracy', skewed)} skewed by class (draws of devices: {len(skewed)}), "
            f"where one alone has {percent(alone)}; "
            f"all images in one place {mean_of('one_place', skewed)}"
        ) in said_of(f"a fleet of eight devices, {domain.replace('-', ' ')}")


def mean_of(name: str, rows: Sequence[dict[str, Any]]) -> str:
    """Return the mean of an accuracy as a text."""
    return percent(statistics.mean(row[name] for row in rows))


@pytest.mark.skipif(not watch_table.FILE.exists(), reason="was not run yet")
def test_readme_has_what_watching_recognises() -> None:
    for words in watch_table.words(watch_table.read()):
        assert words in said_of("watching a video (`addapt watch`)")


def row(method: str, engine: str, setting: str, peak_bytes: int) -> dict[str, Any]:
    return {
        "method": method,
        "engine": engine,
        "setting": setting,
        "peak_bytes": peak_bytes,
        "step_s": 1.0,
        "ratio_time": None,
    }


def test_step_row_is_that_of_the_product_in_the_setting_asked_for_and_spread_its_range() -> None:
    plain = row("bias", "eager", "whole batch", 900)
    small, default = (row("bias", "torch", "smallest", 10), row("bias", "torch", "default", 30))
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
    assert step_rows.spread([3.0, None, 12.51, 9.0]) == "3.0x to 12.5x"
    assert step_rows.spread([2.0]) == "2.0x"
    assert step_rows.spread([None]) == "not run here"


def test_plot_is_drawn(tmp_path: Any) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "plot.png"
    results_page.draw(("a step", {"da3": (40.0, 95.0), "finetune": (700.0, 94.0)}), path)
    assert path.read_bytes().startswith(b"\x89PNG")
