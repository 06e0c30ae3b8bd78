"""The stages of `addapt learn`, and what this process holds after each: see `where_memory_goes.py`.

    python benchmarks/memory_stages.py ENGINE FOLDER THREADS

Does by hand what the command does, DA3 on EfficientNet-Lite0 at 224 px, and imports nothing before
its turn. Prints a JSON list.
"""

import json
import re
import sys
from importlib import import_module
from pathlib import Path

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
BATCH, CLASSES, PX, STEPS = 8, 10, 224, 3

Stage = dict[str, int | str]


class Stages:
    """Takes down what this process holds, and the most that it held since the last stage."""

    def __init__(self) -> None:
        self.found: list[Stage] = []

    def end(self, name: str) -> None:
        """Note the end of a stage."""
        status = STATUS.read_text(encoding="ascii")
        fields = {"bytes": "VmRSS", "own_bytes": "RssAnon", "file_bytes": "RssFile"}
        stage: Stage = {"stage": name}
        for field, key in (*fields.items(), ("peak_bytes", "VmHWM")):
            match = re.search(rf"^{key}:\s+(\d+) kB", status, re.MULTILINE)
            assert match is not None
            stage[field] = int(match[1]) * 1024
        self.found.append(stage)
        CLEAR_REFS.write_text("5", encoding="ascii")  # the peak begins anew


def learn(engine_name: str, folder: Path, threads: int) -> list[Stage]:
    """Go through the stages in this process, importing nothing before its turn."""
    stages = Stages()
    stages.end("interpreter")
    from typer.main import get_command

    from addapt.cli.main import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    commands["learn"].make_context("learn", ["x", str(folder)])
    stages.end("command line")
    from addapt.images import load_images, scan_folder
    from addapt.learning import Learner

    stages.end("NumPy, Pillow, addapt")
    from addapt.engines import ENGINES as MODULES

    import_module(MODULES[engine_name])
    stages.end("runtime")
    from addapt.engines import open_engine

    engine = Learner(open_engine(engine=engine_name), folder.parent / "store").engine
    engine.threads = threads
    stages.end("frozen weights")
    images, _ = load_images(scan_folder(folder).samples, PX, "bicubic", cache_bytes=0)
    batch = images.batch(range(BATCH))
    stages.end("images of a batch")
    from addapt.engines.base import StepSettings
    from addapt.methods import DA3

    model = engine.new_model(DA3(), CLASSES, seed=0)
    model.prepare(StepSettings(lr=1e-3))
    stages.end("domain and optimiser")
    if engine_name == "onnx":
        end_stage_with_session(stages, "session, weights included")
    labels = images.labels[:BATCH]
    at_once = engine.at_once(PX, BATCH)
    model.step(batch[:at_once], labels[:at_once], batch=BATCH)
    stages.end(f"maps of {at_once} image{'s' if at_once > 1 else ''}")
    for _ in range(STEPS):
        for start in range(0, BATCH, at_once):
            part = slice(start, start + at_once)
            model.step(batch[part], labels[part], batch=BATCH)
        model.update(1.0)
    stages.end("further steps")
    model.logits(batch)
    stages.end("validation")
    kept = model.state(), model.optimiser_state()
    stages.end("copies to be saved")
    del kept
    return stages.found


def end_stage_with_session(stages: Stages, name: str) -> None:
    """Note the end of a stage when the engine has made its session for learning."""
    from addapt.engines.onnx.session import Session

    make = Session.__init__

    def make_and_note(self: Session, graph: Path, threads: int, side_by_side: int = 1) -> None:
        make(self, graph, threads, side_by_side)
        stages.end(name)

    Session.__init__ = make_and_note  # type: ignore[method-assign]


if __name__ == "__main__":
    print(json.dumps(learn(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))
