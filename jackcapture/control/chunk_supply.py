"""Makes staging chunks ahead of need, and seals full ones into the store. The blocking work runs on threads."""

import asyncio
import logging
import math
import os
from concurrent.futures import ThreadPoolExecutor

from jackcapture.catalog import Catalog, SealedChunk
from jackcapture.errors import NotFoundError, StorageFullError
from jackcapture.model.addresses import staging_of
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.takes import Chunk
from jackcapture.model.uris import parse_stream_uri
from jackcapture.protocol.messages import StreamChunkFull
from jackcapture.settings import Settings
from jackcapture.store import Store

log = logging.getLogger(__name__)

MIN_SPARES = 2
MAX_SPARES = 256
_RESERVE_PART = 20  # on a small disk: at most this part of it is reserved


class ChunkSupply:
    """Staging chunks of all streams; methods on the asyncio loop."""

    def __init__(self, settings: Settings, store: Store, catalog: Catalog) -> None:
        self._settings = settings
        self._store = store
        self._catalog = catalog
        # Two pools: a spare must not wait behind the fsync of a full chunk.
        self._making = ThreadPoolExecutor(2, thread_name_prefix="spares")
        self._sealing = ThreadPoolExecutor(settings.seal_threads, thread_name_prefix="seal")

    def spares_wanted(self, definition: StreamDefinition) -> int:
        """Give how many spares a stream needs to go on for `spare_seconds` without control."""
        seconds_per_chunk = definition.chunk_frames / definition.sample_rate
        return min(MAX_SPARES, max(MIN_SPARES, math.ceil(self._settings.spare_seconds / seconds_per_chunk)))

    async def make(self, definition: StreamDefinition) -> str:
        """Make a preallocated chunk and give its path; raises `StorageFullError` with the bytes needed."""
        return await asyncio.get_running_loop().run_in_executor(
            self._making, self._make, definition.uri, definition.chunk_size_bytes
        )

    async def discard(self, path: str) -> None:
        """Remove a chunk that holds nothing."""
        await asyncio.get_running_loop().run_in_executor(self._making, self._store.discard, staging_of(path))

    async def seal(self, full: StreamChunkFull) -> SealedChunk:
        """Seal a full chunk and enter it in the catalog. May be repeated after any failure."""
        return await asyncio.get_running_loop().run_in_executor(self._sealing, self._seal, full)

    def close(self) -> None:
        """Wait for what is under way and end the threads."""
        self._making.shutdown()
        self._sealing.shutdown()

    def _make(self, uri: str, size: int) -> str:
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
        return self._store.path(self._store.create_staging(size))

    def _seal(self, full: StreamChunkFull) -> SealedChunk:
        uri = parse_stream_uri(full.stream_uri)
        staging = staging_of(full.path)
        known = self._known(uri, full)
        if known is None:
            # The name stays until the row is there: whoever dies in between finds the chunk and seals it again.
            sealed = self._store.seal(staging, full.bytes_written, keep_name=True)
            known = SealedChunk(
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
                sealed.content,
            )
            self._catalog.add_chunk(uri, known)
        self._store.discard(staging)
        return known

    def _known(self, uri: str, full: StreamChunkFull) -> SealedChunk | None:
        """Give the chunk if an earlier try came as far as the catalog."""
        try:
            return self._catalog.chunk(parse_stream_uri(uri), full.take_number, full.chunk_index)
        except NotFoundError:
            return None
