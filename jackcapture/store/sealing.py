"""The steps from a staging file to content, in the order of durability that the package documents."""

import contextlib
import errno
import os
import stat
import threading

from blake3 import blake3

from jackcapture.errors import ConflictError, StorageDamagedError
from jackcapture.model.addresses import Content, Staging
from jackcapture.store.failures import describe, translated
from jackcapture.store.files import Files
from jackcapture.store.layout import place, shards
from jackcapture.store.root import sync_directory

# 1 MiB: where one thread of BLAKE3 is at its full speed, and what one sealing thread costs in memory.
_PIECE = 1 << 20
_SEALED_MODE = 0o444
_WRITABLE_MODE = 0o600
# link() on a file system without hard links, or for a file that has as many names as it may have.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def _temporary(path: str, target: str) -> str:
    """Name the copy of a staging file, so that another try after a crash finds what the first left."""
    return f"{os.path.dirname(target)}/.copy-{os.path.basename(path)}"


def copy_file(files: Files, path: str, target: str, size: int, mode: int) -> None:
    """Make a durable copy of the first `size` bytes of a file, under a new name, which is not made durable.

    Errors of `files` come out as OSError; raises `StorageDamagedError` if the file is shorter. What there is of the
    copy then, the caller removes.
    """
    buffer = memoryview(bytearray(min(_PIECE, size)))
    source = files.open(path, os.O_RDONLY)
    try:
        copy = files.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _WRITABLE_MODE)
        try:
            if size:
                files.fallocate(copy, size)
            done = 0
            while done < size:
                length = files.read(source, buffer[: size - done], done)
                if length == 0:
                    raise StorageDamagedError(
                        f"{path} became shorter while it was copied: {done} bytes of {size}",
                        path=path,
                    )
                done += files.write(copy, buffer[:length], done)
            files.fchmod(copy, mode)
            files.fsync(copy)
        finally:
            files.close(copy)
    finally:
        files.close(source)


class Sealer:
    """Moves finished files into content.

    Errors of `files` come out as OSError, except where an address does not exist or space is short by a known
    amount. Any thread may call any method.
    """

    def __init__(self, files: Files, content: str) -> None:
        self._files = files
        self._content = content
        # Directories whose own names are known to be durable, so that this is asked of the disk once per
        # process.
        self._durable: set[str] = set()
        self._rename_lock = threading.Lock()

    def make_ready(self, path: str, staging: Staging, size: int) -> Content:
        """Cut a file to `size` bytes, make it read-only and durable, and give the address of its bytes."""
        files = self._files
        with translated(files, path, address=staging):
            fd = files.open(path, os.O_RDONLY)
        try:
            status = files.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise StorageDamagedError(f"{path} is not a file", path=path)
            if status.st_size < size:
                raise StorageDamagedError(
                    f"{path} has {status.st_size} bytes; to seal {size}, it must have at least those",
                    path=path,
                )
            if status.st_size > size:
                self._truncate(fd, path, staging, status, size)
            content = Content(self._hash(fd, path, size))
            files.fchmod(fd, _SEALED_MODE)
            files.fsync(fd)
        finally:
            files.close(fd)
        return content

    def _truncate(self, fd: int, path: str, staging: Staging, status: os.stat_result, size: int) -> None:
        files = self._files
        if status.st_nlink > 1 and self._is_content(fd, path, status):
            # Cut off between link and unlink. To cut the file now would change bytes that are content
            # already.
            raise ConflictError(
                f"{describe(staging)} is sealed already, with {status.st_size} bytes; it cannot be sealed with {size}",
                path=path,
            )
        if not status.st_mode & stat.S_IWUSR:  # an earlier try came as far as the mode, and not to the link
            files.fchmod(fd, _WRITABLE_MODE)
        writable = files.open(path, os.O_WRONLY)
        try:
            files.ftruncate(writable, size)
        finally:
            files.close(writable)

    def _is_content(self, fd: int, path: str, status: os.stat_result) -> bool:
        sealed = self._status(place(self._content, self._hash(fd, path, status.st_size)))
        return sealed is not None and (sealed.st_dev, sealed.st_ino) == (status.st_dev, status.st_ino)

    def _hash(self, fd: int, path: str, size: int) -> str:
        """Give the BLAKE3 hash of the first `size` bytes, in hex digits."""
        hasher = blake3()
        buffer = memoryview(bytearray(min(_PIECE, size)))
        done = 0
        while done < size:
            length = self._files.read(fd, buffer[: size - done], done)
            if length == 0:
                raise StorageDamagedError(
                    f"{path} became shorter while it was hashed: {done} bytes of {size}",
                    path=path,
                )
            hasher.update(buffer[:length])
            done += length
        return hasher.hexdigest()

    def enter(self, path: str, content: Content, size: int) -> bool:
        """Give the file at `path` its name in content, without replacing; tell whether the content is new.

        On return the name is durable, also if it was there already: the thread that made it may not be so
        far.
        """
        target = place(self._content, content.hash)
        for directory in shards(self._content, content.hash):
            with contextlib.suppress(FileExistsError):
                self._files.mkdir(directory)
                self._durable.discard(directory)
        try:
            is_new = self._place(path, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            is_new = self._copy(path, target, size)
        if not is_new:
            self._check_existing(target, size)
            self._remove_if_possible(_temporary(path, target))
        self._sync(content)
        return is_new

    def _place(self, source: str, target: str) -> bool:
        """Link or rename `source` to `target` unless that exists; tell whether it was done."""
        try:
            self._files.link(source, target)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # rename() replaces, so nobody may come between the look and the rename. Between processes this
            # would replace equal bytes with equal bytes.
            with self._rename_lock:
                if self._status(target) is not None:
                    return False
                self._files.rename(source, target)
        return True

    def _copy(self, path: str, target: str, size: int) -> bool:
        """Bring a file from another file system to `target`, by a temporary name beside it."""
        if self._status(target) is not None:
            return False
        temporary = _temporary(path, target)
        self.remove(temporary)
        try:
            with translated(self._files, temporary, needed=size):
                copy_file(self._files, path, temporary, size, _SEALED_MODE)
            return self._place(temporary, target)
        finally:
            self._remove_if_possible(temporary)

    def _check_existing(self, target: str, size: int) -> None:
        status = self._files.stat(target)
        if not stat.S_ISREG(status.st_mode):
            raise StorageDamagedError(f"{target} is not a file", path=target)
        if status.st_size != size:
            raise StorageDamagedError(
                f"{target} has {status.st_size} bytes; the bytes of this hash are {size}", path=target
            )

    def _sync(self, content: Content) -> None:
        """Make the name of `content` durable, and those of its directories if they may be new."""
        outer, inner = shards(self._content, content.hash)
        for directory, parent in ((outer, self._content), (inner, outer)):
            if directory not in self._durable:
                sync_directory(self._files, parent)
                self._durable.add(directory)
        sync_directory(self._files, inner)

    def remove(self, path: str) -> None:
        """Remove a name that may be gone."""
        with contextlib.suppress(FileNotFoundError):
            self._files.unlink(path)

    def _remove_if_possible(self, path: str) -> None:
        # Otherwise a stray name stays, which `iterate_foreign` shows; that must not hide how the work went.
        with contextlib.suppress(OSError):
            self._files.unlink(path)

    def _status(self, path: str) -> os.stat_result | None:
        try:
            return self._files.stat(path)
        except FileNotFoundError:
            return None
