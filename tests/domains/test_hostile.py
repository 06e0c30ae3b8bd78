"""Domains' files as a stranger would write them by hand: each refused in words, or harmless."""

import json
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from addapt._errors import DomainError
from addapt.cli.main import app
from addapt.domains import Store, read_info
from addapt.domains.header import METADATA
from addapt.learning import Learner
from tests.conftest import build_tiny_backbone
from tests.damage import CHECKSUM, Damage, Original, Parts, assemble
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


def value(bits: bytes) -> Spoil:
    def spoil(parts: Parts) -> None:
        start = parts.header["head.weight"]["data_offsets"][0]
        parts.data[start : start + 4] = bits

    return spoil


def text(written: str) -> Spoil:
    return lambda parts: parts.write_description(written)


def checksum(written: Any) -> Spoil:
    """Have another checksum than the right one, or none."""

    def spoil(parts: Parts) -> None:
        def keep() -> None:
            pass

        parts.seal = keep  # type: ignore[method-assign]
        if written is None:
            del parts.header[METADATA][CHECKSUM]
        else:
            parts.header[METADATA][CHECKSUM] = written

    return spoil


def swap_halves(parts: Parts) -> None:
    """Have two tensors of one size exchange their values."""
    one, two = parts.header["head.bias"], parts.header["head.weight"]
    one["data_offsets"], two["data_offsets"] = two["data_offsets"], one["data_offsets"]


def extra_tensor(parts: Parts) -> None:
    end = len(parts.data)
    parts.header["head.extra"] = {"dtype": "F32", "shape": [1], "data_offsets": [end, end + 4]}
    parts.data += bytes(4)


def many_tensors(parts: Parts) -> None:
    end = len(parts.data)
    for i in range(9_000):
        parts.header[f"t{i}"] = {"dtype": "U8", "shape": [0], "data_offsets": [end, end]}


