"""What the two scripts for small machines compare, and the page made of what they found."""

import dataclasses
from pathlib import Path
from typing import Any

import arm64
import drawn_images
import numpy as np
import pytest
import small_machine
import small_machines_page
from PIL import Image

from addapt.domains import read_domain, write_domain

GOLDEN = Path(__file__).parents[1] / "domains" / "golden_schema_1.safetensors"


def changed(path: Path, *, by: float = 0.0, **fields: Any) -> Path:
    """Write the golden domain with other fields, and one element of one tensor changed."""
    info, tensors = read_domain(GOLDEN)
    name = max(tensors, key=lambda name: tensors[name].size)
    tensor = tensors[name].copy()
    tensor.flat[0] += by * np.abs(tensor).max()
    write_domain(path, dataclasses.replace(info, **fields), {**tensors, name: tensor})
    return path


def test_drawn_images_are_the_same_for_the_same_seed_and_tell_classes_apart(tmp_path: Path) -> None:
    folders = [(tmp_path / "a", 0), (tmp_path / "b", 0), (tmp_path / "c", 1)]
    first, again, other = (
        drawn_images.write_images(folder, classes=3, a_class=2, px=24, suffix=".png", seed=seed)
        for folder, seed in folders
    )
    read = [[np.asarray(Image.open(path)) for path in paths] for paths in (first, again, other)]
    assert np.array_equal(read[0], read[1]) and not np.array_equal(read[0], read[2])
    assert read[0][0].shape == (24, 24, 3)
    assert len({path.parent.name for path in first}) == 3 and len(first) == 6
    assert len(set(drawn_images.LABELS)) == small_machine.CLASSES


def test_domains_differ_in_tensors_and_fields(tmp_path: Path) -> None:
    info, _ = read_domain(GOLDEN)
    same = changed(tmp_path / "same.safetensors", date="2030-01-01T00:00:00+00:00")
    other = changed(tmp_path / "other.safetensors", by=1e-3, seed=info.seed + 1)
    found = small_machine.difference(same, changed(tmp_path / "again.safetensors"))
    assert found is not None
    assert (found["different_tensors"], found["different_fields"]) == ([], ["date"])
    found = small_machine.difference(same, other)
    assert found is not None
    assert len(found["different_tensors"]) == 1
    assert found["different_fields"] == ["seed", "date"]
    assert small_machine.difference(same, tmp_path / "none.safetensors") is None
    found = arm64.domain_difference(same, other)
    assert found["largest_difference"] == pytest.approx(1e-3, rel=1e-3)
    assert arm64.domain_difference(same, same)["largest_difference"] == 0


def result(**changes: Any) -> dict[str, Any]:
    """Return what a run gives that keeps all promises, with some of its rows changed."""
    fine: dict[str, Any] = {
        "exit_code": 0,
        "seconds": 1.0,
        "peak_bytes": 100_000_000,
        "anonymous_bytes": 60_000_000,
    }
    fine |= {"killed": 0, "given_up": False, "read_again_bytes": 0, "said": "why"}
    killed = {**fine, "exit_code": 137, "killed": 1}
    runs = [("da3", None, fine), ("da3", 128_000_000, fine), ("recognise", 128_000_000, fine)]
    runs += [("finetune", None, fine), ("finetune", 128_000_000, killed)]
    return {
        "rows": [
            {"what": what, "limit_bytes": limit, **row, **changes.get(what, {})}
            for what, limit, row in runs
        ],
        "difference": {
            **{"tensors": 3, "bytes": 4_000_000, "different_tensors": []},
            **{"different_fields": ["date"], **changes.get("difference", {})},
        },
    }


def test_what_was_promised_and_did_not_come_true_is_said() -> None:
    assert small_machine.failures(result()) == []
    failed = small_machine.failures(result(da3={"exit_code": 137, "killed": 1}))
    assert failed == ["da3 failed in a group without limit: why", "da3 failed in the group: why"]
    assert small_machine.failures(result(recognise={"exit_code": 2})) == [
        "recognise failed in the group: why"
    ]
    lived = small_machine.failures(result(finetune={"exit_code": 0, "killed": 0}))
    assert lived == ["fine-tuning was not killed"]
    assert not small_machine.failures(result(finetune={"killed": 0, "given_up": True}))
    other = {"different_tensors": ["head.weight"]}
    assert len(small_machine.failures(result(difference=other))) == 1
    assert len(small_machine.failures(result(difference={"different_fields": ["options"]}))) == 1
    assert len(small_machine.failures({**result(), "difference": None})) == 1


def test_page_says_how_commands_ended_and_whether_the_domain_is_the_same() -> None:
    table = small_machines_page.memory_table(result())
    assert "| learn (DA³) | 128 MB | well | 1 | 100 MB | 60 MB | 0.0 MB |" in table
    assert "| learn by fine-tuning | 128 MB | killed by the system (exit 137) | 1 |" in table
    assert "byte by byte in all 3 tensors (4.0 MB)" in small_machines_page.same_domain(result())
    other = result(difference={"different_tensors": ["head.weight"]})
    assert "differ in head.weight, date" in small_machines_page.same_domain(other)


def test_answers_are_compared_class_by_class() -> None:
    one = [("a", {"a": 0.75, "b": 0.25})]
    assert arm64.answer_difference(one, [("a", {"b": 0.375, "a": 0.625})]) == {
        "same_classes": True,
        "largest_difference": 0.125,
    }
    assert not arm64.answer_difference(one, [("b", {"b": 0.5, "a": 0.5})])["same_classes"]


def test_page_is_current() -> None:
    committed = small_machines_page.PAGE.read_text(encoding="utf-8")
    hint = "run: python benchmarks/small_machines_page.py"
    assert committed == small_machines_page.page(), hint
