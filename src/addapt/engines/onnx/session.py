"""All that is set on the runtime, and the sessions that are kept."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnxruntime

from addapt._errors import AddaptError
from addapt.memory import lean_allocator

KEPT_SESSIONS = 3
ERRORS_ONLY = 3  # of what the runtime logs

onnxruntime.disable_telemetry_events()  # nothing leaves the device


class Session:
    """A graph that is ready to run.

    Args:
        graph: its file, beside which its weights lie.
        threads: of the processor.
        side_by_side: how many runs share them. Two runs of one thread each are a quarter quicker
            than one after the other of two threads, and take the maps of both.

    Raises:
        AddaptError: the runtime cannot run it.
    """

    def __init__(self, graph: Path, threads: int, side_by_side: int = 1) -> None:
        self._side_by_side = min(threads, side_by_side)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads // self._side_by_side
        options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ONLY
        options.use_deterministic_compute = True
        # Threads that wait busily after a run take the processor from what comes next: another
        # session, or the decoding of an image.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        # Planning all maps of a run in one block takes more than giving each its turn.
        options.enable_mem_pattern = False
        # Loading copies weights about: what is freed goes back before maps are made.
        with lean_allocator():
            try:
                self._session = onnxruntime.InferenceSession(
                    str(graph), options, providers=["CPUExecutionProvider"]
                )
            except Exception as error:  # the runtime has no base class of its errors
                reason = str(error).split("\n", 1)[0]
                raise AddaptError(
                    f"ONNX Runtime {onnxruntime.__version__} cannot run the graph {graph}: "
                    f"{reason}. Install a newer one: pip install --upgrade onnxruntime"
                ) from error

    def run(
        self, outputs: Sequence[str], inputs: Mapping[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[Any]]:
        """Return the outputs that are asked for, by name, of the inputs.

        Raises:
            AddaptError: the runtime failed, for lack of memory mostly.
        """
        try:
            results: list[npt.NDArray[Any]] = self._session.run(list(outputs), dict(inputs))
        except Exception as error:  # the runtime has no base class of its errors
            reason = str(error).split("\n", 1)[0]
            raise AddaptError(
                f"ONNX Runtime {onnxruntime.__version__} failed: {reason}. Free some memory, or "
                "give smaller images (`image_px`)."
            ) from error
        return results

    def run_each(
        self, outputs: Sequence[str], inputs: Sequence[Mapping[str, npt.NDArray[Any]]]
    ) -> Iterator[list[npt.NDArray[Any]]]:
        """Yield what `run` gives for each of the inputs, in their order, some at the same time.

        Raises:
            AddaptError: as `run`.
        """
        if self._side_by_side == 1 or len(inputs) == 1:
            yield from (self.run(outputs, each) for each in inputs)
            return
        with ThreadPoolExecutor(self._side_by_side) as pool:
            yield from pool.map(lambda each: self.run(outputs, each), inputs)


class Sessions:
    """Sessions by what they are for; the ones used last are kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Session] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Session]) -> Session:
        """Return the session of a key, made if it is not kept."""
        session = self._kept.pop(key, None)
        if session is None:
            while len(self._kept) >= KEPT_SESSIONS:  # freed before the next is made
                self._kept.popitem(last=False)
            session = make()
        self._kept[key] = session
        return session

    def release(self) -> None:
        """Let go of all."""
        self._kept.clear()
