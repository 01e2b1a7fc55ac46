"""What the files of an export are written into: a new folder, or a new tar archive. Everything here blocks.

A file is written by a function, into a descriptor from some byte on, so that the kernel may copy it there; then it is
read again for its hashes. Source of the archive's format: POSIX.1-2001, pax, as Python's tarfile writes it.
"""

import errno
import hashlib
import os
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from blake3 import blake3

from jackcapture.control.slices.layouts import READ_BYTES, write_at
from jackcapture.model.durations import SECOND_NS

Write = Callable[[int, int], None]
"""Writes a file into a descriptor, from a byte on."""

Moved = Callable[[int], None]
"""Told the bytes of each step; may raise, to cancel."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written: its path in the target, its bytes, and their BLAKE3 and SHA-512."""

    path: str
    bytes: int
    content_hash: str
    sha512: str


class Target(ABC):
    """Takes files, in the order of their paths; a path has `/` between its parts and does not begin with one.

    `mtime_ns` is the time that all of them bear. `has_sha512`: also that hash is made, else it is empty.
    """

    def __init__(self, mtime_ns: int, moved: Moved, *, has_sha512: bool = False) -> None:
        self._mtime_ns = mtime_ns
        self._moved = moved
        self._has_sha512 = has_sha512
        self._folders: set[str] = set()
        self.written: list[Written] = []

    @abstractmethod
    def add(self, path: str, size: int, write: Write) -> Written:
        """Take a file of `size` bytes, and make it durable."""

    def add_bytes(self, path: str, data: bytes) -> Written:
        """Take a file that is in memory."""
        return self.add(path, len(data), lambda target, position: write_at(target, data, position))

    @abstractmethod
    def _make_folder(self, path: str) -> None:
        """Make one folder, whose parent is there."""

    def _make_parents(self, path: str) -> None:
        parts = path.split("/")[:-1]
        for count in range(1, len(parts) + 1):
            folder = "/".join(parts[:count])
            if folder not in self._folders:
                self._make_folder(folder)
                self._folders.add(folder)

    def _note(self, path: str, target: int, position: int, size: int) -> Written:
        by_blake3, by_sha512 = blake3(), hashlib.sha512()
        end = position + size
        while position < end:
            block = os.pread(target, min(READ_BYTES, end - position), position)
            if not block:
                raise OSError(errno.EIO, f"{path} ends {end - position} bytes too early")
            by_blake3.update(block)
            if self._has_sha512:
                by_sha512.update(block)
            position += len(block)
            self._moved(len(block))
        written = Written(path, size, by_blake3.hexdigest(), by_sha512.hexdigest() if self._has_sha512 else "")
        self.written.append(written)
        return written


class FolderTarget(Target):
    """Writes files into a folder that is there, and empty."""

    def __init__(self, folder: str, mtime_ns: int, moved: Moved, *, has_sha512: bool = False) -> None:
        super().__init__(mtime_ns, moved, has_sha512=has_sha512)
        self._folder = folder

    def add(self, path: str, size: int, write: Write) -> Written:
        """Take a file of `size` bytes, and make it durable."""
        self._make_parents(path)
        whole = os.path.join(self._folder, path)
        target = os.open(whole, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            write(target, 0)
            written = self._note(path, target, 0, size)
            os.utime(target, ns=(self._mtime_ns, self._mtime_ns))
            os.fsync(target)
        finally:
            os.close(target)
        return written

    def _make_folder(self, path: str) -> None:
        os.mkdir(os.path.join(self._folder, path))


class TarTarget(Target):
    """Writes files into an uncompressed tar archive, in a folder `top`; `finish` completes it."""

    def __init__(self, target: int, top: str, mtime_ns: int, moved: Moved) -> None:
        super().__init__(mtime_ns, moved)
        self._target = target
        self._top = top
        self._end = 0

    def add(self, path: str, size: int, write: Write) -> Written:
        """Take a file of `size` bytes; the archive is made durable as a whole."""
        self._make_parents(f"{self._top}/{path}")
        entry = tarfile.TarInfo(f"{self._top}/{path}")
        entry.size = size
        self._add_entry(entry, 0o644)
        begin = self._end
        write(self._target, begin)
        written = self._note(path, self._target, begin, size)
        self._end = _whole(begin + size, tarfile.BLOCKSIZE)
        return written

    def finish(self) -> None:
        """Write the end of the archive."""
        end = _whole(self._end + 2 * tarfile.BLOCKSIZE, tarfile.RECORDSIZE)
        os.ftruncate(self._target, end)  # zeros, also in the gap after the last file

    def _make_folder(self, path: str) -> None:
        entry = tarfile.TarInfo(path)
        entry.type = tarfile.DIRTYPE
        self._add_entry(entry, 0o755)

    def _add_entry(self, entry: tarfile.TarInfo, mode: int) -> None:
        entry.mode, entry.mtime = mode, self._mtime_ns // SECOND_NS
        head = entry.tobuf(tarfile.PAX_FORMAT)
        write_at(self._target, head, self._end)
        self._end += len(head)


def _whole(size: int, of: int) -> int:
    return -(-size // of) * of
