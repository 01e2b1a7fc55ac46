"""Records what the store does to files and what the catalog commits, for `crash_model`."""

import contextlib
import errno
import mmap
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

from jackcapture.catalog import Catalog
from jackcapture.catalog.connections import Connections
from jackcapture.catalog.keeping import Keeping
from jackcapture.store import Files
from jackcapture.store.files import Buffer
from parts.crash_events import (
    ROOT,
    SECTOR,
    Born,
    Committed,
    Committing,
    Data,
    Event,
    Inode,
    Log,
    Mode,
    Names,
    Promised,
    Size,
    Snapshot,
    Synced,
    Withdrawn,
)
from parts.crash_model import Disk, Image

CATALOG = "catalog.db"

_MODE_OF_SQLITE = 0o644
"""Of a file that SQLite makes."""

# What rows point to. A row that is marked as being removed points to nothing.
_NAMED = (
    "SELECT content_hash FROM chunks WHERE removing IS NULL"
    " UNION SELECT overview_hash FROM chunks WHERE overview_hash IS NOT NULL AND removing IS NULL"
    " UNION SELECT content_hash FROM artifacts WHERE NOT removing"
)


class KilledError(BaseException):
    """Ends everything that is under way, as SIGKILL does."""


def snapshot_of(data: bytes) -> Snapshot:
    """Read a catalog from the bytes of its file; raises sqlite3.Error if they are none."""
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        # Bytes 18 and 19 of the header say WAL, which a database in memory cannot have.
        db.deserialize(data[:18] + b"\1\1" + data[20:])
        return Snapshot(data, frozenset(row[0] for row in db.execute(_NAMED)))


class RecordingFiles(Files):
    """Does each call for real, and notes what changes; the first `left` changing calls only, then it is killed."""

    def __init__(self, recording: "Recording") -> None:
        self._recording = recording
        self._note = recording.note
        self._fds: dict[int, int] = {}
        self.left = 1 << 30

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        with self._recording.lock:
            self._recording.look_at_catalog()
            if self.left == 0:
                raise KilledError
            self.left -= 1
            yield

    def open(self, path: str, flags: int, mode: int = 0o600) -> int:
        if not flags & os.O_CREAT:
            self._recording.look_at_catalog()
            fd = super().open(path, flags, mode)
            self._fds[fd] = self._recording.inode_of(os.fstat(fd))
            return fd
        with self._changing():
            is_new = not os.path.lexists(path)
            fd = super().open(path, flags, mode)
            if is_new:
                self._fds[fd] = self._recording.born(path, "create")
            else:
                self._fds[fd] = self._recording.inode_of(os.fstat(fd))
                if flags & os.O_TRUNC:
                    self._note(Size(self._fds[fd], 0))
            return fd

    def close(self, fd: int) -> None:
        self._fds.pop(fd, None)
        super().close(fd)

    def write(self, fd: int, data: Buffer, position: int) -> int:
        with self._changing():
            written = super().write(fd, data, position)
            self._note(Data(self._fds[fd], position, bytes(data[:written])))
            return written

    def fallocate(self, fd: int, size: int) -> None:
        with self._changing():
            before = os.fstat(fd).st_size
            super().fallocate(fd, size)
            if size > before:
                self._note(Size(self._fds[fd], size))

    def ftruncate(self, fd: int, size: int) -> None:
        with self._changing():
            super().ftruncate(fd, size)
            self._note(Size(self._fds[fd], size))

    def fchmod(self, fd: int, mode: int) -> None:
        with self._changing():
            super().fchmod(fd, mode)
            self._note(Mode(self._fds[fd], mode))

    def fsync(self, fd: int) -> None:
        with self._changing():
            super().fsync(fd)
            self._note(Synced(self._fds[fd]))

    def link(self, source: str, target: str) -> None:
        with self._changing():
            super().link(source, target)
            self._recording.named("link", target, self._recording.inode_at(source))

    def rename(self, source: str, target: str) -> None:
        with self._changing():
            inode = self._recording.inode_at(source)
            super().rename(source, target)
            self._recording.renamed(source, target, inode)

    def unlink(self, path: str) -> None:
        with self._changing():
            super().unlink(path)
            self._recording.named("unlink", path, None)

    def mkdir(self, path: str) -> None:
        with self._changing():
            super().mkdir(path)
            self._recording.born(path, "mkdir")

    def rmdir(self, path: str) -> None:
        with self._changing():
            super().rmdir(path)
            self._recording.named("rmdir", path, None)

    def fsync_directory(self, path: str) -> None:
        with self._changing():
            super().fsync_directory(path)
            self._note(Synced(self._recording.inode_of(os.stat(path))))


