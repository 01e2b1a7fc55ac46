"""Keeps the engine in chunks: first ones and spares go there, full ones come back and are sealed."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from jackcapture.catalog import SealedChunk
from jackcapture.control.chunk_supply import MIN_SPARES, ChunkSupply
from jackcapture.control.engine_link import EngineLink
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.unsealed import UnsealedNotes
from jackcapture.errors import ConflictError, JackCaptureError, StorageError, UnreachableError
from jackcapture.model.uris import StreamUri
from jackcapture.protocol import messages
from jackcapture.protocol.messages import StreamChunkFull

log = logging.getLogger(__name__)

ENDING_SECONDS = 2.0
"""A take that gets no more chunks is ended when its last one has room for so long; until then space may come back."""


class ChunkKeeper:
    """Hands chunks over, for all streams; methods on the asyncio loop.

    `out_of_space` is awaited, in the background, for a stream that has its last chunk and can get no other.
    """

    def __init__(
        self,
        supply: ChunkSupply,
        link: EngineLink,
        notes: UnsealedNotes,
        out_of_space: Callable[[ManagedStream], Coroutine[Any, Any, None]],
    ) -> None:
        self._supply = supply
        self._link = link
        self._notes = notes
        self._out_of_space = out_of_space
        self._sealing: dict[str, asyncio.Task[SealedChunk | None]] = {}  # by path
        self._background: set[asyncio.Task[None]] = set()

    # --- to the engine ---

    async def first_chunks(self, streams: Iterable[ManagedStream]) -> dict[StreamUri, list[str]]:
        """Make what each stream needs to begin: a chunk and the first spares; none is left if that fails."""
        made: dict[StreamUri, list[str]] = {}
        try:
            for stream in streams:
                paths = made[stream.uri] = []
                for _ in range(1 + MIN_SPARES):
                    paths.append(await self._supply.make(stream.definition, first=True))
        except JackCaptureError:
            await self.discard(path for paths in made.values() for path in paths)
            raise
        return made

    def top_up_soon(self, stream: ManagedStream) -> None:
        """Give the engine spares, in the background, until it has enough."""
        self.spawn(self._top_up(stream))

    async def discard(self, paths: Iterable[str]) -> None:
        """Remove chunks that hold nothing."""
        for path in paths:
            await self._supply.discard(path)

    async def _top_up(self, stream: ManagedStream) -> None:
        """Give the engine spares until it has enough; on a full disk end the take before it is out of chunks."""
        if stream.is_topping_up:
            return
        stream.is_topping_up = True
        wanted = 1 + self._supply.spares_wanted(stream.definition)
        try:
            while (take := stream.take) is not None and take.ended_samples is None and len(take.given) < wanted:
                path = await self._supply.make(stream.definition)
                if stream.take is not take or take.ended_samples is not None:
                    await self._supply.discard(path)
                    return
                take.given.append(path)
                stream.space_error = ""
                try:
                    await self._link.request(messages.StreamSwitchChunk(stream.uri, path), messages.Done)
                except ConflictError:  # the take has just ended
                    return
        except StorageError as error:
            self._storage_failed(stream, error)
        except JackCaptureError as error:
            log.warning("%s: no spare chunk given: %s", stream.uri, error)
        finally:
            stream.is_topping_up = False

    def _storage_failed(self, stream: ManagedStream, error: StorageError) -> None:
        take = stream.take
        if take is None or take.ended_samples is not None:
            return
        if not stream.space_error:  # it is tried again every second
            log.error("%s", error)
        stream.space_error = error.message
        is_last = len(take.given) == 1 and take.seconds_in_chunk(stream.definition) < ENDING_SECONDS
        if is_last or not take.given:
            self.spawn(self._out_of_space(stream))

    # --- from the engine ---

    def note_full(self, stream: ManagedStream, full: StreamChunkFull) -> None:
        """Begin to seal a full chunk, unless that is under way."""
        take = stream.take
        if take is None or full.take_number != take.number:
            if full.path not in self._sealing:
                self.seal_soon(stream, full)
            return
        if full.path in take.given:
            take.given.remove(full.path)
        if full.chunk_index >= take.next_index:
            take.next_index = full.chunk_index + 1
            take.next_sample = full.first_sample + full.samples_written
        if full.path not in self._sealing:
            take.pending[full.chunk_index] = full
            self.seal_soon(stream, full)
        if take.ended_samples is None:
            self.top_up_soon(stream)

    async def seal(self, stream: ManagedStream, full: StreamChunkFull) -> SealedChunk | None:
        """Seal a chunk once, whoever asks; then let the engine forget it."""
        task = self._sealing.get(full.path)
        if task is None:
            task = asyncio.create_task(self._supply.seal(full))
            self._sealing[full.path] = task
            task.add_done_callback(lambda _: self._sealing.pop(full.path, None))
        try:
            sealed = await asyncio.shield(task)
        except JackCaptureError as error:
            await self._note_unsealed(stream, full, error)
            raise
        stream.sealing_error = ""
        if self._notes.has(full.path):
            await asyncio.to_thread(self._notes.remove, full.path)
        take = stream.take
        if take is not None and full.take_number == take.number:
            take.pending.pop(full.chunk_index, None)
        with contextlib.suppress(UnreachableError):  # it asks again in its next state
            await self._link.request(messages.ChunkRelease(stream.uri, full.path), messages.Done)
        return sealed

    def seal_soon(self, stream: ManagedStream, full: StreamChunkFull) -> None:
        """Seal in the background; a failure is tried again at the next state."""
        self.spawn(self._seal_quietly(stream, full))

    async def _seal_quietly(self, stream: ManagedStream, full: StreamChunkFull) -> None:
        with contextlib.suppress(JackCaptureError):  # it is noted
            await self.seal(stream, full)

    async def _note_unsealed(self, stream: ManagedStream, full: StreamChunkFull, error: JackCaptureError) -> None:
        """Take note that a chunk waits in staging, for the time being and, should we end, for whoever comes next."""
        if not stream.sealing_error:  # it is tried again every second
            log.error("%s: chunk %d is not sealed: %s", stream.uri, full.chunk_index, error)
        stream.sealing_error = error.message
        if not isinstance(error, StorageError):
            return
        try:
            await asyncio.to_thread(self._notes.write, full)
        except JackCaptureError as failure:
            log.error("%s", failure)

    # --- in the background ---

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in the background; `close` ends it."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        """Wait for what is under way."""
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, *self._sealing.values(), return_exceptions=True)
