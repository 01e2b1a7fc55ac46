"""Staging chunks, mapped for writing. The engine opens nothing outside the staging directory it was started with."""

import mmap
import os
import stat

from jackcapture.engine._rt import ffi
from jackcapture.errors import InvalidValueError, NotFoundError, StorageError


class ChunkFile:
    """A preallocated staging file of `size` bytes, mapped at `address`. Writer thread only."""

    def __init__(self, path: str, size: int) -> None:
        self.path = path
        self.size = size
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise NotFoundError(f"chunk {path} does not exist", path=path) from None
        except OSError as error:
            raise StorageError(f"chunk {path} cannot be opened: {error.strerror}", path=path) from error
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise InvalidValueError(f"chunk {path} is not a regular file", path=path)
            if found.st_size < size:
                raise InvalidValueError(
                    f"chunk {path} has {found.st_size} bytes: it must be preallocated to {size}", path=path
                )
            self._map = mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED)
        except OSError as error:
            raise StorageError(f"chunk {path} cannot be mapped: {error.strerror}", path=path) from error
        finally:
            os.close(descriptor)
        self._buffer = ffi.from_buffer(self._map, require_writable=True)
        self.address = int(ffi.cast("uintptr_t", self._buffer))

    def close(self) -> None:
        """Unmap; nothing can be written after this."""
        ffi.release(self._buffer)
        self._map.close()


def check_chunk_path(path: str, staging_directory: str) -> str:
    """Check that a path lies below the staging directory, links resolved; raises `InvalidValueError` if not."""
    if "\0" in path or not os.path.isabs(path):
        raise InvalidValueError(f"chunk path {path!r}: it must be an absolute path below {staging_directory}")
    real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    if not real.startswith(staging_directory + os.sep) or os.path.basename(path) in ("", ".", ".."):
        raise InvalidValueError(f"chunk path {path} lies outside the staging directory {staging_directory}", path=path)
    return real
