"""The only file calls that the store makes.

Each is a thin wrapper over `os` and raises what `os` raises, so that a test can put a recorder in the place
of `Files`, or a disk that is full; `failures.py` turns OSError into the project's errors, above this.
"""

import os

Buffer = bytes | bytearray | memoryview


class Files:
    """File calls of the operating system; without state, so that any thread may use it.

    Paths are absolute. No call follows a symbolic link in the last part of a path, except `realpath`,
    `access`, `free_bytes`, `scandir` and `fsync_directory`, which are meant for directories.
    """

    # Descriptors

    def open(self, path: str, flags: int, mode: int = 0o600) -> int:
        """Open a file, close-on-exec, and give the descriptor."""
        return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, mode)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)

    def read(self, fd: int, buffer: bytearray | memoryview, position: int) -> int:
        """Read into `buffer` from byte `position` of the file; give the bytes read, 0 at the end."""
        return os.preadv(fd, [buffer], position)

    def write(self, fd: int, data: Buffer, position: int) -> int:
        """Write at byte `position` of the file; give the bytes written, which may be fewer than asked."""
        return os.pwrite(fd, data, position)

    def fallocate(self, fd: int, size: int) -> None:
        """Reserve blocks for the first `size` bytes of the file and make it at least that long."""
        os.posix_fallocate(fd, 0, size)

    def ftruncate(self, fd: int, size: int) -> None:
        """Set the length of the file to `size` bytes."""
        os.ftruncate(fd, size)

    def fstat(self, fd: int) -> os.stat_result:
        """Give the status of an open file."""
        return os.fstat(fd)

    def fchmod(self, fd: int, mode: int) -> None:
        """Set the permission bits of an open file."""
        os.fchmod(fd, mode)

    def fsync(self, fd: int) -> None:
        """Make the data and the metadata of an open file durable."""
        os.fsync(fd)

    # Names

    def link(self, source: str, target: str) -> None:
        """Give a file a second name; FileExistsError if the name is taken."""
        os.link(source, target, follow_symlinks=False)

    def rename(self, source: str, target: str) -> None:
        """Rename a file; one that has the name `target` is replaced."""
        os.rename(source, target)

    def unlink(self, path: str) -> None:
        """Remove a name of a file."""
        os.unlink(path)

    def stat(self, path: str) -> os.stat_result:
        """Give the status of what has this name."""
        return os.lstat(path)

    # Directories

    def mkdir(self, path: str) -> None:
        """Make a directory that only its owner may enter."""
        os.mkdir(path, 0o700)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        os.rmdir(path)

    def scandir(self, path: str) -> list[os.DirEntry[str]]:
        """List a directory, sorted by name."""
        with os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: entry.name)

    def fsync_directory(self, path: str) -> None:
        """Make the names in a directory durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def free_bytes(self, path: str) -> int:
        """Give the bytes that this user may still write to the file system of `path`."""
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize

    def access(self, path: str) -> bool:
        """Tell whether names can be made in a directory: permissions and a read-only file system."""
        return os.access(path, os.W_OK | os.X_OK, effective_ids=True)

    def realpath(self, path: str) -> str:
        """Give the absolute path without symbolic links; what does not exist is kept as it is written."""
        return os.path.realpath(path)
