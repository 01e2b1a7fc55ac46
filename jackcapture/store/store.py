"""The store: staging files to write into, content to read."""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from blake3 import blake3

from jackcapture.errors import InvalidValueError, StorageDamagedError, StorageError
from jackcapture.model.addresses import CasAddress, Content, Staging, StagingOverview
from jackcapture.model.overviews import overview_path
from jackcapture.store import root as root_directory
from jackcapture.store.failures import translated
from jackcapture.store.files import Buffer, Files
from jackcapture.store.layout import ALGORITHM, CONTENT, STAGING, place, shards, walk
from jackcapture.store.sealing import Sealer

_FILES = Files()
_LARGEST = (1 << 63) - 1
# A shard directory is removed when its last file goes; how often one may go away under a file that is being
# made.
_TRIES = 100


@dataclass(frozen=True, slots=True)
class Sealed:
    """What `seal` did: `bytes` long, and `is_new` if these bytes were not in the store before."""

    content: Content
    bytes: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class Stat:
    """The length of a file in bytes and the time of its last change in ns of Unix time."""

    bytes: int
    mtime_ns: int


class Store:
    """A content-addressed store in a directory; made by `create_or_open`.

    Any thread may call any method. Two threads must not use the same staging file at once. Each method raises
    StorageError if the operating system refuses, besides what it names.
    """

    def __init__(self, root: str, uuid: str, files: Files) -> None:
        self._root = root
        self._uuid = uuid
        self._files = files
        # Without symbolic links, each: staging may be put on another disk by one.
        self._content = files.realpath(f"{root}/{CONTENT}/{ALGORITHM}")
        self._staging = files.realpath(f"{root}/{STAGING}/{ALGORITHM}")
        self._sealer = Sealer(files, self._content)

    @classmethod
    def create_or_open(cls, root: str, *, files: Files = _FILES) -> "Store":
        """Open the store at `root`, or make one if there is an empty directory or nothing.

        Only one process may make a store at a time. Raises ConflictError for a directory that holds something
        else, StorageDamagedError if `store.json` does not describe a store of a known version or the content
        directory is missing, StorageError if the directory is not writable, and StorageFullError.
        """
        path, uuid = root_directory.create_or_open(files, root)
        with translated(files, path):
            return cls(path, uuid, files)

    @property
    def root(self) -> str:
        """The absolute path of the store, without symbolic links."""
        return self._root

    @property
    def uuid(self) -> str:
        """The UUID that the store got when it was made."""
        return self._uuid

    @property
    def staging_directory(self) -> str:
        """The absolute path, without symbolic links, that all staging files are below."""
        return self._staging

    @property
    def content_directory(self) -> str:
        """The absolute path, without symbolic links, that all content is below."""
        return self._content

    # Staging

    def create_staging(self, size: int, overview_size: int = 0) -> Staging:
        """Make a staging file with room for `size` bytes, which read as zeros; with 0 it is empty.

        With `overview_size` its overview is made as well, of so many bytes. Raises StorageFullError, and leaves no
        file, if there is no room.
        """
        _check_size(size)
        _check_size(overview_size)
        staging = Staging(blake3(os.urandom(32)).hexdigest())
        path = self.path(staging)
        with translated(self._files, path, needed=size + overview_size):
            try:
                self._create(path, staging, size)
                if overview_size:  # after the file that it belongs to, so that it is never alone
                    self._create(self.path(StagingOverview(staging.id)), staging, overview_size)
            except BaseException:
                with contextlib.suppress(OSError):
                    self._remove(staging)
                raise
        return staging

    def _create(self, path: str, staging: Staging, size: int) -> None:
        fd = self._open_new(path, staging)
        try:
            # Preallocation is what makes a full disk an error here and not a SIGBUS in the engine, which writes
            # to this file through a mapping.
            if size:
                self._files.fallocate(fd, size)
        finally:
            self._files.close(fd)

    def _open_new(self, path: str, staging: Staging) -> int:
        for _ in range(_TRIES):
            # ENOENT: another thread took the last file out of the shard and removed the directory before this
            # file was in it.
            with contextlib.suppress(FileNotFoundError):
                for directory in shards(self._staging, staging.id):
                    with contextlib.suppress(FileExistsError):
                        self._files.mkdir(directory)
                return self._files.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        raise StorageError(f"{self._staging} is missing; it must be a directory", path=path)

    def discard(self, staging: Staging) -> None:
        """Remove a staging file and its overview; what is missing is fine."""
        with translated(self._files, self.path(staging)):
            self._remove(staging)

    def _remove(self, staging: Staging) -> None:
        # The overview first: a name that is left is found again, and an overview by itself belongs to nobody.
        self._sealer.remove(self.path(StagingOverview(staging.id)))
        self._sealer.remove(self.path(staging))
        # Mere tidying, after the work is done: whatever stands against it, the caller has what it asked for.
        for directory in reversed(shards(self._staging, staging.id)):
            with contextlib.suppress(OSError):
                self._files.rmdir(directory)

    # From staging to content

    def seal(self, staging: Staging, size: int, *, keep_name: bool = False) -> Sealed:
        """Turn the first `size` bytes of a staging file into content, durably; the staging file is gone then.

        With `keep_name` its name stays, as a second name of the content, until `discard`: whoever dies between
        `seal` and the catalog row then finds it there and seals again (without hard links it goes all the same).
        Its overview goes with the name, and is not sealed: `read` and `put` it before.

        Bytes that are in the store already are not stored again. After any error the staging file is still
        there and may be sealed again, also in another process after a crash; only where there are no hard
        links it may be content already, if the last fsync failed. Nobody may write to the file any more.
        Reads the whole file, in pieces; other threads run meanwhile.

        Raises NotFoundError without such a staging file, StorageDamagedError if it is shorter than `size` or
        the content that is there has another length, ConflictError if a crash cut off an earlier `seal` that
        had made it content with another size, and StorageFullError.
        """
        return self.enter(staging, self.make_ready(staging, size), size, keep_name=keep_name)

    def make_ready(self, staging: Staging, size: int) -> Content:
        """Do the long part of `seal`: cut a file to `size` bytes, make it durable, give the address of its bytes."""
        _check_size(size)
        path = self.path(staging)
        with translated(self._files, path):
            return self._sealer.make_ready(path, staging, size)

    def enter(self, staging: Staging, content: Content, size: int, *, keep_name: bool = False) -> Sealed:
        """Do the rest of `seal`: give a file that was made ready its name in content."""
        path = self.path(staging)
        with translated(self._files, path):
            is_new = self._sealer.enter(path, content, size)
            # Only now that the name in content is durable. The staging name needs no fsync: if a power cut
            # brings it back, `seal` finds the content and removes it again.
            if not keep_name:
                self._remove(staging)
        return Sealed(content, size, is_new)

    def is_ready(self, staging: Staging) -> bool:
        """Tell whether a staging file was made ready, so that it may be content too. Raises NotFoundError."""
        path = self.path(staging)
        with translated(self._files, path, address=staging):
            return not stat.S_IMODE(self._files.stat(path).st_mode) & stat.S_IWUSR

    def put(self, data: Buffer) -> Sealed:
        """Store a small document as durably as `seal` does. Raises StorageFullError."""
        staging = self.stage(data)
        try:
            return self.seal(staging, memoryview(data).nbytes)
        except BaseException:
            with contextlib.suppress(StorageError):
                self.discard(staging)
            raise

    def stage(self, data: Buffer) -> Staging:
        """Write a small document into a new staging file. Raises StorageFullError, and leaves no file."""
        document = memoryview(memoryview(data).tobytes())
        staging = self.create_staging(len(document))
        path = self.path(staging)
        try:
            with translated(self._files, path, needed=len(document)):
                fd = self._files.open(path, os.O_WRONLY)
                try:
                    root_directory.write_all(self._files, fd, document)
                finally:
                    self._files.close(fd)
        except BaseException:
            with contextlib.suppress(StorageError):
                self.discard(staging)
            raise
        return staging

    # Away

    def remove(self, contents: Iterable[Content]) -> None:
        """Remove content, durably; what is missing is fine.

        Nobody may be about to enter the same bytes, or to open them.
        """
        directories = set()
        for content in contents:
            path = self.path(content)
            with translated(self._files, path):
                self._sealer.remove(path)
            directories.add(os.path.dirname(path))
        # Shards stay: another thread may be about to use one, and there are 65,536 at most.
        for directory in sorted(directories):
            with translated(self._files, directory), contextlib.suppress(FileNotFoundError):
                root_directory.sync_directory(self._files, directory)

    # Reading

    def path(self, address: CasAddress) -> str:
        """Give the absolute path where an address lies if it exists."""
        match address:
            case Content(name):
                return place(self._content, name)
            case Staging(name):
                return place(self._staging, name)
            case StagingOverview(name):
                return overview_path(place(self._staging, name))

    def stat(self, address: CasAddress) -> Stat:
        """Give length and time of a file. Raises NotFoundError."""
        path = self.path(address)
        with translated(self._files, path, address=address):
            status = self._files.stat(path)
        return Stat(status.st_size, status.st_mtime_ns)

    def exists(self, address: CasAddress) -> bool:
        """Tell whether an address is in the store."""
        path = self.path(address)
        with translated(self._files, path):
            try:
                self._files.stat(path)
            except FileNotFoundError:
                return False
        return True

    def open(self, address: CasAddress) -> int:
        """Give a new descriptor for reading, close-on-exec, which the caller closes. Raises NotFoundError."""
        path = self.path(address)
        with translated(self._files, path, address=address):
            return self._files.open(path, os.O_RDONLY)

    def read(self, address: CasAddress, position: int, size: int) -> bytes:
        """Give `size` bytes from byte `position` on.

        Raises NotFoundError without such a file, StorageDamagedError if it is shorter.
        """
        path = self.path(address)
        data = bytearray(size)
        with translated(self._files, path, address=address):
            fd = self._files.open(path, os.O_RDONLY)
            try:
                done = 0
                while done < size:
                    length = self._files.read(fd, memoryview(data)[done:], position + done)
                    if length == 0:
                        raise StorageDamagedError(
                            f"{path} has {position + done} bytes; {position + size} were expected", path=path
                        )
                    done += length
            finally:
                self._files.close(fd)
        return bytes(data)

    def iterate_content(self) -> Iterator[Content]:
        """Give all content, sorted; what is sealed meanwhile may be left out. Reads all directories."""
        return (Content(name) for _, name in self._walk(self._content) if name is not None)

    def iterate_staging(self) -> Iterator[Staging]:
        """Give all staging files, sorted; what is made or sealed meanwhile may be left out."""
        return (Staging(name) for _, name in self._walk(self._staging) if name is not None)

    def iterate_foreign(self) -> Iterator[str]:
        """Give the paths below content and staging that no address names; of a directory only its own.

        An overview is named by the staging file that it lies beside; without that file it is foreign.
        """
        for base in (self._content, self._staging):
            yield from (path for path, name in self._walk(base) if name is None)

    def _walk(self, base: str) -> Iterator[tuple[str, str | None]]:
        with translated(self._files, base):
            yield from walk(self._files, base, overviews=base == self._staging)

    def free_bytes(self) -> int:
        """Give the bytes that can still be written: the smaller number, if staging is on another disk."""
        with translated(self._files, self._root):
            return min(self._files.free_bytes(self._staging), self._files.free_bytes(self._content))


def _check_size(size: int) -> None:
    if not 0 <= size <= _LARGEST:
        raise InvalidValueError(f"{size} is not a size of a file: it must be from 0 to {_LARGEST} bytes")
