"""The image of a comparison."""

from dataclasses import replace
from pathlib import Path

import pytest

from addapt._errors import OptionError
from addapt.bench.chart import draw_comparison, label_of
from addapt.bench.step import StepRow

ROW = StepRow(
    method="da3",
    engine="torch",
    setting="fastest",
    micro_batch=8,
    packed=True,
    peak_bytes=20_000_000,
    peak_how="by heart",
    process_bytes=300_000_000,
    kept_bytes=1_000_000,
    step_s=0.5,
    step_s_spread=0.1,
    ratio_process=3.0,
    ratio_memory=20.0,
    ratio_kept=30.0,
    ratio_time=3.0,
    error=None,
)
DEAD = replace(ROW, method="bias", engine="eager", peak_bytes=None, step_s=None, error="died")


def test_labels() -> None:
    assert label_of(ROW) == "da3, fastest (8, packed)"
    assert label_of(replace(ROW, packed=False, micro_batch=1, setting="smallest")) == (
        "da3, smallest (1)"
    )
    device = replace(ROW, engine="onnx", packed=False, micro_batch=1, setting="device")
    assert label_of(device) == "da3, without PyTorch (1)"
    eager = replace(DEAD, packed=False, setting="whole batch")
    assert label_of(eager) == "bias, plain PyTorch"


def test_numbers_are_in_the_image_if_it_can_be_written(tmp_path: Path) -> None:
    plain = replace(ROW, method="finetune", engine="eager", process_bytes=1_304_000_000)
    draw_comparison([plain, ROW, DEAD], "a_$b$", tmp_path / "chart.svg")
    drawn = (tmp_path / "chart.svg").read_text(encoding="utf-8")
    for words in (
        "300  (3.0x)",
        "20  (20.0x)",
        "0.5  (3.0x)",
        "not measured",
        "a_$b$",
        "da3, fastest",
    ):
        assert words in drawn  # matplotlib repeats texts as comments
    with pytest.raises(OptionError, match="could not be written"):
        draw_comparison([ROW], "title", tmp_path / "absent" / "chart.png")
