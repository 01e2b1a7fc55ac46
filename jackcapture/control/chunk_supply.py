"""Makes staging chunks ahead of need, and seals full ones into the store. The blocking work runs on threads."""

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from jackcapture.catalog import Catalog, SealedChunk
from jackcapture.control.contents import Contents
from jackcapture.control.disk_space import DiskSpace
from jackcapture.errors import JackCaptureError, NotFoundError
from jackcapture.model.addresses import Content, Staging, StagingOverview, staging_of
from jackcapture.model.overviews import overview_bytes, overview_room
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.takes import Chunk
from jackcapture.model.uris import StreamUri, parse_stream_uri
from jackcapture.protocol.messages import StreamChunkFull
from jackcapture.settings import Settings
from jackcapture.store import Sealed, Store

log = logging.getLogger(__name__)

MIN_SPARES = 2
MAX_SPARES = 256


class ChunkSupply:
    """Staging chunks of all streams; methods on the asyncio loop."""

    def __init__(self, settings: Settings, store: Store, catalog: Catalog, contents: Contents) -> None:
        self._settings = settings
        self._store = store
        self._catalog = catalog
        self._contents = contents
        self.space = DiskSpace(settings, store)
        self._begun: dict[int, float] = {}  # by thread
        # Two pools: a spare must not wait behind the fsync of a full chunk.
        self._making = ThreadPoolExecutor(2, thread_name_prefix="spares")
        self._sealing = ThreadPoolExecutor(settings.seal_threads, thread_name_prefix="seal")

    def spares_wanted(self, definition: StreamDefinition) -> int:
        """Give how many spares a stream needs to go on for `spare_seconds` without control."""
        seconds_per_chunk = definition.chunk_frames / definition.sample_rate
        return min(MAX_SPARES, max(MIN_SPARES, math.ceil(self._settings.spare_seconds / seconds_per_chunk)))

    async def make(self, definition: StreamDefinition, *, first: bool = False) -> str:
        """Make a preallocated chunk with its overview, and give its path; `first`: for a take that is to begin.

        Raises `StorageFullError` with the bytes needed.
        """
        return await asyncio.get_running_loop().run_in_executor(self._making, self._make, definition, first)

    async def discard(self, path: str) -> None:
        """Remove a chunk that holds nothing, and its overview."""
        await asyncio.get_running_loop().run_in_executor(self._making, self._store.discard, staging_of(path))

    async def seal(self, full: StreamChunkFull) -> SealedChunk | None:
        """Seal a full chunk and its overview, and enter them in the catalog. May be repeated after any failure."""
        return await asyncio.get_running_loop().run_in_executor(self._sealing, self._seal_busily, full)

    def busy_seconds(self) -> float:
        """Give how long the chunk that is longest under way to the disk has been so; 0 if none is."""
        now = time.monotonic()
        return max((now - began for began in list(self._begun.values())), default=0.0)

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        """Note that this thread is busy with the disk."""
        me = threading.get_ident()
        self._begun[me] = time.monotonic()
        try:
            yield
        finally:
            del self._begun[me]

    def close(self) -> None:
        """Wait for what is under way and end the threads."""
        self._making.shutdown()
        self._sealing.shutdown()

    def _make(self, definition: StreamDefinition, first: bool) -> str:
        overview_size = overview_room(definition)
        with self._busy():
            self.space.check_chunk(definition, definition.chunk_size_bytes + overview_size, first=first)
            return self._store.path(self._store.create_staging(definition.chunk_size_bytes, overview_size))

    def _seal_busily(self, full: StreamChunkFull) -> SealedChunk | None:
        with self._busy():
            return self._seal(full)

    def _seal(self, full: StreamChunkFull) -> SealedChunk | None:
        uri = parse_stream_uri(full.stream_uri)
        staging = staging_of(full.path)
        known = self._known(uri, full)
        if known is None and not self._catalog.keeping.was_removed(uri, full.take_number, full.chunk_index):
            self.space.check_copy(uri, full.chunk_index, full.bytes_written)
            content = self._store.make_ready(staging, full.bytes_written)
            with contextlib.ExitStack() as stack:
                overview = self._ready_overview(uri, full, stack)
                with self._contents.entering():
                    known = self._enter(uri, full, staging, content, overview)
        self._store.discard(staging)
        return known

    def _enter(
        self, uri: StreamUri, full: StreamChunkFull, staging: Staging, content: Content, ready: "_Ready | None"
    ) -> SealedChunk:
        # First, while the chunk can be sealed again if this ends in the middle.
        overview = None if ready is None else self._enter_overview(uri, full, ready)
        # The name stays until the row is there: whoever dies in between finds the chunk and seals it again.
        self._store.enter(staging, content, full.bytes_written, keep_name=True)
        sealed = SealedChunk(
            full.take_number,
            Chunk(
                index=full.chunk_index,
                first_sample=full.first_sample,
                samples=full.samples_written,
                bytes=full.bytes_written,
                wall_clock_ns=full.wall_clock_ns,
                gaps=full.gaps,
                clocks=full.clocks,
                clipped_samples=full.clipped_samples,
            ),
            content,
            None if overview is None else overview.content,
        )
        self._catalog.add_chunk(uri, sealed, overview_bytes=0 if overview is None else overview.bytes)
        return sealed

    def _ready_overview(self, uri: StreamUri, full: StreamChunkFull, stack: contextlib.ExitStack) -> "_Ready | None":
        """Make what is valid of the chunk's overview ready, if there is one; `stack` undoes or ends that."""
        definition = self._catalog.stream(uri).definition
        if not definition.is_audio:
            return None
        address = StagingOverview(staging_of(full.path).id)
        size = overview_bytes(full.samples_written, definition.audio.channels)
        try:
            staged = self._store.stage(self._store.read(address, 0, size))
            return _Ready(staged, stack.enter_context(self._contents.undoing(staged, size)), size)
        except JackCaptureError as error:
            _warn_without_overview(uri, full, error)
            return None

    def _enter_overview(self, uri: StreamUri, full: StreamChunkFull, ready: "_Ready") -> Sealed | None:
        try:
            return self._store.enter(ready.staging, ready.content, ready.bytes, keep_name=True)
        except JackCaptureError as error:
            _warn_without_overview(uri, full, error)
            return None

    def _known(self, uri: str, full: StreamChunkFull) -> SealedChunk | None:
        """Give the chunk if an earlier try came as far as the catalog."""
        try:
            return self._catalog.chunk(parse_stream_uri(uri), full.take_number, full.chunk_index)
        except NotFoundError:
            return None


@dataclass(frozen=True, slots=True)
class _Ready:
    """A staging file that was made ready for its name in content."""

    staging: Staging
    content: Content
    bytes: int


def _warn_without_overview(uri: StreamUri, full: StreamChunkFull, error: JackCaptureError) -> None:
    """Nothing about an overview stops its chunk."""
    log.warning(
        "%s: chunk %d of take %d is sealed without an overview: %s", uri, full.chunk_index, full.take_number, error
    )
