"""Staging chunks, mapped for writing. The engine opens nothing outside the staging directory it was started with."""

import logging
import mmap
import os
import stat
from collections.abc import Callable

from jackcapture.engine._rt import ffi
from jackcapture.errors import InvalidValueError, JackCaptureError, NotFoundError, StorageError
from jackcapture.model.overviews import overview_path

log = logging.getLogger(__name__)

MAX_PATH_LENGTH = 4096  # PATH_MAX of Linux


class ChunkFile:
    """A preallocated staging file of `size` bytes, mapped at `address`, and its overview, if there is one.

    `overview_address` is None where the overview of `overview_size` bytes was not asked for (0), is not there, as
    beside the chunks of an older control, or is too short: a chunk is recorded all the same. Writer thread only.
    """

    def __init__(self, path: str, size: int, overview_size: int = 0) -> None:
        self.path = path
        self.size = size
        self._chunk = _MappedFile("chunk", path, size)
        self.address = self._chunk.address
        self._overview = _map_overview(path, overview_size) if overview_size else None
        self.overview_address = None if self._overview is None else self._overview.address

    def cut(self, measure: Callable[[memoryview], int]) -> int:
        """Set all bytes to zero but the first, as many as `measure` counts in what is there; give that number."""
        with memoryview(self._chunk.buffer) as data:
            kept = measure(data)
            data[kept:] = bytes(len(data) - kept)
        return kept

    def close(self) -> None:
        """Unmap; nothing can be written after this."""
        self._chunk.close()
        if self._overview is not None:
            self._overview.close()
            self.overview_address = None


class _MappedFile:
    """The first `size` bytes of a regular file, mapped for writing."""

    def __init__(self, kind: str, path: str, size: int) -> None:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise NotFoundError(f"{kind} {path} does not exist", path=path) from None
        except OSError as error:
            raise StorageError(f"{kind} {path} cannot be opened: {error.strerror}", path=path) from error
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise InvalidValueError(f"{kind} {path} is not a regular file", path=path)
            if found.st_size < size:
                raise InvalidValueError(
                    f"{kind} {path} has {found.st_size} bytes: it must be preallocated to {size}", path=path
                )
            self._map = mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED)
        except OSError as error:
            raise StorageError(f"{kind} {path} cannot be mapped: {error.strerror}", path=path) from error
        finally:
            os.close(descriptor)
        self._buffer = ffi.from_buffer(self._map, require_writable=True)
        self.buffer = self._map
        self.address = int(ffi.cast("uintptr_t", self._buffer))

    def close(self) -> None:
        ffi.release(self._buffer)
        self._map.close()


def _map_overview(chunk_path: str, size: int) -> _MappedFile | None:
    path = overview_path(chunk_path)
    try:
        return _MappedFile("overview", path, size)
    except NotFoundError:
        return None
    except JackCaptureError as error:
        log.warning("%s; the chunk gets no overview", error)
        return None


def check_path_length(path: str) -> None:
    """Raise `InvalidValueError` for what is too long to be a path: to resolve its links could take hours."""
    if len(path) > MAX_PATH_LENGTH:
        raise InvalidValueError(
            f"chunk path {path[:100]!r}... has {len(path)} characters: a path has at most {MAX_PATH_LENGTH}"
        )


def check_chunk_path(path: str, staging_directory: str) -> str:
    """Check that a path lies below the staging directory, links resolved; raises `InvalidValueError` if not."""
    check_path_length(path)
    if "\0" in path or not os.path.isabs(path):
        raise InvalidValueError(f"chunk path {path!r}: it must be an absolute path below {staging_directory}")
    real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    if not real.startswith(staging_directory + os.sep) or os.path.basename(path) in ("", ".", ".."):
        raise InvalidValueError(f"chunk path {path} lies outside the staging directory {staging_directory}", path=path)
    return real
