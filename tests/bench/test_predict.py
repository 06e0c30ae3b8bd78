"""Recognising, engine beside engine: with processes that answer at once, and with real ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from addapt._errors import AddaptError, UnknownNameError
from addapt.bench import predict
from addapt.bench.answers import Recogniser, start
from addapt.bench.predict import engines_for, run_cold, run_warm
from addapt.bench.remote import Worker
from addapt.bench.shell import Ran
from addapt.learning import Progress

SMALL = [Recogniser(engine, "resnet18", "random", 32, 1) for engine in ("onnx", "torch")]


class FakeWorker:
    """PyTorch takes 4 s for an image, the others 1 s, and every one twice that in one round."""

    turns: list[tuple[str, int]] = []

    def __init__(self, module: str, *_: Any, recogniser: dict[str, Any], debug: bool) -> None:
        assert module == "addapt.bench.answers"
        self.engine, self.count = recogniser["engine"], 0

    def ask(self, images: int) -> dict[str, Any]:
        self.turns.append((self.engine, images))
        self.count += 1
        seconds = images * (4.0 if self.engine == "torch" else 1.0)
        if self.count == 4:
            seconds *= 2
        return {"seconds": seconds, "process_bytes": 1000 * self.count}

    def close(self) -> None:
        pass


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeWorker]:
    monkeypatch.setattr(predict, "Worker", FakeWorker)
    monkeypatch.setattr(FakeWorker, "turns", [])
    return FakeWorker


def test_turns_medians_and_ratios(fake: type[FakeWorker]) -> None:
    events: list[Progress] = []
    rows = run_warm(SMALL, 3, on_progress=events.append)
    assert fake.turns == [("onnx", 1), ("torch", 1)] * 5 + [("onnx", 16), ("torch", 16)] * 5
    onnx, torch, onnx_16, torch_16 = rows
    assert (onnx.ms, onnx.ms_min, onnx.ratio_time) == (1000, 1000, 4)
    assert (torch.ms, torch.ratio_time, torch.process_bytes) == (4000, 1, 5000)
    assert (onnx_16.images, onnx_16.ms, onnx_16.process_bytes) == (16, 16_000, 10_000)
    assert torch_16.ratio_time == 1
    last = {event.phase: event for event in events}
    assert list(last) == ["loading", "time"]
    assert all(event.done == event.total for event in last.values())


def test_without_pytorch_there_is_no_ratio(
    fake: type[FakeWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "find_spec", lambda name: None if name == "torch" else name)
    assert engines_for("resnet18") == ["onnx"]
    assert [row.ratio_time for row in run_warm(SMALL[:1], 1)] == [None, None]


def test_only_engines_that_have_the_backbone() -> None:
    assert engines_for("resnet18") == ["onnx", "torch"]
    assert engines_for("timm:resnet18") == ["torch"]
    with pytest.raises(UnknownNameError, match="Did you mean 'resnet18'"):
        engines_for("resnet19")


def test_a_worker_times_images_and_tells_its_peak() -> None:
    worker = Worker(
        "addapt.bench.answers", 1, "system", recogniser={**SMALL[0].__dict__, "image_px": 32}
    )
    try:
        one, more = worker.ask(images=1), worker.ask(images=3)
    finally:
        worker.close()
    assert one["seconds"] > 0 and more["seconds"] > 0
    assert one["process_bytes"] is None or 0 < one["process_bytes"] <= more["process_bytes"]


def test_both_engines_answer() -> None:
    for recogniser in SMALL:
        _, answer = start({"recogniser": recogniser.__dict__})
        assert answer({"images": 2})["seconds"] > 0


Asked = tuple[str, Mapping[str, object]]  # a command and its options


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """Collect the commands that are run; each takes a second longer than the one before."""
    asked: list[Asked] = []

    def run(command: list[str], options: Mapping[str, object]) -> Ran:
        asked.append((command[0], options))
        if command[0] == "learn":
            images = sorted(Path(command[2]).glob("*/*.jpg"))
            assert len({path.parent for path in images}) == 2
        else:
            with Image.open(command[1]) as image:
                assert image.format == "JPEG"
        return Ran(float(len(asked)), 1.0, 100 + len(asked), 0, "[]", "")

    monkeypatch.setattr(predict, "run_addapt", run)
    return asked


def test_cold_commands_take_turns_and_the_first_does_not_count(commands: list[Asked]) -> None:
    onnx, torch = run_cold(["onnx", "torch"], "resnet18", "random", 1, 3)
    assert [name for name, _ in commands] == ["learn"] + ["predict"] * 8
    assert [options["engine"] for _, options in commands[1:]] == ["onnx", "torch"] * 4
    assert (onnx.wall_s, onnx.wall_s_min, onnx.cpu_s, onnx.process_bytes) == (6, 4, 1, 108)
    assert (torch.wall_s, torch.wall_s_min, torch.process_bytes) == (7, 5, 109)
    assert not any("weights" in options for _, options in commands)


def test_weights_of_ones_own_are_handed_on(commands: list[Asked]) -> None:
    run_cold(["onnx"], "resnet18", "own.pth", 1, 1)
    assert all(options["weights"] == "own.pth" for _, options in commands)


def test_a_command_that_fails_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Ran(1.0, None, None, 2, "", "Left out: a\nError: no such file\n")
    monkeypatch.setattr(predict, "run_addapt", lambda *_: failed)
    with pytest.raises(AddaptError, match="failed: Error: no such file"):
        run_cold(["onnx"], "resnet18", None, 1, 1)