class FilesWithoutLinks(RecordingFiles):
    """A file system without hard links."""

    def link(self, source: str, target: str) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), source, None, target)


class FilesOnTwoDisks(RecordingFiles):
    """Staging is on another file system than content."""

    def link(self, source: str, target: str) -> None:
        if "/staging/" in source:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), source, None, target)
        super().link(source, target)


class Recording:
    """All that happens below a directory from now on; what is there already is durable.

    Files of the catalog are left out: SQLite looks after them, and `watch` notes its commits. Who puts another file in
    the place of `catalog` (its path) has these files recorded too: by `files`, and what SQLite does to them in between
    by `look_at_catalog`.
    """

    def __init__(self, base: Path, *, catalog: Path | None = None) -> None:
        self.lock = threading.RLock()
        self.base = os.path.realpath(base)
        self._catalog_file = catalog and os.path.realpath(catalog)
        self._events: list[Event] = []
        self._initial: dict[int, Inode] = {}
        self._catalog: Snapshot | None = None
        self._inodes: dict[tuple[int, int], int] = {}  # by device and number, which are used again
        self._count = 0
        self._adopt(self.base)
        self._disk = Disk(self._initial)
        self.files = RecordingFiles(self)

    @property
    def log(self) -> Log:
        """What was recorded."""
        self.look_at_catalog()
        return Log(self._initial, self._catalog, tuple(self._events))

    def note(self, event: Event) -> None:
        """Note an event."""
        with self.lock:
            self._events.append(event)
            if self._catalog_file is not None:
                self._disk.apply(event)

    # --- what does not come by `files` ---

    def written(self, path: str, data: bytes, position: int = 0) -> None:
        """Write through a mapping, as the engine does, or note what another library has written as these bytes."""
        with self.lock:
            if not os.path.exists(path) or os.path.getsize(path) < position + len(data):
                raise ValueError(f"{path} is shorter than {position + len(data)} bytes, so no mapping reaches them")
            with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
                mapping[position : position + len(data)] = data
                inode = self._inodes.get(self._identity(os.fstat(file.fileno())))
            self.note(Data(self.born(path, "create") if inode is None else inode, position, data))

    def look_at_catalog(self) -> None:
        """Note what SQLite has done to files of the catalog since the last look, if they are recorded.

        Nothing of it is durable, as a catalog that is being made has `synchronous = OFF`. But before SQLite lets go of
        the log of the catalog that is in use, it has merged it into the file, and has synced that: the one fsync of
        SQLite's that is relied upon here. Of -shm, the index of a log, only the name counts: whoever opens a catalog
        first makes it anew.
        """
        if self._catalog_file is None:
            return
        with self.lock:
            folder, catalog = os.path.split(self._catalog_file)
            below = os.path.relpath(folder, self.base)
            known = self._disk.present().files
            seen = {os.path.basename(path) for path in known if os.path.dirname(path) == below}
            names = {name for name in seen | set(os.listdir(folder)) if name.startswith(catalog)}
            for name in sorted(names, key=lambda name: (name != catalog, name)):
                path = f"{folder}/{name}"
                if not os.path.exists(path):
                    self.named("unlink by SQLite", path, None)
                elif self._changed(path, known.get(f"{below}/{name}")) and name == catalog:
                    self.note(Synced(self.inode_at(path)))

    def _changed(self, path: str, before: Image | None) -> bool:
        """Note what has become of a file; tell whether anything has."""
        if before is None:
            before = Image(b"", _MODE_OF_SQLITE)
            self.born(path, "create by SQLite", before.mode)
        if path.endswith("-shm"):
            return False
        inode = self.inode_at(path)
        data, mode = Path(path).read_bytes(), stat.S_IMODE(os.lstat(path).st_mode)
        if mode != before.mode:
            self.note(Mode(inode, mode))
        if len(data) < len(before.data):
            self.note(Size(inode, len(data)))
        differing = [
            at for at in range(0, len(data), SECTOR) if data[at : at + SECTOR] != before.data[at : at + SECTOR]
        ]
        if differing:
            first, end = differing[0], differing[-1] + SECTOR
            self.note(Data(inode, first, data[first:end]))
        return Image(data, mode) != before

    def watch(self, catalog: Catalog) -> None:
        """Note each commit of this catalog from now on; its rows so far are durable."""
        catalog.close()
        connections = _RecordingConnections(catalog._connections.path, self)
        catalog._connections = connections
        catalog.keeping = Keeping(connections)
        self._catalog = connections.snapshot()

    def promise(self, content: str) -> None:
        """Note that somebody was told that this content, by hash, is safe."""
        self.note(Promised(content))

    def withdraw(self, content: str) -> None:
        """Note that this content, by hash, may go."""
        self.note(Withdrawn(content))

    # --- inodes and names ---

    def inode_of(self, status: os.stat_result) -> int:
        """Give the model's number of a file or directory."""
        return self._inodes[self._identity(status)]

    def inode_at(self, path: str) -> int:
        """Give the model's number of what has this name."""
        return self.inode_of(os.lstat(path))

    def born(self, path: str, call: str, mode: int | None = None) -> int:
        """Note a new file or directory and its name; it was made with the mode that it has, or with another one."""
        status = os.lstat(path)
        number = self._number(status)
        self.note(Born(number, stat.S_IMODE(status.st_mode) if mode is None else mode, stat.S_ISDIR(status.st_mode)))
        self.named(call, path, number)
        return number

    def named(self, call: str, path: str, inode: int | None) -> None:
        """Note that a name now stands for this inode, or for nothing."""
        directory, name = os.path.split(path)
        self.note(Names(self.inode_of(os.stat(directory)), ((name, inode),), call))

    def renamed(self, source: str, target: str, inode: int) -> None:
        """Note a rename: one change in one directory, two in two."""
        if os.path.dirname(source) != os.path.dirname(target):
            self.named("rename to", target, inode)
            self.named("rename from", source, None)
            return
        directory = self.inode_of(os.stat(os.path.dirname(source)))
        changes = ((os.path.basename(source), None), (os.path.basename(target), inode))
        self.note(Names(directory, changes, "rename"))

    def _identity(self, status: os.stat_result) -> tuple[int, int]:
        return status.st_dev, status.st_ino

    def _number(self, status: os.stat_result) -> int:
        number = self._inodes[self._identity(status)] = self._count
        self._count += 1
        return number

    def _adopt(self, path: str) -> int:
        status = os.lstat(path)
        known = self._inodes.get(self._identity(status))
        if known is not None:
            return known
        number = self._number(status)
        assert (number == ROOT) == (path == self.base)
        inode = self._initial[number] = Inode(stat.S_IMODE(status.st_mode), stat.S_ISDIR(status.st_mode))
        if inode.is_directory:
            for name in sorted(os.listdir(path)):
                if self._catalog_file is not None or not name.startswith(CATALOG):
                    inode.names[name] = self._adopt(f"{path}/{name}")
        else:
            inode.set_data(Path(path).read_bytes())
        return number


class _RecordingConnections(Connections):
    def __init__(self, path: str, recording: Recording) -> None:
        super().__init__(path)
        self._recording = recording

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        with super().write() as db:
            yield db
        after = self.snapshot()
        self._recording.note(Committing(after))
        self._recording.note(Committed(after))

    def snapshot(self) -> Snapshot:
        return snapshot_of(self.writer.serialize())
