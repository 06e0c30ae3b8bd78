"""Whether a damaged file was answered as it should be: refused with a sentence, or read rightly."""

import json
import math
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from addapt._errors import AddaptError
from addapt.domains import DomainInfo, read_info
from addapt.engines.base import Model
from addapt.learning import Learner
from addapt.learning.checkpoint import load_run
from tests.damage import Damage, Original, Parts

EXTRA_BYTES = 200_000_000
NAME = "damaged"
REFUSED, LOADED = "refused", "loaded"
_MEMORY = Path("/proc/self/statm")


@contextmanager
def limited_memory(extra_bytes: int = EXTRA_BYTES) -> Iterator[None]:
    """Let this process take so much more address space, where the system can say how much it has.

    Whoever asks for more meets an error that is no `AddaptError`.
    """
    if not _MEMORY.exists():
        yield
        return
    taken = int(_MEMORY.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + extra_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


class DomainJudge:
    """Loads damaged copies of one domain, which its learner's store gets."""

    def __init__(self, learner: Learner, original: Original) -> None:
        self.learner, self.original = learner, original
        self.path = learner.store.path(NAME)
        learner.store.folder.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(original.content)
        self.info, model = learner.load(NAME)
        self.state = model.state()

    def __call__(self, damage: Damage) -> str:
        """Return "refused" or "loaded"; any other outcome is an error."""
        self.path.write_bytes(damage.content)
        with limited_memory():
            try:
                _describe(read_info(self.path))
                info, model = self.learner.load(NAME)
            except AddaptError as error:
                _assert_clear(error)
                return REFUSED
        _describe(info)
        state = model.state()
        assert all(np.isfinite(array).all() for array in state.values())
        if not damage.sealed and info.schema == self.info.schema:  # nothing else has that checksum
            assert info == self.info
            assert _same(state, self.state)
        return LOADED


class StateJudge:
    """Loads damaged copies of an unfinished run's state, which `folder` gets."""

    def __init__(
        self, folder: Path, original: Original, model: Model, steps_per_epoch: int
    ) -> None:
        self.original, self.path = original, folder / "state.safetensors"
        self.model, self.steps_per_epoch = model, steps_per_epoch
        self.fingerprint: dict[str, Any] = Parts(original).description["fingerprint"]
        folder.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(original.content)
        state = load_run(folder, self.fingerprint, model, steps_per_epoch)
        assert state is not None
        self.whole = state

    def __call__(self, damage: Damage) -> str:
        """Return "refused" or "loaded"; any other outcome is an error."""
        self.path.write_bytes(damage.content)
        with limited_memory():
            try:
                state = load_run(
                    self.path.parent, self.fingerprint, self.model, self.steps_per_epoch
                )
            except AddaptError as error:
                _assert_clear(error)
                return REFUSED
        assert state is not None
        parts = (state.domain, state.optimiser, state.best)
        assert all(np.isfinite(array).all() for part in parts for array in part.values())
        if not damage.sealed:
            whole = (self.whole.domain, self.whole.optimiser, self.whole.best)
            assert all(map(_same, parts, whole))
            assert (state.step, state.history) == (self.whole.step, self.whole.history)
        if state.domain:
            self.model.load_state(state.domain)
        if state.best:
            self.model.load_state(state.best)
        return LOADED


def _describe(info: DomainInfo) -> None:
    """Do what listing and showing domains do with a description."""
    json.dumps(asdict(info))
    assert math.isfinite(float(f"{info.val_accuracy:.3f}"))
    assert len(info.to_json()) < 1_000_000


def _assert_clear(error: AddaptError) -> None:
    text = str(error)
    assert len(text) < 2000, text[:2000]
    assert text.rstrip().endswith((".", "!", ")")), text


def _same(left: dict[str, NDArray[Any]], right: dict[str, NDArray[Any]]) -> bool:
    return left.keys() == right.keys() and all(
        np.array_equal(left[name], right[name]) for name in left
    )
