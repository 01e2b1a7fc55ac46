"""How much room there is on the disks of a store, and how much of it is kept for what is recorded already. Blocks."""

import os
from dataclasses import dataclass

from jackcapture.errors import StorageFullError
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.uris import StreamUri
from jackcapture.settings import Settings
from jackcapture.store import Store

_RESERVE_PART = 20  # on a small disk: at most this part of it is reserved


@dataclass(frozen=True, slots=True)
class Space:
    """The file system that `path` lies on; equal `device`, equal file system. Sizes in bytes."""

    path: str
    device: int
    free_bytes: int
    reserve_bytes: int

    @property
    def left_bytes(self) -> int:
        """What may still be used: all but the reserve."""
        return max(0, self.free_bytes - self.reserve_bytes)


class DiskSpace:
    """The disks of staging, content and catalog, which may be one, two or three; any thread."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._reserve_bytes = settings.disk_reserve_bytes
        self._store = store
        self.promised_bytes = 0
        """What the takes that run need at their ends, besides their chunks: room for their manifests."""

    def staging(self) -> Space:
        """Look at the disk where chunks are made."""
        return self._look(self._store.staging_directory)

    def content(self) -> Space:
        """Look at the disk where sealed chunks go."""
        return self._look(self._store.content_directory)

    def catalog(self) -> Space:
        """Look at the disk of the catalog."""
        return self._look(self._store.root)

    def check_chunk(self, definition: StreamDefinition, size: int, *, first: bool) -> None:
        """Raise `StorageFullError` unless there is room for one more chunk of `size` bytes, its overview included.

        The first ones of a take must fit where they are made and where they go; later ones may wait in staging.
        """
        staging = self.staging()
        _check(f"{definition.uri}: no room for the next chunk", staging, size, "make room, then start again")
        if first and (content := self.content()).device != staging.device:
            _check(f"{definition.uri}: no room for what is recorded", content, size, "make room, then start again")

    def check_artifact(self, what: str, size: int) -> None:
        """Raise `StorageFullError` unless there is room for something new of `size` bytes besides what is recorded."""
        staging, content = self.staging(), self.content()
        for space in (staging,) if staging.device == content.device else (staging, content):
            _check(f"no room for {what}", space, size, "make room, then try again")

    def check_copy(self, uri: StreamUri, index: int, size: int) -> None:
        """Raise `StorageFullError` if a chunk has to be copied to content and there is no room for it.

        To be asked before the chunk is read: it is asked again and again while the disk is full.
        """
        content = self.content()
        if content.device != os.stat(self._store.staging_directory).st_dev:
            _check(
                f"{uri}: chunk {index} waits in {self._store.staging_directory}",
                content,
                size,
                "make room, and it is sealed by itself",
            )

    def _look(self, path: str) -> Space:
        space = os.statvfs(path)
        reserve = min(self._reserve_bytes, space.f_blocks * space.f_frsize // _RESERVE_PART) + self.promised_bytes
        return Space(path, os.stat(path).st_dev, space.f_bavail * space.f_frsize, reserve)


def _check(trouble: str, space: Space, size: int, advice: str) -> None:
    if space.left_bytes < size:
        raise StorageFullError(
            f"{trouble}: {space.path} is full: it needs {size} bytes, {space.free_bytes} are free and "
            f"{space.reserve_bytes} of them are kept in reserve; {advice}",
            path=space.path,
            bytes_needed=size,
            bytes_free=space.free_bytes,
        )
