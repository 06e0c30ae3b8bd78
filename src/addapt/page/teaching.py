"""Teaching on the device: one domain at a time, in a thread, watched by whoever asks."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from addapt._errors import AddaptError, DomainError
from addapt.engines.base import Engine
from addapt.learning import (
    Controls,
    Learner,
    LearningStopped,
    Progress,
    unfinished_threads,
    use_fastest_threads,
)
from addapt.learning.place import refuse_place
from addapt.page.uploads import Uploads

IDLE, LEARNING, LEARNED, STOPPED, FAILED = "idle", "learning", "learned", "stopped", "failed"


class Busy(AddaptError):
    """A domain is being taught already."""


@dataclass(frozen=True)
class Lesson:
    """What is taught, how far it is, and how it ended.

    `phase`, `done` and `total` are those of `Progress`; `seconds_left` is a guess, None before
    there is one. `words` say what went wrong, or what to look at.
    """

    state: str = IDLE
    name: str = ""
    phase: str = ""
    done: int = 0
    total: int = 0
    accuracy: float | None = None
    seconds_left: float | None = None
    words: str = ""


class Teaching:
    """Teaches one domain at a time.

    Args:
        open_engine: opens an engine of its own for each lesson, so that what recognises meanwhile
            is not disturbed.
        learner: of the store.
        uploads: where the images are.
        threads: of the processor; None tries how many are the fastest.
    """

    def __init__(
        self,
        open_engine: Callable[[], Engine],
        learner: Learner,
        uploads: Uploads,
        threads: int | None = None,
    ) -> None:
        self._open_engine, self._store, self._uploads = open_engine, learner.store, uploads
        self._threads = threads
        self._changed = threading.Condition()
        self._lesson, self._version = Lesson(), 0
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._phase, self._phase_from, self._phase_s = "", 0, 0.0

    def start(self, name: str, *, images: int | None, extend: bool, restart: bool) -> None:
        """Begin to teach a domain, or go on where that was stopped.

        Args:
            name: of the domain.
            images: how many have been sent; None goes on with those that are there.
            extend: as of `Learner.learn`.
            restart: likewise.

        Raises:
            Busy: a domain is being taught.
            DomainError: there is one of that name, or its images are not all there.
        """
        folder, there = self._uploads.folder(name), self._uploads.count(name)
        with self._changed:
            if self._lesson.state == LEARNING:
                raise Busy(
                    f"{self._lesson.name!r} is being taught: wait until that has finished, or "
                    "stop it."
                )
            if not there or images not in (None, there):
                raise DomainError(
                    f"Of {images or 'the'} images of {name!r}, {there} have arrived: send them "
                    "again."
                )
            refuse_place(self._store, name, folder, over=extend or restart)
            self._stop.clear()
            self._phase = ""
            self._thread = threading.Thread(
                target=self._teach, args=(name, extend, restart), daemon=True
            )
            self._set(Lesson(LEARNING, name))
            self._thread.start()

    def stop(self, wait_s: float = 0.0) -> None:
        """Ask the lesson to stop after its step; what was learned is kept, to go on with."""
        self._stop.set()
        if self._thread is not None and wait_s:
            self._thread.join(wait_s)

    def is_teaching(self, name: str) -> bool:
        """Whether it is this domain that is being taught."""
        lesson = self._lesson
        return lesson.state == LEARNING and lesson.name == name

    def wait(self, version: int, timeout_s: float) -> tuple[int, Lesson]:
        """Return the lesson as soon as it is another than that of `version`, or after a time.

        The number that comes with it is the version to wait with next; -1 waits for none.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._version != version, timeout_s)
            return self._version, self._lesson

    def _set(self, lesson: Lesson) -> None:
        with self._changed:
            self._lesson, self._version = lesson, self._version + 1
            self._changed.notify_all()

    def _teach(self, name: str, extend: bool, restart: bool) -> None:
        try:
            self._set(self._learned(name, extend=extend, restart=restart))
        except LearningStopped:
            words = "Stopped: it goes on from here."
            self._set(replace(self._lesson, state=STOPPED, seconds_left=None, words=words))
        except AddaptError as error:
            self._set(Lesson(FAILED, name, words=str(error)))
        except BaseException as error:  # the server goes on, and the page has to be told
            self._set(Lesson(FAILED, name, words=f"{type(error).__name__}: {error}"))
            raise

    def _learned(self, name: str, *, extend: bool, restart: bool) -> Lesson:
        engine = self._open_engine()
        threads = self._threads
        if threads is None and not restart:
            threads = unfinished_threads(self._store.state_path(name))
        if threads is None:
            use_fastest_threads(engine)
        else:
            engine.threads = threads
        controls = Controls(on_progress=self._watch, should_stop=self._stop.is_set)
        learner, folder = Learner(engine, self._store.folder), self._uploads.folder(name)
        report = learner.learn(name, folder, extend=extend, restart=restart, controls=controls)
        with suppress(OSError):  # the domain is there; its images are in nobody's way
            self._uploads.remove(name)
        words = " ".join((*report.unreadable, *report.warnings))
        return Lesson(LEARNED, name, accuracy=report.val_accuracy, words=words)

    def _watch(self, progress: Progress) -> None:
        now_s = time.monotonic()
        if progress.phase != self._phase:
            self._phase, self._phase_from, self._phase_s = progress.phase, progress.done, now_s
        done = progress.done - self._phase_from
        left_s = (now_s - self._phase_s) / done * (progress.total - progress.done) if done else None
        told = (progress.phase, progress.done, progress.total, progress.accuracy, left_s)
        self._set(Lesson(LEARNING, self._lesson.name, *told))
