"""Lists everything below content and staging as it is, shard by shard, also what should not be there.

Unlike `Store`, it needs no store that opens, and trusts no name, type or mode.
"""

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace

from jackcapture.model.overviews import OVERVIEW_SUFFIX
from jackcapture.store.failures import translated
from jackcapture.store.files import Files
from jackcapture.store.layout import ALGORITHM, CONTENT, DESCRIPTION, STAGING, UNSEALED

SHARDS = tuple(f"{number:02x}" for number in range(256))
"""The outer shard directories."""

_SHARD = re.compile(r"[0-9a-f]{2}", re.ASCII)
_NAME = re.compile(r"[0-9a-f]{64}", re.ASCII)
_LOST_AND_FOUND = "lost+found"  # where content or staging is a file system of its own


@dataclass(frozen=True, slots=True)
class Found:
    """What lies at a path relative to the store.

    `name` is the address (64 hex digits), None for what has no name of the store's; `is_in_place` tells whether it lies
    in its own shard, `is_overview` whether it is an overview in staging.
    """

    path: str
    name: str | None
    is_in_place: bool
    is_overview: bool
    status: os.stat_result

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file, and no link to one."""
        return stat.S_ISREG(self.status.st_mode)

    @property
    def is_writable(self) -> bool:
        """Whether anybody may write to it."""
        return bool(self.status.st_mode & 0o222)


class Survey:
    """The files of the store at `root`. Any thread may call any method; StorageError if a directory cannot be read."""

    def __init__(self, root: str, files: Files) -> None:
        self.root = root
        self._files = files

    def path(self, relative: str) -> str:
        """Give the absolute path of a path in the store."""
        return f"{self.root}/{relative}"

    def is_store(self) -> bool:
        """Tell whether there is any sign of a store."""
        return self.has_content() or os.path.lexists(self.path(DESCRIPTION))

    def has_content(self) -> bool:
        """Tell whether the content directory is there."""
        return os.path.isdir(self.path(f"{CONTENT}/{ALGORITHM}"))

    def outside(self) -> Iterator[Found]:
        """Give what lies in content and staging outside the outer shards."""
        for base in (CONTENT, STAGING):
            for entry in self._entries(base):
                is_ours = base == STAGING and entry.name == UNSEALED and entry.is_dir(follow_symlinks=False)
                if not is_ours and entry.name not in (ALGORITHM, _LOST_AND_FOUND):
                    yield from self._foreign(f"{base}/{entry.name}", entry)
            for entry in self._entries(f"{base}/{ALGORITHM}"):
                if entry.name == _LOST_AND_FOUND:
                    continue
                if not (_SHARD.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)):
                    yield from self._foreign(f"{base}/{ALGORITHM}/{entry.name}", entry)

    def content(self, shard: str) -> Iterator[Found]:
        """Give what lies in an outer shard of content, sorted."""
        return self._shard(f"{CONTENT}/{ALGORITHM}/{shard}", shard, overviews=False)

    def all_content(self) -> Iterator[Found]:
        """Give what lies in all shards of content, sorted."""
        for shard in SHARDS:
            yield from self.content(shard)

    def staging(self) -> Iterator[Found]:
        """Give what lies in the shards of staging, sorted."""
        for shard in SHARDS:
            yield from self._shard(f"{STAGING}/{ALGORITHM}/{shard}", shard, overviews=True)

    def noted(self) -> frozenset[str]:
        """Give the names of staging files that wait to be sealed, as their notes tell."""
        return frozenset(entry.name for entry in self._entries(f"{STAGING}/{UNSEALED}"))

    def look(self, found: Found) -> Found | None:
        """Look again at what was found; None if it is gone."""
        status = self._status(found.path)
        return None if status is None else replace(found, status=status)

    def find(self, path: str, name: str) -> Found | None:
        """Look at the path where `name` should lie; None if nothing is there."""
        status = self._status(path)
        return None if status is None else Found(path, name, True, False, status)

    def _status(self, path: str) -> os.stat_result | None:
        with translated(self._files, path), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return self._files.stat(self.path(path))
        return None

    def _shard(self, outer: str, shard: str, *, overviews: bool) -> Iterator[Found]:
        for inner in self._entries(outer):
            path = f"{outer}/{inner.name}"
            if not (_SHARD.fullmatch(inner.name) and inner.is_dir(follow_symlinks=False)):
                yield from self._foreign(path, inner)
                continue
            prefix = shard + inner.name
            for entry in self._entries(path):
                name = entry.name
                is_overview = overviews and name.endswith(OVERVIEW_SUFFIX)
                if is_overview:
                    name = name.removesuffix(OVERVIEW_SUFFIX)
                if _NAME.fullmatch(name):
                    for found in self._foreign(f"{path}/{entry.name}", entry):
                        yield Found(found.path, name, name.startswith(prefix), is_overview, found.status)
                else:
                    yield from self._foreign(f"{path}/{entry.name}", entry)

    def _foreign(self, path: str, entry: os.DirEntry[str]) -> Iterator[Found]:
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile
            yield Found(path, None, False, False, entry.stat(follow_symlinks=False))

    def _entries(self, relative: str) -> list[os.DirEntry[str]]:
        path = self.path(relative)
        with translated(self._files, path):
            try:
                return self._files.scandir(path)
            except (FileNotFoundError, NotADirectoryError):
                return []  # told by whoever misses what should lie there
