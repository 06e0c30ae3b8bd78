"""Domains' files as a stranger would write them by hand: each refused in words, or harmless."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from addapt._errors import DomainError
from addapt.cli.main import app
from addapt.learning import Learner
from tests.conftest import build_tiny_backbone
from tests.damage import Damage, Original, Parts, assemble
from tests.domains.test_fuzz import write_untrained
from tests.judges import LOADED, REFUSED, DomainJudge, limited_memory

Spoil = Callable[[Parts], None]

BILLION = 10**9
DEEP = 100_000


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> DomainJudge:
    learner = Learner(build_tiny_backbone(), tmp_path_factory.mktemp("hostile"))
    return DomainJudge(learner, Original(write_untrained(learner, "da3")))


def sealed(judge: DomainJudge, spoil: Spoil) -> Damage:
    """Make a file with everything right but what `spoil` does."""
    parts = Parts(judge.original)
    spoil(parts)
    parts.seal()
    return Damage(parts.content(), sealed=True, how=())


def describe(**fields: Any) -> Spoil:
    def spoil(parts: Parts) -> None:
        parts.description |= fields
        parts.write_description()

    return spoil


def hyperparameter(value: Any, name: str = "groups") -> Spoil:
    def spoil(parts: Parts) -> None:
        parts.description["hyperparameters"][name] = value
        parts.write_description()

    return spoil


def entry(name: str, **values: Any) -> Spoil:
    def spoil(parts: Parts) -> None:
        parts.header[name] = {**parts.header[name], **values}

    return spoil


def extra_tensor(parts: Parts) -> None:
    end = len(parts.data)
    parts.header["head.extra"] = {"dtype": "F32", "shape": [1], "data_offsets": [end, end + 4]}
    parts.data += bytes(4)


def many_tensors(parts: Parts) -> None:
    end = len(parts.data)
    for i in range(3_000):
        parts.header[f"t{i}"] = {"dtype": "U8", "shape": [0], "data_offsets": [end, end]}


NESTED = json.loads("[" * 500 + "]" * 500)
SPOILED: dict[str, tuple[Spoil, str]] = {
    "overlap": (entry("head.weight", data_offsets=[0, 144]), "overlap"),
    "a billion rows": (entry("head.weight", shape=[BILLION, 12]), "do not agree"),
    "rows for columns": (entry("head.weight", shape=[12, 3]), "has shape"),
    "another type": (entry("head.weight", dtype="I32"), "is of type int32"),
    "an unknown tensor": (extra_tensor, "'head.extra' is none of its method's"),
    "many tensors": (many_tensors, "is none of its method's"),
    "a billion classes": (describe(classes=BILLION), "should be a list of 1 to"),
    "60,000 classes": (describe(classes=[str(i) for i in range(60_000)]), "has shape"),
    "a billion groups": (hyperparameter(BILLION), "1000000000"),
    "minus one group": (hyperparameter(-1), "groups"),
    "an endless text for a number": (hyperparameter("many" * 200_000), "groups"),
    "an unknown hyper-parameter": (hyperparameter(1, "x" * 500_000), "no hyper-parameter"),
    "deep hyper-parameters": (hyperparameter(NESTED), "groups"),
    "another method": (describe(method="head"), "tensor"),
    "a method with a path": (describe(method="../../da3"), "Unknown method"),
    "another backbone": (describe(backbone="resnet50"), "was learned on resnet50"),
    "a deep description": (
        lambda parts: parts.write_description("[" * DEEP + "]" * DEEP),
        "not valid JSON",
    ),
}


@pytest.mark.parametrize("name", SPOILED)
def test_spoiled_parts_are_named(judge: DomainJudge, name: str) -> None:
    spoil, words = SPOILED[name]
    assert judge(sealed(judge, spoil)) == REFUSED
    with pytest.raises(DomainError, match=words):
        judge.learner.load("damaged")


WHOLE_FILES = {
    "length of all numbers": struct.pack("<Q", 2**64 - 1) + b"{}",
    "a huge header": assemble(b" " * 5_000_000 + b"{}"),
    "a deep header": assemble(b"[" * DEEP + b"]" * DEEP),
    "a tensor twice": assemble(b'{"a": 1, "a": 2}'),
    "no tensors": assemble(b'{"__metadata__": {"addapt": "{}"}}'),
}


@pytest.mark.parametrize("content", WHOLE_FILES.values(), ids=WHOLE_FILES)
def test_other_files_are_refused(judge: DomainJudge, content: bytes) -> None:
    assert judge(Damage(content, sealed=False, how=())) == REFUSED


def test_a_file_with_holes_takes_no_memory(judge: DomainJudge) -> None:
    """Sizes that agree with a file of 48 GB, which takes no room on the disk."""
    rows_bytes = BILLION * 12 * 4
    parts = Parts(judge.original)
    start = parts.header["head.weight"]["data_offsets"][0]
    place = {"dtype": "F32", "shape": [BILLION, 12], "data_offsets": [start, start + rows_bytes]}
    parts.header["head.weight"] = place
    judge.path.write_bytes(parts.content())
    try:
        os.truncate(judge.path, judge.path.stat().st_size + rows_bytes - 144)
    except OSError:
        pytest.skip("this file system has no files with holes")
    with limited_memory(), pytest.raises(DomainError, match="'head.weight' has shape"):
        judge.learner.load("damaged")
    judge.path.unlink()


def test_numbers_of_other_sizes_are_converted(judge: DomainJudge) -> None:
    def halve(parts: Parts) -> None:
        place = parts.header["head.weight"]
        start, end = place["data_offsets"]
        assert end == len(parts.data)
        numbers = np.frombuffer(bytes(parts.data[start:end]), np.float32)
        parts.data[start:] = numbers.astype(np.float16).tobytes()
        place |= {"dtype": "F16", "data_offsets": [start, len(parts.data)]}

    assert judge(sealed(judge, halve)) == LOADED


HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202egpj.\u2028\x9b31m"


def test_nothing_of_a_file_reaches_the_terminal_raw(judge: DomainJudge, tmp_path: Path) -> None:
    spoils = {
        "a": describe(classes=["a", "../../b", HOSTILE], backbone=HOSTILE),
        "b": describe(method=HOSTILE, versions={HOSTILE: HOSTILE}, date=HOSTILE),
        "c": describe(mean=HOSTILE),
        "d": describe(val_accuracy=10**400),
        "e": hyperparameter(NESTED),
    }
    for name, spoil in spoils.items():
        (tmp_path / f"{name}.safetensors").write_bytes(sealed(judge, spoil).content)
    for words in (["domains"], ["check"], *(["show", name] for name in spoils)):
        for more in ([], ["--json"]):
            result = CliRunner().invoke(app, [*words, *more, "--store", str(tmp_path)])
            assert isinstance(result.exception, SystemExit | None), repr(result.exception)
            assert not {*"\x1b\x07\x9b\u202e\u2028"} & {*result.output}, words
            assert result.output.strip()
