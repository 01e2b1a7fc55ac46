"""SQLite connections: one that writes, one per thread that reads, and one place where their errors are translated."""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator

from jackcapture.errors import ConflictError, StorageDamagedError, StorageError, StorageFullError

_BUSY_SECONDS = 10.0
_FEW_BYTES = 1 << 16


@contextlib.contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn SQLite's errors into those of jackcapture."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        # When its shared memory cannot grow, SQLite calls a full disk an I/O error.
        if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _free_bytes(path) < _FEW_BYTES):
            free = _free_bytes(path)
            raise StorageFullError(
                f"the disk is too full for the catalog {path}: {free} bytes are free; make room there",
                path=path,
                bytes_free=free,
            ) from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise StorageDamagedError(
                f"the catalog {path} is damaged ({error}); what was recorded is safe in the store, from which "
                "'jackcapture store rebuild' makes a new catalog",
                path=path,
            ) from error
        if isinstance(error, sqlite3.IntegrityError):
            raise ConflictError(f"the catalog {path} refuses this: {error}", path=path) from error
        raise StorageError(f"the catalog {path} cannot be used: {error}", path=path) from error


def _free_bytes(path: str) -> int:
    space = os.statvfs(os.path.dirname(path))
    return space.f_bavail * space.f_frsize


class Connections:
    """The connections to one file. `write` may be used from any thread, one at a time; `read` gives each its own."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        try:
            with translated(path):
                self.writer = self._open()
                os.chmod(path, 0o600)
                self.writer.execute("PRAGMA journal_mode = WAL")
                # FULL: a sealed chunk's row is durable when the commit returns, so its staging copy may go.
                self.writer.execute("PRAGMA synchronous = FULL")
                self.writer.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Give the writing connection inside one transaction, committed at the end or rolled back on any error."""
        with self._lock, translated(self.path):
            self.writer.execute("BEGIN IMMEDIATE")
            try:
                yield self.writer
                self.writer.execute("COMMIT")
            except BaseException:
                # After some errors, such as a full disk, SQLite has rolled back by itself; after others it has not.
                if self.writer.in_transaction:
                    self.writer.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Give this thread's reading connection."""
        with translated(self.path):
            connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._open()
                connection.execute("PRAGMA query_only = ON")
                self._local.connection = connection
            yield connection

    def close(self) -> None:
        """Close all; no other thread may be using one."""
        with self._lock:
            for connection in self._opened:
                connection.close()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        with self._lock:
            self._opened.append(connection)
        return connection
