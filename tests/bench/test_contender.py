"""What is compared with what."""

from dataclasses import replace

import pytest

from addapt._errors import AddaptError, MissingPackageError
from addapt.bench.contender import (
    AS_PUBLISHED,
    PUBLISHED,
    Contender,
    Workload,
    check_comparison,
    contenders_of,
    fastest_candidates,
)
from addapt.engines import installed

WORK = Workload("resnet18", "random", batch=8, image_px=64, threads=1, device="cpu")


@pytest.mark.parametrize("method", ["finetune", "eager:bias", "eager:bias+checkpointing"])
def test_plain_pytorch_has_one_row(method: str) -> None:
    (row,) = contenders_of(method, WORK)
    own = method.removeprefix("eager:")
    assert row == Contender(own, "eager", "whole batch", 8, packed=False)


@pytest.mark.parametrize("method", PUBLISHED)
def test_a_rival_as_published_is_no_row_of_ours(method: str) -> None:
    (row,) = contenders_of(f"eager:{method}", WORK)
    assert row == Contender(method, "eager", AS_PUBLISHED, 8, packed=False)
    assert row not in contenders_of(method, WORK)
    assert row.batch_statistics is (method != "piggyback")


def test_a_plain_copy_without_batch_statistics_may_go_in_parts() -> None:
    rows = contenders_of("finetune_frozen_bn", replace(WORK, batch=32))
    assert {(row.engine, row.packed) for row in rows} == {("eager", False)}
    assert [(row.setting, row.micro_batch) for row in rows] == [
        ("smallest", 1),
        ("default", 8),
        ("whole batch", 32),
    ]


def test_the_products_methods_have_three_rows_or_the_one_asked_for() -> None:
    work = replace(WORK, batch=32)
    rows = contenders_of("lora", work)
    assert [row.setting for row in rows] == ["smallest", "default", "fastest"]
    assert {row.engine for row in rows} == {"torch"}
    assert [row.micro_batch for row in rows[:2]] == [1, 8]
    assert contenders_of("lora:default", work) == [rows[1]]


def test_what_the_engine_without_pytorch_can_do_has_a_row_more() -> None:
    first, *others = contenders_of("da3", WORK)
    assert first == Contender("da3", "onnx", "device", None, packed=False)
    assert {row.engine for row in others} == {"torch"}
    assert contenders_of("da3:device", WORK) == [first]
    assert contenders_of("da3", replace(WORK, device="cuda")) == others


def test_no_part_is_larger_than_the_batch() -> None:
    rows = contenders_of("da3", replace(WORK, batch=2))
    assert max(row.micro_batch or 0 for row in rows) == 2
    sizes = {1: [1], 2: [2], 3: [2, 3], 8: [2, 4, 8], 32: [2, 4, 8, 32]}
    assert {batch: fastest_candidates(batch) for batch in sizes} == sizes


def test_what_makes_sense_passes() -> None:
    check_comparison(["finetune:whole batch", "lora:default", "eager:bias"], WORK, 1)
    one = replace(WORK, batch=1)
    check_comparison(["da3", "bias", "eager:bias+checkpointing", "eager:piggyback"], one, 1)


@pytest.mark.parametrize(
    ("methods", "workload", "rounds", "message"),
    [
        ([], WORK, 1, "`methods` is empty"),
        (["finetune", "bais"], WORK, 1, "Did you mean 'bias'"),
        (["eager:bais"], WORK, 1, "Did you mean 'eager:bias'"),
        (["eager:da3"], WORK, 1, "Unknown method"),
        (["lora:defualt"], WORK, 1, "give lora, or one of lora:smallest, lora:default"),
        (["lora:device"], WORK, 1, "There is no 'lora:device'"),
        (["da3"], replace(WORK, batch=0), 1, "`batch` is 0"),
        (["finetune"], replace(WORK, batch=1), 1, "at least 2, or `methods` without finetune"),
        (["eager:series_adapter"], replace(WORK, batch=1), 1, "without eager:series_adapter"),
        (["eager:piggyback:default"], WORK, 1, "Unknown method"),
        (["da3"], replace(WORK, image_px=31), 1, "give 32 to 2048"),
        (["da3"], WORK, 0, "`rounds` is 0"),
    ],
)
def test_mistakes(methods: list[str], workload: Workload, rounds: int, message: str) -> None:
    with pytest.raises(AddaptError, match=message):
        check_comparison(methods, workload, rounds)


def test_without_pytorch_only_the_engine_that_needs_none_is_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(installed, "find_spec", lambda name: None)
    check_comparison(["da3:device", "head:device"], WORK, 1)
    for method in ("finetune", "da3"):
        with pytest.raises(MissingPackageError, match=f"needed for '{method}' of .*da3:device"):
            check_comparison(["da3:device", method], WORK, 1)
