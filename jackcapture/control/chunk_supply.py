"""Makes staging chunks ahead of need, and seals full ones into the store. The blocking work runs on threads."""

import asyncio
import logging
import math
import os
from concurrent.futures import ThreadPoolExecutor

from jackcapture.catalog import Catalog, SealedChunk
from jackcapture.control.contents import Contents
from jackcapture.errors import JackCaptureError, NotFoundError, StorageFullError
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
_RESERVE_PART = 20  # on a small disk: at most this part of it is reserved


class ChunkSupply:
    """Staging chunks of all streams; methods on the asyncio loop."""

    def __init__(self, settings: Settings, store: Store, catalog: Catalog, contents: Contents) -> None:
        self._settings = settings
        self._store = store
        self._catalog = catalog
        self._contents = contents
        # Two pools: a spare must not wait behind the fsync of a full chunk.
        self._making = ThreadPoolExecutor(2, thread_name_prefix="spares")
        self._sealing = ThreadPoolExecutor(settings.seal_threads, thread_name_prefix="seal")

    def spares_wanted(self, definition: StreamDefinition) -> int:
        """Give how many spares a stream needs to go on for `spare_seconds` without control."""
        seconds_per_chunk = definition.chunk_frames / definition.sample_rate
        return min(MAX_SPARES, max(MIN_SPARES, math.ceil(self._settings.spare_seconds / seconds_per_chunk)))

    async def make(self, definition: StreamDefinition) -> str:
        """Make a preallocated chunk with its overview, and give its path.

        Raises `StorageFullError` with the bytes needed.
        """
        return await asyncio.get_running_loop().run_in_executor(
            self._making, self._make, definition.uri, definition.chunk_size_bytes, overview_room(definition)
        )

    async def discard(self, path: str) -> None:
        """Remove a chunk that holds nothing, and its overview."""
        await asyncio.get_running_loop().run_in_executor(self._making, self._store.discard, staging_of(path))

    async def seal(self, full: StreamChunkFull) -> SealedChunk:
        """Seal a full chunk and its overview, and enter them in the catalog. May be repeated after any failure."""
        return await asyncio.get_running_loop().run_in_executor(self._sealing, self._seal, full)

    def close(self) -> None:
        """Wait for what is under way and end the threads."""
        self._making.shutdown()
        self._sealing.shutdown()

    def _make(self, uri: str, chunk_size: int, overview_size: int) -> str:
        size = chunk_size + overview_size
        space = os.statvfs(self._store.staging_directory)
        free = space.f_bavail * space.f_frsize
        reserve = min(self._settings.disk_reserve_bytes, space.f_blocks * space.f_frsize // _RESERVE_PART)
        if free < size + reserve:
            raise StorageFullError(
                f"{uri}: no room for the next chunk in {self._store.staging_directory}: it needs {size} bytes, "
                f"{free} are free and {reserve} of them are kept in reserve; make room, then start again",
                path=self._store.staging_directory,
                bytes_needed=size,
                bytes_free=free,
            )
        return self._store.path(self._store.create_staging(chunk_size, overview_size))

    def _seal(self, full: StreamChunkFull) -> SealedChunk:
        uri = parse_stream_uri(full.stream_uri)
        staging = staging_of(full.path)
        known = self._known(uri, full)
        if known is None:
            content = self._store.make_ready(staging, full.bytes_written)
            with self._contents.entering():
                known = self._enter(uri, full, staging, content)
        self._store.discard(staging)
        return known

    def _enter(self, uri: StreamUri, full: StreamChunkFull, staging: Staging, content: Content) -> SealedChunk:
        # First, while the chunk can be sealed again if this ends in the middle.
        overview = self._put_overview(uri, full)
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

    def _put_overview(self, uri: StreamUri, full: StreamChunkFull) -> Sealed | None:
        """Make what is valid of the chunk's overview content, if there is one; nothing about it stops a chunk."""
        definition = self._catalog.stream(uri).definition
        if not definition.is_audio:
            return None
        address = StagingOverview(staging_of(full.path).id)
        size = overview_bytes(full.samples_written, definition.audio.channels)
        try:
            return self._store.put(self._store.read(address, 0, size))
        except JackCaptureError as error:
            log.warning(
                "%s: chunk %d of take %d is sealed without an overview: %s",
                uri,
                full.chunk_index,
                full.take_number,
                error,
            )
            return None

    def _known(self, uri: str, full: StreamChunkFull) -> SealedChunk | None:
        """Give the chunk if an earlier try came as far as the catalog."""
        try:
            return self._catalog.chunk(parse_stream_uri(uri), full.take_number, full.chunk_index)
        except NotFoundError:
            return None
