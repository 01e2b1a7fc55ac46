"""Puts a new catalog in the place of an old one, which is kept aside, and looks what the old one has. Blocks."""

import contextlib
import datetime
import os
import sqlite3
import stat
from dataclasses import dataclass, field

from jackcapture.catalog.audit import Audit, is_empty
from jackcapture.catalog.connections import translated as catalog_errors
from jackcapture.catalog.migration import VERSION
from jackcapture.catalog.rebuilding import SUFFIXES
from jackcapture.control.maintenance.check_place import CheckPlace
from jackcapture.errors import ConflictError, StorageError
from jackcapture.store.failures import translated
from jackcapture.store.root import describe_store, sync_directory, write_all
from jackcapture.store.sealing import copy_file

_BUSY_SECONDS = 2.0


@dataclass(slots=True)
class OldCatalog:
    """The catalog that is there: how much it has, and whether it is healthy; nothing of it if it cannot be read."""

    is_healthy: bool = False
    store_uuid: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    reason: str = ""

    @classmethod
    def look(cls, place: CheckPlace, identity: str | None) -> "OldCatalog":
        """Look at it; whatever is wrong with it is no error."""
        old = cls()
        if not os.path.lexists(place.catalog_path):
            return old
        try:
            with Audit(place.catalog_path, place.is_cancelled) as audit:
                old.is_healthy = not audit.damage() and not audit.dangling()
                old.store_uuid = audit.store_uuid()
                old.counts = audit.counts()
        except StorageError as error:
            old.is_healthy = error.details.get("version", 0) > VERSION
            old.reason = error.message
        place.go_on()
        if identity is not None and old.store_uuid not in (None, identity):
            old.is_healthy = False
            old.store_uuid = None
        return old

    def refuse_if_healthy(self) -> None:
        """Raise `ConflictError`, naming what a new catalog would not have."""
        if not self.is_healthy:
            return
        has = self.reason or ", ".join(f"{count} {name}" for name, count in self.counts.items())
        raise ConflictError(
            f"the catalog is healthy ({has}); one that is made anew would not have what no document tells: what slices "
            "are and were cut from, tags, artifact ids, takes that run, sessions that are not closed. Add --force to "
            "replace it all the same",
            **self.counts,
        )

    def losses(self) -> list[str]:
        """Say what it had that a new one cannot have."""
        if not self.counts:
            return []
        has = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        return [
            f"the old catalog had {has}; its artifact ids, tags, sessions that were not closed, and what slices were "
            "cut from are only there"
        ]


def place_catalog(place: CheckPlace, new: str) -> str | None:
    """Make the catalog at `new` durable and the store's; give where the old one lies now, None if there was none.

    Raises `ConflictError` if somebody reads the old one, `StorageFullError` and `StorageError`; the old one is still
    the store's then, unless it was the last fsync that failed.
    """
    files, path = place.files, place.catalog_path
    with translated(files, path):
        fd = files.open(new, os.O_RDONLY)
        try:
            files.fsync(fd)
        finally:
            files.close(fd)
        sync_directory(files, place.root)
        _merge_log(path)
        aside = _free_name(path)
        is_there = os.path.lexists(path)
        if is_there:
            _put_aside(place, aside)
        _put_log_aside(place, aside)
        files.rename(new, path)
        sync_directory(files, place.root)
    return aside if is_there else None


def _merge_log(path: str) -> None:
    """Move what is in the log of the old catalog into its file, if it can be read.

    What could be read and is not merged must not be put aside: meanwhile the old catalog would lack its newest rows.
    """
    if not os.path.exists(path) or is_empty(path):
        return
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            is_busy = any(row[0] == 1 for row in connection.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
        finally:
            connection.close()
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            with catalog_errors(path):
                raise
        is_busy = code == sqlite3.SQLITE_BUSY
    if is_busy:
        raise ConflictError(
            f"another process reads {path}, so its log cannot be merged into it; end that process, and try again",
            path=path,
        )


def _free_name(path: str) -> str:
    """Give a name for the old catalog, and with it for its log, that nothing has."""
    now = datetime.datetime.now(datetime.UTC)
    name = wanted = f"{path}.replaced-{now:%Y%m%dT%H%M%SZ}"
    number = 1
    while any(os.path.lexists(name + suffix) for suffix in SUFFIXES):
        number += 1
        name = f"{wanted}-{number}"
    return name


def _put_aside(place: CheckPlace, aside: str) -> None:
    """Give the old catalog a second name; the first one goes by the rename of the new one."""
    files, path = place.files, place.catalog_path
    try:
        files.link(path, aside)
    except OSError:  # no hard links there
        status = files.stat(path)
        if stat.S_ISREG(status.st_mode):
            _copy(place, path, aside, status.st_size)
        else:  # whatever that is, it is no catalog
            files.rename(path, aside)
    sync_directory(files, place.root)


def _copy(place: CheckPlace, path: str, aside: str, size: int) -> None:
    # A rename would leave no catalog until the new one has its name.
    with translated(place.files, aside, needed=size):
        try:
            copy_file(place.files, path, aside, size, 0o600)
        except BaseException:
            _remove_if_possible(place, aside)
            raise


def _put_log_aside(place: CheckPlace, aside: str) -> None:
    """Move away the log of a catalog that could not be read: SQLite would apply it to the new one."""
    for suffix in SUFFIXES[1:]:
        if os.path.lexists(place.catalog_path + suffix):
            place.files.rename(place.catalog_path + suffix, aside + suffix)
    sync_directory(place.files, place.root)


def write_description(place: CheckPlace, identity: str) -> None:
    """Make `store.json` anew, all or nothing."""
    files, path = place.files, f"{place.root}/store.json"
    # Not store.json.new, the mark of a new store that is not finished: a start would make another store of this one.
    unfinished = f"{path}.rebuilt"
    data = describe_store(identity)
    with translated(files, path, needed=len(data)):
        try:
            fd = files.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            try:
                write_all(files, fd, memoryview(data))
                files.fsync(fd)
            finally:
                files.close(fd)
            files.rename(unfinished, path)
        except BaseException:
            _remove_if_possible(place, unfinished)
            raise
        sync_directory(files, place.root)


def _remove_if_possible(place: CheckPlace, path: str) -> None:
    # Otherwise it stays; that must not hide what went wrong.
    with contextlib.suppress(OSError):
        place.files.unlink(path)
