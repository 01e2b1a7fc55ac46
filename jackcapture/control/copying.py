"""Moves bytes between files in the kernel; writes files and folders outside the store, never leaving half of one."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator

from jackcapture.errors import ConflictError, InvalidValueError, StorageError, StorageFullError
from jackcapture.store import Files
from jackcapture.store.root import sync_directory

STEP_BYTES = 8 << 20
"""What is moved at a time: enough to be fast, little enough to be cancelled and to show progress."""

UNFINISHED = ".jackcapture-"
"""How the names begin of what is not finished, beside what it is to become. A kill leaves it; nobody needs it then."""

_FILES = Files()
_BEGIN_BYTES = 1 << 20  # the disk begins at once to write a step of so many; of fewer, fsync is as quick

_NOT_ACROSS = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ETXTBSY}


def copy_range(
    source: int, offset: int, target: int, target_offset: int, length: int, moved: Callable[[int], None]
) -> None:
    """Copy `length` bytes between two descriptors; `moved` is told the bytes of each step and may raise to cancel.

    The disk begins to write what was copied at once: whoever copies much makes it durable then, and waits less.
    """
    while length:
        step = _copy_some(source, offset, target, target_offset, min(length, STEP_BYTES))
        if step == 0:
            raise OSError(errno.EIO, f"the source ends {length} bytes too early")
        if step >= _BEGIN_BYTES:
            # Dirty pages are queued for writing, and stay; of those that are written already, some may be read again.
            os.posix_fadvise(target, target_offset, step, os.POSIX_FADV_DONTNEED)
        offset += step
        target_offset += step
        length -= step
        moved(step)


def _copy_some(source: int, offset: int, target: int, target_offset: int, length: int) -> int:
    try:
        return os.copy_file_range(source, target, length, offset, target_offset)
    except OSError as error:
        if error.errno not in _NOT_ACROSS:
            raise
    os.lseek(target, target_offset, os.SEEK_SET)
    return os.sendfile(target, source, offset, length)


def check_new_file(path: str, what: str = "file") -> None:
    """Raise an error that says why, unless a new file, or what else, can be made at `path`."""
    folder = os.path.dirname(path)
    if not os.path.isabs(path) or "\0" in path:
        raise InvalidValueError(f"{path!r} is not an absolute path", path=path)
    if os.path.lexists(path):
        raise _exists(path, what)
    if not os.path.isdir(folder):
        raise InvalidValueError(f"{path} cannot be written: {folder} is not a directory; make it first", path=path)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InvalidValueError(f"{path} cannot be written: {folder} is not writable by this user", path=path)


@contextlib.contextmanager
def new_file(path: str) -> Iterator[int]:
    """Give a descriptor whose bytes become the file `path` at the end of the block, all or nothing."""
    check_new_file(path)
    with errors_of(path):
        descriptor, temporary = tempfile.mkstemp(prefix=UNFINISHED, dir=os.path.dirname(path))
        try:
            try:
                yield descriptor
                os.fchmod(descriptor, 0o666 & ~_umask())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            _name(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


@contextlib.contextmanager
def new_folder(path: str) -> Iterator[str]:
    """Give an empty folder that becomes the folder `path` at the end of the block, all or nothing.

    Who makes files in it makes them durable; the folder itself is made so here.
    """
    check_new_file(path, "folder")
    with errors_of(path):
        temporary = tempfile.mkdtemp(prefix=UNFINISHED, dir=os.path.dirname(path))
        try:
            yield temporary
            os.chmod(temporary, 0o777 & ~_umask())
            for folder, _, _ in os.walk(temporary):
                sync_directory(_FILES, folder)
            try:
                os.mkdir(path)  # it is ours, if it was not there; a folder can then take the place of an empty one
            except FileExistsError:
                raise _exists(path, "folder") from None
            try:
                os.rename(temporary, path)
            except OSError:
                with contextlib.suppress(OSError):
                    os.rmdir(path)
                raise
            _sync_name(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def errors_of(path: str) -> Iterator[None]:
    """Let what goes wrong in the block be told as an error of storage that names what was to be written."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(
                f"{path} cannot be written: no space left; nothing was left there", path=path
            ) from error
        raise StorageError(f"{path} cannot be written: {error.strerror}", path=path) from error


def _exists(path: str, what: str) -> ConflictError:
    return ConflictError(f"{path} exists already; name a {what} that does not", path=path)


def _name(temporary: str, path: str) -> None:
    """Give the finished file its name, without replacing one that has come meanwhile."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise _exists(path, "file") from None
    except OSError:  # no hard links there
        check_new_file(path)
        os.rename(temporary, path)
    _sync_name(path)


def _sync_name(path: str) -> None:
    """Make a name durable."""
    try:
        sync_directory(_FILES, os.path.dirname(path))
    except OSError as error:
        raise StorageError(
            f"{path} is there, and whole, but a power cut may take its name away again: {error.strerror}", path=path
        ) from error


def _umask() -> int:
    """Give the process's umask. os.umask would have to set it, also for the files of other threads."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        return next(int(line.split()[1], 8) for line in status if line.startswith("Umask:"))
