"""One process per directory: a lock file that holds the process id of its owner."""

import fcntl
import os
from types import TracebackType

from jackcapture.errors import ConflictError, StorageError

CONTROL_LOCK = "control.lock"
ENGINE_LOCK = "engine.lock"
STORE_LOCK = "store.lock"
"""Names of the lock files, in the runtime directory and (the last) in the store."""


class ProcessLock:
    """An flock on `path`, held until `release` or the end of the process; a lock of a dead process is no lock."""

    def __init__(self, path: str, what: str) -> None:
        """Take the lock; raises `ConflictError` with the owner's process id if another process has it."""
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"lock file {path} cannot be made: {error.strerror}", path=path) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise ConflictError(
                f"{what} is in use by process {owner or 'unknown'} (lock file {path}); end that process, or use "
                "another --root and --runtime",
                path=path,
                pid=int(owner) if owner.isdecimal() else None,
            ) from None
        except OSError as error:  # such as a network file system without locks
            os.close(self._descriptor)
            raise StorageError(f"lock file {path} cannot be locked: {error.strerror}", path=path) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock back. The file stays: removing it would let two processes lock two files of one name."""
        os.close(self._descriptor)

    def __enter__(self) -> "ProcessLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
