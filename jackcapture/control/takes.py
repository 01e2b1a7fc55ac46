"""What becomes of the takes that run: they are taken up from a dead control or engine, followed, ended and sealed."""

import asyncio
import logging
import time

from jackcapture.catalog import Catalog, TakeRecord
from jackcapture.control.chunk_keeping import ChunkKeeper
from jackcapture.control.contents import Contents
from jackcapture.control.documents import ensure_manifest
from jackcapture.control.managed_stream import LiveTake, ManagedStream
from jackcapture.control.unsealed import UnsealedNotes
from jackcapture.errors import JackCaptureError
from jackcapture.model.takes import RUNNING, Take
from jackcapture.protocol import messages
from jackcapture.protocol.messages import StreamChunkFull, StreamState
from jackcapture.store import Store

log = logging.getLogger(__name__)


class Takes:
    """The takes of all streams; methods on the asyncio loop, for a stream whose lock is held."""

    def __init__(
        self, store: Store, catalog: Catalog, contents: Contents, chunks: ChunkKeeper, notes: UnsealedNotes
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._contents = contents
        self._chunks = chunks
        self._notes = notes

    async def adopt(self, stream: ManagedStream, engine: messages.EngineState, state: StreamState | None) -> None:
        """Take up a take that an earlier control began: from the engine, or, if that is gone too, from the catalog."""
        last = await asyncio.to_thread(self._catalog.last_take, stream.uri)
        unfinished = last is not None and last.take.samples is None
        if state is not None and state.take_number and (unfinished or state.status in RUNNING or state.chunks_done):
            begun = Take(
                stream.uri, state.take_number, state.start_frame, state.first_sample, None, engine.wall_clock_ns, None
            )
            await asyncio.to_thread(self._catalog.begin_take, begun)
            known = last.take.latencies if last is not None and last.take.number == state.take_number else ()
            stream.take = LiveTake(
                state.take_number,
                state.start_frame,
                state.first_sample,
                engine.engine_id,
                given=[path for path in (state.chunk.path, *state.spares) if path],
                next_index=state.chunk.index,
                next_sample=state.chunk.first_sample,
                latencies=known,
                noted_latencies=known,
            )
        elif last is not None and unfinished:
            noted = await asyncio.to_thread(self._notes.of_take, stream.uri, last.take.number)
            stream.take = LiveTake(last.take.number, last.take.start_frame, last.take.first_sample, "")
            stream.take.pending = {full.chunk_index: full for full in noted}
            stream.take.head_sample = await asyncio.to_thread(self._end_of, last, noted)
            stream.take.ended_samples = stream.take.head_sample - last.take.first_sample
            stream.take.ended_at_ns = time.time_ns()
            stream.take.error = (
                "engine and control ended while chunks waited in staging; the take ends with the last of those"
                if noted
                else "engine and control ended without notice; the take ends with its last sealed chunk"
            )

    def _end_of(self, last: TakeRecord, noted: list[StreamChunkFull]) -> int:
        """Give the position after the last chunk of a take, sealed or noted: a later one may be sealed already."""
        sealed = self._catalog.sealed_end(last.take.uri, last.take.number)
        return max(sealed, *(full.first_sample + full.samples_written for full in noted), last.take.first_sample)

    def note_state(self, stream: ManagedStream, state: StreamState) -> None:
        """Take note of what the engine says of a stream."""
        stream.engine_state = state
        for full in state.chunks_done:
            self._chunks.note_full(stream, full)
        take = stream.take
        if take is not None and state.take_number == take.number:
            take.head_sample = max(take.head_sample, state.head_sample)
            take.see_ports(state.ports)
            if take.latencies != take.noted_latencies:
                self._chunks.spawn(self._note_latencies_quietly(stream, take))

    def note_next_engine(self, stream: ManagedStream, engine: messages.EngineState, state: StreamState) -> None:
        """Take note that another engine goes on in the take of one that died; it has what that one's journal names."""
        take = stream.take
        assert take is not None
        if (state.take_number, state.start_frame) != (take.number, take.start_frame):
            return
        # Only what the dead one was given: the next one may have got more since it told its state.
        has = {state.chunk.path, *state.spares, *(full.path for full in state.chunks_done)}
        nobodys = take.doubtful - has
        take.engine_id, take.doubtful = engine.engine_id, set()
        take.given = [path for path in take.given if path not in nobodys]
        self._chunks.spawn(self._chunks.discard(nobodys))
        log.warning("%s: take %d goes on in engine %d", stream.uri, take.number, engine.pid)

    def note_end(self, stream: ManagedStream, state: StreamState) -> None:
        """Note that the engine has ended the take."""
        take = stream.take
        assert take is not None
        take.ended_samples = state.head_sample - state.first_sample
        take.ended_at_ns = state.chunks_done[-1].wall_clock_ns if state.chunks_done else time.time_ns()
        take.error = take.error or state.error

    def note_engine_died(self, stream: ManagedStream) -> None:
        """End the take of an engine that is no more, with what it is known to have written into its chunks."""
        take = stream.take
        assert take is not None
        while stream.definition.is_audio and take.next_sample < take.head_sample and take.given:
            samples = min(take.head_sample - take.next_sample, stream.definition.chunk_frames)
            full = StreamChunkFull(
                stream_uri=stream.uri,
                path=take.given.pop(0),
                bytes_written=samples * stream.definition.audio.frame_bytes,
                samples_written=samples,
                wall_clock_ns=take.head_wall_clock_ns,
                take_number=take.number,
                chunk_index=take.next_index,
                first_sample=take.next_sample,
            )
            take.pending[full.chunk_index] = full
            take.next_index += 1
            take.next_sample += samples
        take.ended_samples = take.next_sample - take.first_sample
        take.ended_at_ns = take.head_wall_clock_ns
        take.error = "the engine died; the take ends with the last position that it told"
        log.error("%s: %s", stream.uri, take.error)

    async def finish(self, stream: ManagedStream) -> None:
        """Seal what is left of an ended take and enter its end; if that fails it is tried again later."""
        take = stream.take
        assert take is not None
        assert take.ended_samples is not None
        while take.pending:
            await asyncio.gather(*(self._chunks.seal(stream, full) for full in list(take.pending.values())))
        await self.note_latencies(stream, take)
        stream.has_manifest = False
        if not take.engine_id:  # chunks are sealed side by side: with the power, one before the last may have gone
            await asyncio.to_thread(self._catalog.keeping.note_lost, stream.uri, take.number)
        await asyncio.to_thread(
            self._catalog.end_take, stream.uri, take.number, take.ended_samples, take.ended_at_ns, take.error
        )
        await self._chunks.discard(take.given)
        stream.error = take.error
        stream.take = None
        stream.space_error = ""
        await self.ensure_manifest(stream)

    async def ensure_manifest(self, stream: ManagedStream) -> None:
        """Put the manifest of what has ended into the store, unless it is there; if that fails it is tried again."""
        if not stream.has_manifest:
            await asyncio.to_thread(ensure_manifest, self._store, self._contents, self._catalog, stream.record)
            stream.has_manifest = True

    async def note_latencies(self, stream: ManagedStream, take: LiveTake) -> None:
        """Enter a take's latencies in the catalog if they are others than those that it has."""
        async with take.noting:
            latencies = take.latencies
            if latencies != take.noted_latencies:
                await asyncio.to_thread(self._catalog.note_latencies, stream.uri, take.number, latencies)
                take.noted_latencies = latencies

    async def _note_latencies_quietly(self, stream: ManagedStream, take: LiveTake) -> None:
        try:
            await self.note_latencies(stream, take)
        except JackCaptureError as error:  # the next state tries again
            log.warning("%s: the latencies of take %d are not noted: %s", stream.uri, take.number, error)
