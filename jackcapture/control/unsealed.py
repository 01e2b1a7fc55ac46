"""Notes of full chunks that could not be sealed, beside staging: who comes after engine and control finds them there.

While the disk of content or catalog is full, chunks wait in staging. The engine remembers them, but not over its end;
without a note nobody would know what they are. One file per chunk, named as it, holding the engine's own message.
"""

import contextlib
import logging
import os
import threading

from jackcapture.errors import InvalidValueError, JackCaptureError, StorageError
from jackcapture.model.addresses import Staging
from jackcapture.protocol.framing import Broadcast, decode_broadcast, encode_broadcast
from jackcapture.protocol.messages import StreamChunkFull
from jackcapture.store.layout import UNSEALED

log = logging.getLogger(__name__)

_UNFINISHED = ".new"


class UnsealedNotes:
    """The notes of one store. Any thread; all methods block but `has`."""

    def __init__(self, staging_directory: str) -> None:
        self._directory = os.path.join(os.path.dirname(staging_directory), UNSEALED)
        self._lock = threading.Lock()
        self._noted = self._names()
        self.read()

    def read(self) -> list[StreamChunkFull]:
        """Give all chunks that are noted and still there, in their order; remove notes of those that are not."""
        found = []
        with self._lock:
            for name in self._names():
                path = os.path.join(self._directory, name)
                try:
                    with open(path, "rb") as file:
                        event = decode_broadcast(file.read()).event
                except (OSError, JackCaptureError) as error:
                    log.error("%s is no note of a chunk: %s", path, error)
                    continue
                if isinstance(event, StreamChunkFull) and os.path.exists(event.path):
                    found.append(event)
                else:
                    self._remove(name)
        return sorted(found, key=lambda full: (full.stream_uri, full.take_number, full.chunk_index))

    def of_take(self, uri: str, take_number: int) -> list[StreamChunkFull]:
        """Give the noted chunks of one take, in their order."""
        return [full for full in self.read() if (full.stream_uri, full.take_number) == (uri, take_number)]

    def chunks(self) -> set[Staging]:
        """Give the chunks that have a note, also one that cannot be read."""
        found = set()
        for name in self._names():
            with contextlib.suppress(InvalidValueError):
                found.add(Staging(name))
        return found

    def write(self, full: StreamChunkFull) -> None:
        """Note a chunk, durably; raises `StorageError`."""
        name = os.path.basename(full.path)
        path = os.path.join(self._directory, name)
        with self._lock:
            if name in self._noted:
                return
            try:
                self._write(path, encode_broadcast(Broadcast(0, "", full)))
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.unlink(path + _UNFINISHED)
                raise StorageError(
                    f"chunk {full.path} waits in staging, but that it does cannot be noted in {self._directory}: "
                    f"{error.strerror}; make room, and do not end jackcapture before",
                    path=path,
                ) from error
            self._noted.add(name)

    def remove(self, path: str) -> None:
        """Remove the note of a chunk that is sealed now."""
        with self._lock:
            self._remove(os.path.basename(path))

    def has(self, path: str) -> bool:
        """Tell whether a chunk is noted."""
        return os.path.basename(path) in self._noted

    def _names(self) -> set[str]:
        try:
            return {name for name in os.listdir(self._directory) if not name.endswith(_UNFINISHED)}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def _write(self, path: str, data: bytes) -> None:
        os.makedirs(self._directory, 0o700, exist_ok=True)
        new = path + _UNFINISHED
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(new, path)
        for directory in (self._directory, os.path.dirname(self._directory)):
            _sync(directory)

    def _remove(self, name: str) -> None:
        with contextlib.suppress(OSError):  # a note without its chunk is removed when it is read
            os.unlink(os.path.join(self._directory, name))
        self._noted.discard(name)


def _sync(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
