"""What is compared with what."""

from dataclasses import replace

import pytest

from addapt._errors import AddaptError
from addapt.bench.contender import (
    DEFAULT_METHODS,
    Workload,
    check_comparison,
    contenders_of,
    fastest_candidates,
    native_image_px,
)

WORK = Workload("resnet18", "random", batch=8, image_px=64, threads=1, device="cpu")


@pytest.mark.parametrize("method", ["finetune", "eager:bias", "eager:bias+checkpointing"])
def test_plain_pytorch_has_one_row(method: str) -> None:
    (row,) = contenders_of(method, 8)
    assert row.method == method.removeprefix("eager:")
    assert (row.engine, row.setting, row.micro_batch, row.packed) == (
        "eager",
        "whole batch",
        8,
        False,
    )


def test_a_plain_copy_without_batch_statistics_may_go_in_parts() -> None:
    rows = contenders_of("finetune_frozen_bn", 32)
    assert {(row.engine, row.packed) for row in rows} == {("eager", False)}
    assert [(row.setting, row.micro_batch) for row in rows] == [
        ("smallest", 1),
        ("default", 8),
        ("whole batch", 32),
    ]


@pytest.mark.parametrize("method", ["da3", "head", "bias", "tinytl", "repnet"])
def test_the_products_methods_have_three(method: str) -> None:
    rows = contenders_of(method, 8)
    assert [row.setting for row in rows] == ["smallest", "default", "fastest"]
    assert {row.engine for row in rows} == {"addapt"}
    assert rows[0].micro_batch == 1


def test_one_setting_alone() -> None:
    (row,) = contenders_of("lora:default", 32)
    assert row in contenders_of("lora", 32)
    assert (row.setting, row.micro_batch) == ("default", 8)
    check_comparison(["finetune", "lora:default", "finetune:whole batch"], WORK, 1)


def test_no_part_is_larger_than_the_batch() -> None:
    assert max(row.micro_batch for row in contenders_of("da3", 2)) == 2
    assert [fastest_candidates(n) for n in (1, 2, 3, 8, 32)] == [
        [1],
        [2],
        [2, 3],
        [2, 4, 8],
        [2, 4, 8, 32],
    ]


def test_native_side() -> None:
    assert native_image_px("efficientnet_lite1") == 240
    with pytest.raises(AddaptError, match="Did you mean 'resnet18'"):
        native_image_px("resnet19")


def test_what_makes_sense_passes() -> None:
    check_comparison(DEFAULT_METHODS, WORK, 1)
    check_comparison(["da3", "bias"], replace(WORK, batch=1), 1)


@pytest.mark.parametrize(
    ("methods", "workload", "rounds", "message"),
    [
        ([], WORK, 1, "--methods is empty"),
        (["finetune", "bais"], WORK, 1, "Did you mean 'bias'"),
        (["eager:bais"], WORK, 1, "Did you mean 'eager:bias'"),
        (["eager:da3"], WORK, 1, "Unknown method"),
        (["lora:defualt"], WORK, 1, "give lora, or one of lora:smallest, lora:default"),
        (["finetune:default"], WORK, 1, "no 'finetune:default': give finetune"),
        (["loar:default"], WORK, 1, "Did you mean 'lora'"),
        (["da3"], replace(WORK, batch=0), 1, "--batch is 0"),
        (["finetune"], replace(WORK, batch=1), 1, "at least 2, or --methods without finetune"),
        (["da3"], replace(WORK, image_px=31), 1, "give 32 to 2048"),
        (["da3"], replace(WORK, image_px=2049), 1, "give 32 to 2048"),
        (["da3"], WORK, 0, "--rounds is 0"),
    ],
)
def test_mistakes(methods: list[str], workload: Workload, rounds: int, message: str) -> None:
    with pytest.raises(AddaptError, match=message):
        check_comparison(methods, workload, rounds)
