"""One process per directory: the second is refused, the dead hold nothing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jackcapture.errors import ConflictError, StorageError
from jackcapture.lock import ProcessLock

_HOLDER = """
import sys
from jackcapture.lock import ProcessLock
lock = ProcessLock(sys.argv[1], "store")  # held while it has a name
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the lock until its input ends or it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "locked\n"
            yield process
        finally:
            process.kill()


def test_a_second_process_is_refused_with_the_number_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "store.lock"
    with holder(path) as first:
        with pytest.raises(ConflictError, match=f"store X is in use by process {first.pid} ") as caught:
            ProcessLock(str(path), "store X")
        assert caught.value.details == {"path": str(path), "pid": first.pid}


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "store.lock"
    with holder(path) as first:
        first.kill()
        first.wait()
        with ProcessLock(str(path), "store"):
            assert path.read_text() == f"{os.getpid()}\n"


def test_a_lock_that_was_given_back_can_be_taken_again(tmp_path: Path) -> None:
    path = str(tmp_path / "store.lock")
    for _ in range(2):
        with ProcessLock(path, "store"), pytest.raises(ConflictError, match=f"process {os.getpid()} "):
            ProcessLock(path, "store")


def test_a_longer_number_that_was_there_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "store.lock"
    path.write_text("123456789012345\n")
    with ProcessLock(str(path), "store"):
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_lock_file_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be made"):
        ProcessLock(str(tmp_path / "missing" / "store.lock"), "store")
