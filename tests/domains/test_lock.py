"""One writer at a time, whoever it is and however it ends."""

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from addapt._errors import DomainError
from addapt.domains import lock, temporary_prefix
from addapt.domains.lock import is_being_written, writing
from addapt.domains.store import Store
from tests.domains.domain_cases import INFO, tensors
from tests.domains.holding import another_writer

HOLD = """
import sys, time
from pathlib import Path
from addapt.domains.lock import writing
with writing(Path(sys.argv[1]), *sys.argv[2:]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "WAIT_S", 0.1)


def in_another_thread(folder: Path, *names: str) -> str | None:
    """Try to write from another thread, which is as good as another process; return the error."""
    errors: list[str] = []

    def write() -> None:
        try:
            with writing(folder, *names):
                pass
        except DomainError as error:
            errors.append(str(error))

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    return errors[0] if errors else None


def test_a_second_writer_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    with writing(tmp_path / "new" / "store", "a"):
        message = in_another_thread(tmp_path / "new" / "store", "a")
        assert message is not None
        assert message.startswith(f"Domain 'a' in {tmp_path / 'new' / 'store'} is being learned")
        assert "wait until it has finished" in message
    assert in_another_thread(tmp_path / "new" / "store", "a") is None


def test_other_domains_and_stores_are_free(tmp_path: Path) -> None:
    with writing(tmp_path / "one", "a", "A"):  # which share a lock
        assert in_another_thread(tmp_path / "one", "A") is not None
        assert in_another_thread(tmp_path / "one", "b") is None
        assert in_another_thread(tmp_path / "two", "a") is None
        assert in_another_thread(tmp_path / "one", "0", "a") is not None
        assert in_another_thread(tmp_path / "one", "0") is None  # it was free again


def test_who_has_the_lock_may_take_it_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), writing(tmp_path, "a"):
        with writing(tmp_path, "b", "a"):
            pass
        assert in_another_thread(tmp_path, "a") is not None  # the inner end has not freed it
        assert in_another_thread(tmp_path, "b") is None
        raise KeyboardInterrupt
    assert in_another_thread(tmp_path, "a") is None


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    words = [sys.executable, "-c", HOLD, str(tmp_path), "a"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert is_being_written(tmp_path, "a")
        with pytest.raises(DomainError, match="by another program"):
            Store(tmp_path).save("a", INFO, tensors())
        process.send_signal(signal.SIGKILL)
    assert not is_being_written(tmp_path, "a")
    Store(tmp_path).save("a", INFO, tensors())


def test_asking_makes_nothing(tmp_path: Path) -> None:
    assert not is_being_written(tmp_path, "a")
    with pytest.raises(DomainError, match="cannot be called"), writing(tmp_path, "../a"):
        pass
    assert list(tmp_path.iterdir()) == []
    with writing(tmp_path, "a"):
        pass
    assert not is_being_written(tmp_path, "a")
    with writing(tmp_path, "a"):  # asking took nothing
        assert in_another_thread(tmp_path, "a") is not None


def test_save_rename_and_remove_wait_for_the_lock(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save("a", INFO, tensors())
    with another_writer(tmp_path, "a", "taken"):
        actions: tuple[Callable[[], None], ...] = (
            lambda: store.save("a", INFO, {}),
            lambda: store.remove("a"),
            lambda: store.rename("a", "b"),
        )
        for act in actions:
            with pytest.raises(DomainError, match="'a' in .* is being learned"):
                act()
        store.save("other", INFO, tensors())
        with pytest.raises(DomainError, match="'taken' in .* is being learned"):
            store.rename("other", "taken")
        assert set(store.read("a")[1]) == set(tensors())  # readers need no lock
    store.remove("a")
    assert store.names() == ("other",)


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(DomainError, match=r"without locks.*`store`"), writing(tmp_path, "a"):
        pass


def test_a_writer_removes_what_was_left_over_unless_it_is_in_use(tmp_path: Path) -> None:
    unfinished = Store(tmp_path).state_path("a")
    (tmp_path / ".learning" / "b").mkdir(parents=True)
    unfinished.mkdir()
    dead = [
        tmp_path / ".a.safetensors.0123abcd.tmp",
        tmp_path / ".a.history.jsonl.0123abcd.tmp",
        tmp_path / ".a.0123abcd.tmp",  # as addapt called it before there were locks
        unfinished / ".state.safetensors.0123abcd.tmp",
        tmp_path / ".a.history.safetensors.0123abcd.tmp",  # of a domain called "a.history"
        tmp_path / ".c.safetensors.0123abcd.tmp",
        tmp_path / f"{temporary_prefix('a')}z_9xy012.tmp",  # as the system names scratch files
    ]
    kept = [
        tmp_path / ".b.safetensors.0123abcd.tmp",
        tmp_path / ".learning" / "b" / ".state.safetensors.0123abcd.tmp",
        tmp_path / ".a.safetensors.tmp",
        tmp_path / "a.safetensors.0123abcd.tmp",
        unfinished / "state.safetensors",
    ]

    def touch() -> None:
        for path in dead + kept:
            path.touch()

    with another_writer(tmp_path, "b", act=touch):
        with writing(tmp_path, "a"):
            assert [path for path in dead if path.exists()] == []
        assert [path for path in kept if not path.exists()] == []
    with writing(tmp_path, "a"):
        assert [path for path in kept[:2] if path.exists()] == []
