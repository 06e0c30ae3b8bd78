"""A trial of steps in a process of its own, so that the one which learns stays as it is.

What is not known there, a backbone or a method of one's own, is tried in this process.
"""

import dataclasses
import json
import os
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from addapt._cache import recall, remember, this_machine
from addapt._errors import AddaptError, OptionError, TrainingError
from addapt.engines import open_engine
from addapt.engines.base import Engine
from addapt.gates import GateConfig
from addapt.learning.threads import FEW_IMAGES, use_fastest_threads
from addapt.learning.trial import PIXELS_AT_ONCE, Question, Trial, make_trial
from addapt.memory import lean_allocator, rss_bytes
from addapt.methods import build_method, registered_attach

# Where the system ends the process for lack of memory, less is tried.
PIXELS_TO_TRY = (PIXELS_AT_ONCE, PIXELS_AT_ONCE // 4, 0)
KILLED = -9
_NUMBERS = ("classes", "image_px", "batch", "evaluation_batch")  # of a question


def try_steps(engine: Engine, question: Question) -> Trial:
    """Return what steps take, from an earlier answer, another process or, at worst, this one.

    Raises:
        OptionError: such steps cannot be made.
        TrainingError: the trial failed, as for lack of memory.
    """
    order = engine.order
    if order is None or registered_attach(question.method) is not None:  # known only here
        return make_trial(engine, question)
    return order_trial({**order, "threads": engine.threads}, question)


def order_trial(engine_order: dict[str, Any], question: Question) -> Trial:
    """Do the work of `try_steps` without an engine at hand.

    `engine_order` is what `open_engine` takes, and the number of "threads" unless the fastest.
    """
    order = {
        "engine": engine_order,
        "method": question.method.name,
        "hyperparameters": dataclasses.asdict(question.method),
        "gates": question.gates and dataclasses.asdict(question.gates),
        **{name: getattr(question, name) for name in _NUMBERS},
    }
    asked = {
        **order,
        "weights file": _file_stamp(engine_order.get("weights")),
        "versions": _installed_versions(),
        **this_machine(),
    }
    answer = recall("trial", asked)
    if answer is not None:
        with suppress(AttributeError, TypeError, ValueError):  # not what was remembered
            return _trial_of(answer)
    answer = _answer_elsewhere(order)
    remember("trial", asked, answer)
    return _trial_of(answer)


def _trial_of(answer: dict[str, Any]) -> Trial:
    trial = Trial(**answer)
    above = {int(size): int(peak) for size, peak in trial.above_bytes.items()}
    if not above:
        raise ValueError("nothing was tried")
    return dataclasses.replace(trial, above_bytes=above)


def _file_stamp(path: Any) -> tuple[int, int] | None:
    """Tell a file from what it was before, and from another one of that name."""
    try:
        status = Path(path).stat()
    except (OSError, TypeError):  # none, or a word such as "random"
        return None
    return status.st_size, status.st_mtime_ns


def _answer_elsewhere(order: dict[str, Any]) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}  # files in this folder are no modules
    environment.pop("PYTHONWARNINGS", None)  # what libraries warn of is no failure of the trial
    for pixels in PIXELS_TO_TRY:
        done = _run({**order, "pixels_at_once": pixels}, environment)
        if done.returncode != KILLED:
            break
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise TrainingError(
            f"What learning takes could not be tried ({reason}). Free some memory and try again, "
            "or learn without `budget_bytes`."
        )
    answer: dict[str, Any] = json.loads(lines[-1])
    if "refused" in answer:
        raise OptionError(answer["refused"])
    return answer


def _run(order: dict[str, Any], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from addapt.learning.trial_process import main; main()"],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment,
        check=False,
    )


def _installed_versions() -> dict[str, str]:
    found = {}
    for package in ("addapt", "onnxruntime", "torch", "numpy", "pillow"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _answer(order: dict[str, Any]) -> dict[str, Any]:
    """Make the trial that was ordered, or return why there is none."""
    started_bytes = rss_bytes()
    try:
        engine_order = dict(order["engine"])
        threads = engine_order.pop("threads", None)
        with lean_allocator():
            engine = open_engine(**engine_order)
            engine.threads = threads or use_fastest_threads(engine, FEW_IMAGES)
            method = build_method(order["method"], order["hyperparameters"])
            question = Question(
                method.for_backbone(len(engine.backbone.blocks)),
                gates=order["gates"] and GateConfig(**order["gates"]),
                **{name: order[name] for name in (*_NUMBERS, "pixels_at_once")},
            )
            engine.require(question.method, question.gates)
            return dataclasses.asdict(make_trial(engine, question, started_bytes))
    except AddaptError as error:
        return {"refused": str(error)}


def main() -> None:
    """Answer the order on standard input."""
    print(json.dumps(_answer(json.load(sys.stdin))))
