"""Making and opening the root directory of a store.

A new store is made in an order that a crash cannot turn into something else than "unfinished" or "whole": the
temporary name of `store.json` comes first and says that what follows is ours, the directories come next, and
the rename to `store.json` is what makes it a store. Only one process may make a store at a time.
"""

import contextlib
import errno
import json
import os
import stat
import uuid
from typing import Any

from jackcapture.errors import ConflictError, InvalidValueError, StorageDamagedError, StorageError
from jackcapture.store.failures import translated
from jackcapture.store.files import Files
from jackcapture.store.layout import ALGORITHM, CONTENT, DESCRIPTION, STAGING

FORMAT = "jackcapture-store"
VERSION = 1

_UNFINISHED = DESCRIPTION + ".new"
_LARGEST_DESCRIPTION = 4096
_RIGHT = f'it must be {{"format": "{FORMAT}", "version": {VERSION}, "uuid": "..."}}'


def sync_directory(files: Files, path: str) -> None:
    """Make the names in a directory durable, as far as its file system can."""
    try:
        files.fsync_directory(path)
    except OSError as error:
        # What some network and FUSE file systems answer: they have no fsync for directories.
        if error.errno != errno.EINVAL:
            raise


def write_all(files: Files, fd: int, data: memoryview) -> None:
    """Write all of `data` (bytes) from the start of a file."""
    done = 0
    while done < len(data):
        done += files.write(fd, data[done:], done)


def create_or_open(files: Files, root: str) -> tuple[str, str]:
    """Make the store at `root`, or check the one that is there; give the real path of `root` and the UUID."""
    if not root or "\0" in root:
        raise InvalidValueError(f"{root!r} is not a path of a store: it must name a directory")
    with translated(files, root):
        path = files.realpath(root)
        if not _exists(files, path):
            _make_directories(files, path)
        names = {entry.name for entry in files.scandir(path)}
        if DESCRIPTION not in names:
            _refuse_foreign(path, names)
            return path, _create(files, path)
        identity = read_description(files, f"{path}/{DESCRIPTION}")
        _check_directories(files, path)
        # Whoever made the store may have been killed before its last fsync.
        _sync_names(files, path)
        return path, identity


def _exists(files: Files, path: str) -> bool:
    try:
        files.stat(path)
    except FileNotFoundError:
        return False
    return True


def _make_directories(files: Files, path: str) -> None:
    """Make a directory and the missing ones above it, durably."""
    parent = os.path.dirname(path)
    if not _exists(files, parent):
        _make_directories(files, parent)
    _mkdir(files, path)
    sync_directory(files, parent)


def _mkdir(files: Files, path: str) -> None:
    with contextlib.suppress(FileExistsError):
        files.mkdir(path)


def _refuse_foreign(path: str, names: set[str]) -> None:
    # lost+found: a file system of its own for the recordings is a good idea, and starts with it.
    others = names - {"lost+found"}
    if _UNFINISHED in others:
        others -= {_UNFINISHED, CONTENT, STAGING}
    if others:
        raise ConflictError(
            f"{path} holds {sorted(others)[0]!r} and no {DESCRIPTION}, so it is not a store; "
            "name a store, an empty directory or one that does not exist",
            path=path,
        )


def _create(files: Files, path: str) -> str:
    _check_writable(files, path)
    identity = str(uuid.uuid4())
    unfinished = f"{path}/{_UNFINISHED}"
    fd = files.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        write_all(files, fd, memoryview(describe_store(identity)))
        files.fsync(fd)
    finally:
        files.close(fd)
    sync_directory(files, path)
    for kind in (CONTENT, STAGING):
        _mkdir(files, f"{path}/{kind}")
        _mkdir(files, f"{path}/{kind}/{ALGORITHM}")
        sync_directory(files, f"{path}/{kind}")
    sync_directory(files, path)
    files.rename(unfinished, f"{path}/{DESCRIPTION}")
    _sync_names(files, path)
    return identity


def _sync_names(files: Files, path: str) -> None:
    """Make the names in the store's directory durable, and its own, which an earlier attempt may have left unsynced."""
    sync_directory(files, path)
    # The directory above may be one that this user can enter and not read, and then it is somebody else's to keep.
    with contextlib.suppress(PermissionError):
        sync_directory(files, os.path.dirname(path))


def describe_store(identity: str) -> bytes:
    """Give what stands in `store.json`."""
    return (json.dumps({"format": FORMAT, "version": VERSION, "uuid": identity}) + "\n").encode()


def read_description(files: Files, path: str) -> str:
    """Check `store.json` and give the UUID in it."""
    buffer = bytearray(_LARGEST_DESCRIPTION)
    fd = files.open(path, os.O_RDONLY)
    try:
        length = files.read(fd, buffer, 0)
    finally:
        files.close(fd)
    try:
        found: Any = json.loads(buffer[:length].decode())
    except (ValueError, RecursionError) as error:
        raise StorageDamagedError(f"{path} is not JSON ({error}); {_RIGHT}", path=path) from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise StorageDamagedError(f"{path} does not describe a store; {_RIGHT}", path=path)
    version = found.get("version")
    if type(version) is not int or version != VERSION:
        raise StorageDamagedError(
            f"{path} is of version {version!r}; this jackcapture knows version {VERSION}", path=path
        )
    try:
        return str(uuid.UUID(found["uuid"]))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise StorageDamagedError(f"{path} has no UUID ({found.get('uuid')!r}); {_RIGHT}", path=path) from error


def _check_directories(files: Files, path: str) -> None:
    content = f"{path}/{CONTENT}/{ALGORITHM}"
    # A store without content is one whose disk is not mounted; to go on would scatter the recordings.
    if not _exists(files, content):
        raise StorageDamagedError(
            f"{content} is missing, though {DESCRIPTION} is there; is a file system not mounted?",
            path=content,
        )
    _mkdir(files, f"{path}/{STAGING}")
    _mkdir(files, f"{path}/{STAGING}/{ALGORITHM}")
    for directory in (path, content, f"{path}/{STAGING}/{ALGORITHM}"):
        _check_writable(files, directory)


def _check_writable(files: Files, directory: str) -> None:
    if not stat.S_ISDIR(files.stat(files.realpath(directory)).st_mode):
        raise StorageError(f"{directory} is not a directory", path=directory)
    if not files.access(directory):
        raise StorageError(
            f"{directory} is not writable; the user who runs jackcapture must be able to write there, and "
            "its file system must be mounted for writing",
            path=directory,
        )
