"""The table of the rivals as published, from few results, from none, and from broken ones."""

from pathlib import Path
from typing import Any

import published
import pytest

from addapt.bench.contender import PUBLISHED, Workload, check_comparison


def row(method: str, share: int, **changed: Any) -> dict[str, Any]:
    """Return a row that takes `share` times what DA3 does."""
    return {
        "method": method,
        "setting": "device" if method == "da3" else "as published",
        "peak_bytes": share * 20_000_000,
        "process_bytes": share * 100_000_000,
        "step_s": share * 0.5,
        "ratio_time": None,
        **changed,
    }


def result(batch: int, *rows: dict[str, Any]) -> dict[str, Any]:
    return {
        "backbone": "resnet50",
        "batch": batch,
        "image_px": 224,
        "threads": 2,
        "machine": {"cpu": "a processor"},
        "rows": list(rows),
    }


WHOLE = result(32, *(row(method, 2 + i) for i, method in enumerate(PUBLISHED)), row("da3", 1))


def test_each_rival_beside_da3() -> None:
    lines = published.table([WHOLE]).splitlines()
    assert len(lines) == 2 + 1 + len(PUBLISHED)
    assert {line.count("|") for line in lines} == {12}
    assert "19x to 37x" in lines[2] and "| 2x |" in lines[2]
    assert lines[3] == (
        "| resnet50, 224 px, batch 32 | finetune | 40 | 20 | 2.0x | 200 | 100 | 2.0x "
        "| 1 | 0.5 | 2.0x |"
    )
    assert lines[6].startswith("| resnet50, 224 px, batch 32 | piggyback | 100 | 20 | 5.0x")
    assert published.less([WHOLE], "peak_bytes", 32) == "2.0x to 5.0x"
    assert published.less([WHOLE], "peak_bytes", 8) == "not run here"
    said = published.words([WHOLE])
    assert "batch 32: 2.0x to 5.0x less memory above the model" in said
    assert "5x to 37x" in said and "2 threads of a processor" in said


def test_what_was_not_measured_is_told() -> None:
    assert len(published.table([]).splitlines()) == 3
    assert "Not run here yet" in published.words([])
    died = row("piggyback", 5, peak_bytes=None)
    half = result(4, row("finetune", 3), row("series_adapter", 4, step_s=None), died, row("da3", 1))
    lines = published.table([half]).splitlines()[3:]
    assert lines[0].endswith("| 1.5 | 0.5 | 3.0x |")
    assert lines[1].endswith("| – | 0.5 | not run here |"), "died while its time was taken"
    for line in lines[2:]:
        assert "| not run here | 20 | not run here |" in line
    assert published.less([half], "peak_bytes", 4) == "3.0x to 4.0x"
    missing = "(not on resnet50: parallel_adapter, piggyback)"
    assert f"batch 4 {missing}: 3.0x to 4.0x less memory" in published.words([half])
    assert published.left_out([WHOLE], 32) == ""
    without = published.table([result(4, row("finetune", 3))])
    assert "| finetune | 60 | not run here | not run here |" in without


def test_only_what_is_not_there_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr("subprocess.run", lambda words, check: asked.append(words))
    (tmp_path / "resnet50_batch_4.json").touch()
    published.run(["resnet50"], [4, 8], 5, tmp_path)
    (words,) = asked
    assert "--batch=8" in words and f"--save={tmp_path / 'resnet50_batch_8.json'}" in words


@pytest.mark.parametrize("backbone", published.BACKBONES)
@pytest.mark.parametrize("batch", published.BATCHES)
def test_the_comparison_is_one_that_can_be_made(backbone: str, batch: int) -> None:
    workload = Workload(backbone, None, batch, published.IMAGE_PX, published.THREADS, "cpu")
    check_comparison(published.METHODS, workload, rounds=5)
