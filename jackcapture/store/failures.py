"""The one place where a failed file call becomes an error of jackcapture."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from jackcapture.errors import NotFoundError, StorageError, StorageFullError
from jackcapture.model.addresses import CasAddress, Content, Staging, StagingOverview
from jackcapture.store.files import Files

_FULL = {
    errno.ENOSPC: ("the file system is full", "make room there"),
    errno.EDQUOT: ("the disk quota is used up", "make room, or have it raised"),
}
_ADVICE = {
    errno.EACCES: "the user who runs jackcapture must be able to read and write there",
    errno.EPERM: "the user who runs jackcapture must own what is there",
    errno.EROFS: "the store must lie on a file system that is mounted for writing",
}


def describe(address: CasAddress) -> str:
    """Name an address in a message."""
    match address:
        case Content(name):
            return f"content {name}"
        case Staging(name):
            return f"staging file {name}"
        case StagingOverview(name):
            return f"overview of staging file {name}"


def _free_bytes(files: Files, path: str) -> int | None:
    """Bytes free on the file system of `path`, or of what is above it if that is not there."""
    while path:
        with suppress(OSError):
            return files.free_bytes(path)
        path = path.rpartition("/")[0]
    return None


def _count(number: int | None) -> str:
    return "unknown" if number is None else str(number)


@contextmanager
def translated(
    files: Files, path: str, *, needed: int | None = None, address: CasAddress | None = None
) -> Iterator[None]:
    """Turn an OSError into StorageFullError, NotFoundError or another StorageError.

    `path` is named if the error itself names none, `needed` is the bytes that were to be written, and
    `address` is what does not exist if the path does not.
    """
    try:
        yield
    except OSError as error:
        number = error.errno
        name = error.filename if isinstance(error.filename, str) else path
        reason = error.strerror or str(error)
        if number in _FULL:
            free = _free_bytes(files, name)
            what, advice = _FULL[number]
            raise StorageFullError(
                f"{name}: {what}: {_count(needed)} bytes needed, {_count(free)} free; {advice}",
                path=name,
                bytes_needed=needed,
                bytes_free=free,
            ) from error
        if number == errno.ENOENT and address is not None:
            raise NotFoundError(f"there is no {describe(address)} in the store", path=name) from error
        advice = f"; {_ADVICE[number]}" if number in _ADVICE else ""
        raise StorageError(f"{name}: {reason}{advice}", path=name) from error