NESTED = json.dumps("x").join(("[" * 5_000, "]" * 5_000))
SPOILED: dict[str, tuple[Spoil, str]] = {
    "overlap": (entry("head.weight", data_offsets=[0, 144]), "overlap"),
    "gap": (entry("head.weight", data_offsets=[1748, 1892]), "overlap, or there are gaps"),
    "negative offset": (entry("head.weight", data_offsets=[-4, 140]), "no pair of numbers"),
    "offsets the wrong way": (entry("head.weight", data_offsets=[144, 0]), "do not agree"),
    "offsets that are no numbers": (entry("head.weight", data_offsets=["0", "9"]), "no pair of"),
    "offsets beyond all": (entry("head.weight", data_offsets=[0, 2**64]), "no pair of numbers"),
    "tensors exchanged": (swap_halves, "do not agree"),
    "a billion rows": (entry("head.weight", shape=[BILLION, 12]), "do not agree"),
    "rows for columns": (entry("head.weight", shape=[12, 3]), "has shape"),
    "many dimensions": (entry("head.weight", shape=[1] * 500), "no short list of sizes"),
    "another type": (entry("head.weight", dtype="I32"), "is of type int32"),
    "an unknown type": (entry("head.weight", dtype="F4"), "type is unknown"),
    "a shape that is a text": (entry("head.weight", shape="3, 12"), "no short list"),
    "an unknown tensor": (extra_tensor, "'head.extra' is none of its method's"),
    "many tensors": (many_tensors, "is none of its method's"),
    "not a number": (value(struct.pack("<f", float("nan"))), "'head.weight' holds values that"),
    "infinite": (value(struct.pack("<f", float("-inf"))), "'head.weight' holds values that"),
    "wrong checksum": (checksum("0" * 64), "its checksum is wrong"),
    "no checksum": (checksum(None), "its checksum is missing"),
    "a checksum that is a number": (checksum(0), "not a domain"),
    "a billion classes": (describe(classes=BILLION), "should be a list of 1 to"),
    "60,000 classes": (describe(classes=[str(i) for i in range(60_000)]), "has shape"),
    "no classes": (describe(classes=[]), "should be a list of 1 to"),
    "a class twice": (describe(classes=["a", "b", "a"]), "different texts"),
    "a long label": (describe(classes=["a", "b", "c" * 500_000]), "at most 255 characters"),
    "a billion pixels": (describe(image_px=BILLION), "from 1 to"),
    "accuracy beyond all numbers": (describe(val_accuracy=10**400), "should be a finite number"),
    "mean beyond all numbers": (describe(mean=[10**400, 0, 0]), "should be three finite numbers"),
    "a billion groups": (hyperparameter(BILLION), "1000000000"),
    "minus one group": (hyperparameter(-1), "groups"),
    "a text for a number": (hyperparameter("many"), "groups"),
    "an endless text for a number": (hyperparameter("many" * 200_000), "groups"),
    "an unknown hyper-parameter": (hyperparameter(1, "x" * 500_000), "no hyper-parameter"),
    "deep hyper-parameters": (hyperparameter(json.loads(NESTED[4_500:-4_500])), "groups"),
    "a newer schema": (describe(schema=99), "newer addapt"),
    "another method": (describe(method="head"), "tensor"),
    "a method with a path": (describe(method="../../da3"), "Unknown method"),
    "another backbone": (describe(backbone="resnet50"), "was learned on resnet50"),
    "a deep description": (text("[" * DEEP + "]" * DEEP), "not valid JSON"),
    "a deep field": (text('{"classes": ' + "[" * DEEP + "]" * DEEP + "}"), "not valid JSON"),
    "a number without end": (text('{"seed": ' + "9" * DEEP + "}"), "not valid JSON"),
    "the same field twice": (text('{"schema": 4, "schema": 3}'), "not valid JSON"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_spoiled_parts_are_named(judge: DomainJudge, name: str) -> None:
    spoil, words = SPOILED[name]
    assert judge(sealed(judge, spoil)) == REFUSED
    with pytest.raises(DomainError, match=words):
        judge.learner.load("damaged")


WHOLE_FILES = {
    "length of all numbers": struct.pack("<Q", 2**64 - 1) + b"{}",
    "length of a tebibyte": struct.pack("<Q", 2**40) + b"{}",
    "a huge header": assemble(b" " * 5_000_000 + b"{}"),
    "a deep header": assemble(b"[" * DEEP + b"]" * DEEP),
    "deep texts": assemble(b'{"__metadata__": ' + b"[" * DEEP + b"]" * DEEP + b"}"),
    "a header that is no object": assemble(b"3"),
    "no text": assemble(b"\xff\xfe"),
    "a tensor twice": assemble(b'{"a": 1, "a": 2}'),
    "nothing": b"",
    "no tensors": assemble(b'{"__metadata__": {"addapt": "{}"}}'),
}


@pytest.mark.parametrize("name", WHOLE_FILES)
def test_other_files_are_refused(judge: DomainJudge, name: str) -> None:
    assert judge(Damage(WHOLE_FILES[name], sealed=False, how=())) == REFUSED


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
        numbers = torch.frombuffer(parts.data[start:end], dtype=torch.float32).half()
        parts.data[start:] = numbers.numpy().tobytes()
        place |= {"dtype": "F16", "data_offsets": [start, len(parts.data)]}

    assert judge(sealed(judge, halve)) == LOADED


def test_files_that_are_no_files(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.symlink_to(path)
    with pytest.raises(DomainError, match="could not be read because"):
        read_info(path)
    assert Store(tmp_path).names() == ()
    (tmp_path / "b.safetensors").mkdir()
    with pytest.raises(DomainError, match="could not be read because it is a folder"):
        read_info(tmp_path / "b.safetensors")


HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202egpj.\u2028\x9b31m"


@pytest.fixture
def hostile_store(judge: DomainJudge, tmp_path: Path) -> Iterator[Path]:
    damage = sealed(judge, describe(classes=["a", "../../b", HOSTILE], backbone=HOSTILE))
    (tmp_path / "a.safetensors").write_bytes(damage.content)
    damage = sealed(judge, describe(method=HOSTILE, versions={HOSTILE: HOSTILE}, date=HOSTILE))
    (tmp_path / "b.safetensors").write_bytes(damage.content)
    spoils = {
        "c": describe(mean=HOSTILE),
        "d": describe(val_accuracy=10**400),
        "e": hyperparameter(json.loads(NESTED[4_500:-4_500])),
    }
    for name, spoil in spoils.items():
        (tmp_path / f"{name}.safetensors").write_bytes(sealed(judge, spoil).content)
    yield tmp_path


@pytest.mark.parametrize(
    "words", [["domains"], ["check"], *(["show", name] for name in "abcde")], ids=" ".join
)
def test_nothing_of_a_file_reaches_the_terminal_raw(hostile_store: Path, words: list[str]) -> None:
    for more in ([], ["--json"]):
        result = CliRunner().invoke(app, [*words, *more, "--store", str(hostile_store)])
        assert isinstance(result.exception, SystemExit | None), repr(result.exception)
        assert not {*"\x1b\x07\x9b\u202e\u2028"} & {*result.output}
        assert result.output.strip()
