"""Processes that start at once, because everything is imported already, and can be killed."""

import faulthandler
import multiprocessing
import os
import subprocess
import sys
import warnings
from collections.abc import Callable

PATIENCE_S = 60.0  # a process that takes longer hangs


class Fork:
    """A copy of this process that does `work` and ends; waited for as a `subprocess.Popen` is."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._process = multiprocessing.get_context("fork").Process(target=_run, args=(work,))
        with warnings.catch_warnings():  # from Python 3.12 on: other threads might hold a lock
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def wait(self, timeout: float | None = PATIENCE_S) -> int:
        """Return the exit code, which is negative for a signal.

        Raises:
            subprocess.TimeoutExpired: it is still at work.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("fork", timeout or 0)
        return self._process.exitcode


def _run(work: Callable[[], object]) -> None:
    # A copy that hangs says where, and does not outlive the tests.
    assert sys.__stderr__ is not None
    faulthandler.dump_traceback_later(PATIENCE_S / 2, exit=True, file=sys.__stderr__)
    try:
        work()
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)
    os._exit(0)  # without this process's own tidying up, such as that of its tests
