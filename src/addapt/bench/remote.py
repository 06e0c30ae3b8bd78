"""The parent's side of a worker: a process that is asked one thing at a time."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

from addapt._errors import AddaptError
from addapt.memory.allocator import THRESHOLD_BYTES, Allocator

# What each kind of allocator needs in a worker's environment. By its own ways ("system") glibc
# holds on to freed memory, so that a peak tells of earlier steps, too.
ALLOCATORS: dict[str, dict[str, str]] = {
    Allocator.lean.value: {
        "MALLOC_MMAP_THRESHOLD_": str(THRESHOLD_BYTES),
        "MALLOC_TRIM_THRESHOLD_": str(THRESHOLD_BYTES),
    },
    Allocator.system.value: {},
}


class WorkerError(Exception):
    """A worker that failed or died: its row tells why, and the others go on."""


class Worker:
    """A process that has answered its first order when this is made; `loaded` is the answer.

    Args:
        module: what it runs; see `addapt.bench.orders`.
        threads: of the processor.
        allocator: a key of `ALLOCATORS`.
        debug: whether it prints to standard error.
        order: the first one.

    Raises:
        WorkerError: it died on the way.
        AddaptError: it refused, for example weights that do not fit.
    """

    def __init__(
        self, module: str, threads: int, allocator: str, *, debug: bool = False, **order: Any
    ) -> None:
        environment = {
            **os.environ,
            **ALLOCATORS[allocator],
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "PYTHONSAFEPATH": "1",  # files in the current folder are not our modules
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if debug else subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env=environment,
        )
        try:
            self.loaded = self.ask(**order)
        except BaseException:
            self.close()
            raise

    def ask(self, **order: Any) -> dict[str, Any]:
        """Return the answer to an order.

        Raises:
            WorkerError: there is none.
            AddaptError: it was refused.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(self._cause_of_death())
        answer: dict[str, Any] = json.loads(line)
        if "refused" in answer:
            raise AddaptError(answer["refused"])
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        # The pipes first: what is left in one may not be written any more.
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass
        self._process.wait()

    def _cause_of_death(self) -> str:
        code = self._process.wait()
        if code >= 0:
            return f"its process ended with exit code {code}; `debug=True` shows what it printed"
        name = signal.Signals(-code).name
        reason = ", most likely for want of memory" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{reason}"
