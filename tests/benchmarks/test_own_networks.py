"""The table of networks of timm, from results, from few, and from none."""

from typing import Any

import own_networks
import pytest

from addapt.bench.contender import Workload, check_comparison


def row(method: str, share: float) -> dict[str, Any]:
    da3 = method == "da3"
    return {
        "method": method,
        "engine": "torch" if da3 else "eager",
        "setting": "default" if da3 else "as published",
        "peak_bytes": share * 20_000_000,
        "kept_bytes": share * 10_000_000,
        "process_bytes": share * 100_000_000,
        "step_s": share * 0.5,
        "ratio_time": None,
    }


def result(backbone: str, *rows: dict[str, Any]) -> dict[str, Any]:
    return {
        "backbone": backbone,
        "batch": own_networks.BATCH,
        "image_px": 224,
        "threads": 2,
        "machine": {"cpu": "a processor"},
        "rows": list(rows),
    }


TIMM = result("timm:resnet18", row("finetune", 4), row("da3", 1))


def test_fine_tuning_beside_da3() -> None:
    lines = own_networks.table([TIMM]).splitlines()
    assert {line.count("|") for line in lines} == {14}
    assert lines[2] == (
        "| timm:resnet18, 224 px, batch 8 | 80 | 20 | 4.0x | 40 | 10 | 4.0x "
        "| 400 | 100 | 4.0x | 2 | 0.5 | 4.0x |"
    )
    said = own_networks.words([TIMM])
    assert said.startswith("On networks of timm 4.0x less memory above the model, 4.0x less time.")
    assert "EfficientNet" not in said and "2 threads of a processor" in said


def test_both_of_efficientnet_lite0_are_compared() -> None:
    built_in = result(own_networks.BUILT_IN, row("finetune", 9), row("da3", 2))
    of_timm = result(own_networks.OF_TIMM, row("finetune", 8), row("da3", 2.02))
    said = own_networks.words([built_in, TIMM, of_timm])
    assert "101 % of the kept bytes, 101 % of the memory and 101 % of the time" in said
    assert "4.0x less memory" in said and "4.5x" not in said, "addapt's own is none of timm"


def test_what_was_not_measured_is_told() -> None:
    assert own_networks.parts([]) == [own_networks.NOT_RUN]
    assert own_networks.parts([TIMM]) == [own_networks.table([TIMM]), own_networks.words([TIMM])]
    without = own_networks.table([result("timm:resnet18", row("finetune", 4))])
    assert "| 80 | not run here | not run here |" in without


@pytest.mark.parametrize("backbone", own_networks.BACKBONES)
def test_the_comparison_is_one_that_can_be_made(backbone: str) -> None:
    workload = Workload(backbone, None, own_networks.BATCH, 224, 2, "cpu")
    check_comparison(own_networks.METHODS, workload, rounds=5)
