"""Real disks for one test: small ones, and one whose file system can be frozen; nothing of them left afterwards."""

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from parts.rig import wait_for

LONGEST_FREEZE = 20
"""Seconds after which a frozen disk is thawed in any case, also when the test run has died."""

SmallDisk = Callable[[int], Path]
"""What the fixture `small_disk` gives: mounts a file system of so many bytes and gives its directory."""

# Each waits for the end of its standard input, which comes when whoever started it is done, or has died.
_GUARD = 'cat > /dev/null; fsfreeze --unfreeze "$1"; umount --lazy "$1"'
_THAW = 'timeout "$2" cat > /dev/null; fsfreeze --unfreeze "$1"'


def _run(*command: str) -> None:
    """Run a command of the system; skip the test, with the reason, where that is not allowed."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{command[0]} is not allowed here: {done.stderr.strip()}")


@contextlib.contextmanager
def _until_the_end(script: str, *arguments: str) -> Iterator[None]:
    """Run a shell script that waits for the end of this block, or of this process."""
    command = ["sh", "-c", script, "guard", *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


@contextlib.contextmanager
def _mounted(directory: Path, *options: str) -> Iterator[Path]:
    directory.mkdir()
    _run("mount", *options, str(directory))
    with _until_the_end(_GUARD, str(directory)):
        try:
            yield directory
        finally:
            subprocess.run(["umount", str(directory)], check=True)


def memory_disk(directory: Path, size: int) -> AbstractContextManager[Path]:
    """A file system of `size` bytes in memory."""
    return _mounted(directory, "-t", "tmpfs", "-o", f"size={size}", "jackcapture-test")


class FreezableDisk:
    """An ext4 of its own on a loop device, as on a real disk; a context manager."""

    def __init__(self, folder: Path, size: int) -> None:
        self.path = folder / "freezable"
        self._image = folder / "image"
        self._size = size
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "FreezableDisk":
        with self._image.open("wb") as image:
            image.truncate(self._size)
        _run("mkfs.ext4", "-q", "-F", str(self._image))
        _run("fsfreeze", "--version")
        self._stack.enter_context(_mounted(self.path, "-o", "loop", str(self._image)))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze the file system for the block: whatever changes something there waits."""
        with _until_the_end(_THAW, str(self.path), str(LONGEST_FREEZE)):
            _run("fsfreeze", "--freeze", str(self.path))
            try:
                yield
            finally:
                subprocess.run(["fsfreeze", "--unfreeze", str(self.path)], check=True)


def fill(disk: Path, leave: int) -> Path:
    """Fill a disk but for some bytes, also once more; give the file that does."""
    filler = disk / "filler"
    with filler.open("ab") as file:

        def grow() -> bool:
            space = os.statvfs(disk)
            more = space.f_bavail * space.f_frsize - leave
            try:
                os.posix_fallocate(file.fileno(), 0, max(1, os.fstat(file.fileno()).st_size + more))
            except OSError as error:  # something was written meanwhile
                if error.errno != errno.ENOSPC:
                    raise
                return False
            return True

        wait_for(grow, bool, f"a full {disk}")
    return filler
