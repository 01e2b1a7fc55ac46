"""The life cycle of streams: create, start, stop, and keeping what control knows equal to what the engine does."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from dataclasses import replace
from typing import Any

from jackcapture.catalog import Catalog, TakeRecord
from jackcapture.control.chunk_keeping import ChunkKeeper
from jackcapture.control.chunk_supply import ChunkSupply
from jackcapture.control.contents import Contents
from jackcapture.control.documents import enter_definition
from jackcapture.control.engine_link import EngineLink
from jackcapture.control.jack_presence import NO_STREAMS, engine_with_jack
from jackcapture.control.managed_stream import LiveTake, ManagedStream
from jackcapture.control.takes import Takes
from jackcapture.control.unsealed import UnsealedNotes
from jackcapture.errors import ConflictError, InvalidValueError, JackCaptureError, NotFoundError, UnreachableError
from jackcapture.model.addresses import Staging, staging_of
from jackcapture.model.retention import KEEP_ALL, Retention
from jackcapture.model.starts import BeforeNow, StartMoment, frames_before, resolve_start
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.takes import RUNNING, Take
from jackcapture.model.uris import StreamUri, parse_stream_uri
from jackcapture.protocol import messages
from jackcapture.protocol.messages import AT_ONCE, StreamState
from jackcapture.store import Store

log = logging.getLogger(__name__)

NOW = BeforeNow(0)

_NOW_SECONDS = 1.0  # for what is worth nothing later


class Streams:
    """All streams of the store; methods on the asyncio loop."""

    def __init__(
        self, store: Store, catalog: Catalog, contents: Contents, supply: ChunkSupply, link: EngineLink
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._contents = contents
        self._link = link
        self._notes = UnsealedNotes(store.staging_directory)
        self._chunks = ChunkKeeper(supply, link, self._notes, self._stop_for_lack_of_space)
        self._takes = Takes(store, catalog, contents, self._chunks, self._notes)
        self._streams = {record.definition.uri: ManagedStream(record) for record in catalog.streams()}
        self._creating = asyncio.Lock()
        self.wants_state = asyncio.Event()
        """Set when something happened that the engine's state would explain."""

    # --- what there is ---

    def get(self, uri: str) -> ManagedStream:
        """Give a stream; raises `InvalidValueError` or `NotFoundError`."""
        parsed = parse_stream_uri(uri)
        stream = self._streams.get(parsed)
        if stream is None:
            known = sorted(self._streams)[:20]  # not from the catalog: its disk may not answer
            there_are = f"there are {', '.join(known)}" if known else "there are none; create one first"
            raise NotFoundError(f"no stream {uri}; {there_are}", uri=uri, known=known)
        return stream

    def all(self) -> list[ManagedStream]:
        """Give all streams, by URI."""
        return [self._streams[uri] for uri in sorted(self._streams)]

    async def drained(self, uris: Iterable[str]) -> dict[str, StreamState]:
        """Have the engine move all that JACK has delivered into chunks, and give its exact state of these streams.

        Streams that do not record, and all while the engine does not answer, are left out.
        """
        recording = tuple(uri for uri in uris if self.get(uri).is_recording)
        if not recording:
            return {}
        state = await self._link.request(messages.StateRequest(drain=True, uris=recording), messages.EngineState)
        for stream_state in state.streams:
            self._takes.note_state(self._streams[parse_stream_uri(stream_state.uri)], stream_state)
        return {stream_state.uri: stream_state for stream_state in state.streams}

    async def newest_frame(self) -> int:
        """Give the 64-bit JACK frame after the newest cycle; 0 if the engine does not answer soon, or has no JACK."""
        try:
            return (await self._link.request(NO_STREAMS, messages.EngineState, _NOW_SECONDS)).frame
        except UnreachableError:
            return 0

    @contextlib.asynccontextmanager
    async def kept(self, uris: Iterable[str]) -> AsyncIterator[list[ManagedStream]]:
        """Give streams that are neither started, stopped nor deleted until the block ends."""
        async with _locked(self._named(uris)):
            yield self._named(uris)  # again: one may have been deleted before it was locked

    # --- create, start, stop ---

    async def create(self, definition: StreamDefinition, retention: Retention = KEEP_ALL) -> ManagedStream:
        """Define a stream and, if JACK runs, put its ports into the graph."""
        retention.check_for(definition)
        async with self._creating:
            if definition.uri in self._streams:
                raise ConflictError(
                    f"{definition.uri} exists already; its definition cannot change, so choose another URI",
                    uri=definition.uri,
                )
            # First of all: a stream whose ports JACK refuses must not come to be.
            state = None
            with contextlib.suppress(UnreachableError):  # it is attached when there is a server
                state = await self._link.request(messages.StreamAttach(definition), StreamState)
            try:
                record = await asyncio.to_thread(enter_definition, self._contents, self._catalog, definition, retention)
            except BaseException:
                if state is not None:
                    await self._link.request(messages.StreamDetach(definition.uri), messages.Done)
                raise
            stream = ManagedStream(record, engine_state=state)
            self._streams[definition.uri] = stream
        return stream

    async def keep(self, uri: str, retention: Retention) -> ManagedStream:
        """Change how much of a stream is kept."""
        stream = self.get(uri)
        retention.check_for(stream.definition)
        async with stream.lock:
            await asyncio.to_thread(self._catalog.keeping.set_retention, stream.uri, retention)
            stream.record = replace(stream.record, retention=retention)
        return stream

    async def delete(self, uri: str) -> None:
        """Remove a stream with all that it recorded; raises `ConflictError` while it records or somebody holds it."""
        stream = self.get(uri)
        async with self._creating, stream.lock:
            if stream.take is not None:
                raise ConflictError(f"{stream.uri} is recording; stop it first", uri=stream.uri)
            await asyncio.to_thread(self._catalog.keeping.mark_stream, stream.uri)
            with contextlib.suppress(UnreachableError, NotFoundError):  # then there is nothing to detach
                await self._link.request(messages.StreamDetach(stream.uri), messages.Done)
            await asyncio.to_thread(self._contents.remove_stream, stream.uri)
            del self._streams[stream.uri]

    async def start(self, uris: Iterable[str], at: StartMoment = NOW) -> list[ManagedStream]:
        """Begin a take in each stream, all on the same JACK frame; nothing is started if one cannot be."""
        streams = self._named(uris)
        async with _locked(streams):
            for stream in streams:
                if stream.is_recording:
                    raise ConflictError(f"{stream.uri} is recording already; stop it first", uri=stream.uri)
                if stream.take is not None:
                    raise ConflictError(
                        f"{stream.uri}: take {stream.take.number} has ended and is not all in the store yet: "
                        f"{stream.trouble or 'it is being sealed'}",
                        uri=stream.uri,
                    )
            await engine_with_jack(self._link)
            for stream in streams:
                stream.engine_state = await self._attach(stream)
            chunks = await self._chunks.first_chunks(streams)
            lasts = await asyncio.to_thread(lambda: [self._catalog.last_take(stream.uri) for stream in streams])
            # From here on it has to be quick: the rings hold the start frame for some seconds only.
            names = tuple(stream.uri for stream in streams)
            held = frames_before(at, streams[0].definition.sample_rate)  # all have the rate of the one server
            request = messages.StateRequest(uris=names, hold=held is not None, hold_frames=held or 0)
            state = await self._link.request(request, messages.EngineState)
            try:
                if not state.connected:
                    raise UnreachableError(f"JACK server {state.server!r} has just gone", server=state.server)
                oldest = max((it.oldest_frame for it in state.streams), default=0)
                start_frame = resolve_start(at, frame=state.frame, sample_rate=state.sample_rate, oldest_frame=oldest)
                await self._enter_takes(streams, lasts, state, start_frame, chunks)
                await _all_of(self._begin(stream, chunks[stream.uri][0]) for stream in streams)
                await _all_of(self._give_spares(stream, chunks[stream.uri][1:]) for stream in streams)
            except JackCaptureError:
                await self._undo_start(streams, chunks)
                raise
        for stream in streams:
            self._chunks.top_up_soon(stream)
        return streams

    async def stop(self, uris: Iterable[str], at_frame: int | None = None) -> list[ManagedStream]:
        """End the takes of the streams, all on one JACK frame; returns when all is sealed.

        With `at_frame`, a frame of the past, each ends there, or after what is in its chunks already.
        """
        streams = self._named(uris)
        async with _locked(streams):
            for stream in streams:
                if not stream.is_recording:
                    raise ConflictError(f"{stream.uri} is not recording", uri=stream.uri)
            stop_frame = AT_ONCE if at_frame is None else at_frame
            if at_frame is None and len(streams) > 1:
                names = tuple(stream.uri for stream in streams)
                state = await self._link.request(messages.StateRequest(uris=names, hold=True), messages.EngineState)
                # Chunks may have the cycle that was under way, which the frame does not count yet; no more is moved.
                stop_frame = state.frame + state.period
            await _all_of(self._stop(stream, stop_frame) for stream in streams)
        return streams

    async def stop_all(self) -> None:
        """End every take, for the end of control."""
        recording = [stream.uri for stream in self.all() if stream.is_recording]
        if recording:
            await self.stop(recording)

    async def keep_unsealed(self) -> bool:
        """See that what could not be sealed is found when engine and control are gone; False if that cannot be."""
        pending = [full for stream in self.all() if stream.take is not None for full in stream.take.pending.values()]
        try:
            for full in pending:
                await asyncio.to_thread(self._notes.write, full)
        except JackCaptureError as error:
            log.error("%s", error)
            return False
        if pending:
            log.warning("%d chunks wait in staging until there is room to seal them", len(pending))
        return True

    async def close(self) -> None:
        """Wait for what is under way."""
        await self._chunks.close()

    def _named(self, uris: Iterable[str]) -> list[ManagedStream]:
        streams = [self.get(uri) for uri in dict.fromkeys(uris)]
        if not streams:
            raise InvalidValueError("no stream is named; give at least one stream://<device>/<name>")
        return streams

    async def _attach(self, stream: ManagedStream) -> StreamState:
        state = await self._link.request(messages.StreamAttach(stream.definition), StreamState)
        stream.engine_state = state
        return state

    async def _enter_takes(
        self,
        streams: list[ManagedStream],
        lasts: list[TakeRecord | None],
        engine: messages.EngineState,
        start_frame: int,
        chunks: dict[StreamUri, list[str]],
    ) -> None:
        """Enter the takes that are about to begin, before the engine knows of them."""
        started_at_ns = engine.wall_clock_ns + (start_frame - engine.frame) * 1_000_000_000 // engine.sample_rate
        takes = []
        for stream, last in zip(streams, lasts, strict=True):
            number, first_sample = (1, 0) if last is None else (last.take.number + 1, last.end_sample)
            takes.append(Take(stream.uri, number, start_frame, first_sample, None, started_at_ns, None))
        await asyncio.to_thread(self._catalog.begin_takes, takes)
        for stream, take in zip(streams, takes, strict=True):
            stream.error = ""
            stream.take = LiveTake(
                take.number,
                start_frame,
                take.first_sample,
                engine.engine_id,
                given=list(chunks[stream.uri]),  # of its own: a chunk may be full before the spares are given
                next_sample=take.first_sample,
                head_sample=take.first_sample,
                head_wall_clock_ns=started_at_ns,
            )

    async def _begin(self, stream: ManagedStream, chunk: str) -> None:
        take = stream.take
        assert take is not None
        start = messages.StreamStart(
            stream.uri, stream.definition, chunk, take.start_frame, take.number, take.first_sample
        )
        stream.engine_state = await self._link.request(start, StreamState)

    async def _give_spares(self, stream: ManagedStream, spares: list[str]) -> None:
        for spare in spares:
            await self._link.request(messages.StreamSwitchChunk(stream.uri, spare), messages.Done)
        if stream.take is not None and stream.engine_state is not None:
            stream.take.see_ports(stream.engine_state.ports)
            await self._takes.note_latencies(stream, stream.take)

    async def _undo_start(self, streams: list[ManagedStream], chunks: dict[StreamUri, list[str]]) -> None:
        """Take back a start that failed for one of its streams; what was recorded meanwhile is kept."""
        for stream in streams:
            if stream.take is None:
                await self._chunks.discard(chunks[stream.uri])
                continue
            try:
                await self._stop(stream, AT_ONCE)
            except (ConflictError, NotFoundError) as error:  # the engine records no such take
                log.warning("%s did not start: %s", stream.uri, error)
                await asyncio.to_thread(self._catalog.withdraw_take, stream.uri, stream.take.number)
                await self._chunks.discard(stream.take.given)
                stream.take = None
            except JackCaptureError as error:  # it may record: the engine's next state tells, and nothing is lost
                log.error("%s: %s", stream.uri, error)

    async def _stop(self, stream: ManagedStream, stop_frame: int) -> None:
        state = await self._link.request(messages.StreamStop(stream.uri, stop_frame), StreamState)
        self._takes.note_state(stream, state)
        self._takes.note_end(stream, state)
        await self._takes.finish(stream)

    # --- what the engine says ---

    def on_event(self, event: messages.Event) -> None:
        """Take note of an event of the engine."""
        match event:
            case messages.StreamChunkFull():
                stream = self._streams.get(StreamUri(event.stream_uri))
                if stream is not None:
                    self._chunks.note_full(stream, event)
            case messages.StreamHeadPosition():
                stream = self._streams.get(StreamUri(event.stream_uri))
                if stream is not None and stream.take is not None:
                    stream.take.head_sample = max(stream.take.head_sample, event.sample_position)
                    stream.take.head_wall_clock_ns = event.wall_clock_ns
            case messages.StreamError():
                log.error("%s: %s", event.stream_uri, event.error)
                self.wants_state.set()
            case messages.StreamGap():
                gap = event.gap
                log.warning("%s: lost %d frames at %d (%s)", event.stream_uri, gap.frames, gap.position, gap.cause)
            case messages.JackState():
                log.info("JACK server %s %s", event.server, "connected" if event.connected else "lost")
                self.wants_state.set()

    def note_engine_death(self) -> None:
        """Take note that the engine has died; what is given from now on goes to the next one."""
        for stream in self.all():
            if stream.take is not None:
                stream.take.doubtful |= set(stream.take.given)

    def refresh(self, engine: messages.EngineState, asked_at: float) -> None:
        """Take note of the engine's state, asked for at `asked_at` on time.monotonic."""
        for state in engine.streams:
            stream = self._streams.get(StreamUri(state.uri))
            if stream is not None and not stream.lock.locked() and stream.changed_at < asked_at:
                self._takes.note_state(stream, state)

    async def reconcile(self, engine: messages.EngineState, asked_at: float) -> None:
        """Make up for what was missed: unsealed chunks, ended takes, streams that are not attached, spares.

        The state was asked for at `asked_at` on time.monotonic: it says nothing of a stream that was started or stopped
        since.
        """
        states = {state.uri: state for state in engine.streams}
        for stream in self.all():
            if stream.lock.locked():  # it is being started or stopped, which looks after it
                continue
            async with stream.lock:
                if stream.changed_at >= asked_at:
                    continue
                try:
                    await self._reconcile(stream, engine, states.get(stream.uri))
                    stream.is_in_trouble = False
                except JackCaptureError as error:
                    if not stream.is_in_trouble:  # it is tried again every second
                        log.warning("%s: %s", stream.uri, error)
                    stream.is_in_trouble = True

    async def staging_in_use(self, engine: messages.EngineState) -> set[Staging] | None:
        """Give the staging files that the engine has, or that a take here still needs.

        None while a take is not known to be complete: what is in staging may be all that is left of it.
        """
        if any(stream.take is not None and not stream.take.engine_id for stream in self.all()):
            return None
        has = {path for state in engine.streams for path in (state.chunk.path, *state.spares)}
        has |= {full.path for state in engine.streams for full in state.chunks_done}
        for stream in self.all():
            if stream.take is not None:
                has |= {*stream.take.given, *(full.path for full in stream.take.pending.values())}
        return {staging_of(path) for path in has if path} | await asyncio.to_thread(self._notes.chunks)

    async def _reconcile(self, stream: ManagedStream, engine: messages.EngineState, state: StreamState | None) -> None:
        stream.engine_state = state
        if stream.take is None:
            await self._takes.adopt(stream, engine, state)
        take = stream.take
        if take is not None:
            if state is not None and take.ended_samples is None and take.engine_id != engine.engine_id:
                self._takes.note_next_engine(stream, engine, state)
            gone = state is None or take.engine_id != engine.engine_id or state.take_number != take.number
            if take.ended_samples is None and gone:
                self._takes.note_engine_died(stream)
            elif state is not None:
                self._takes.note_state(stream, state)
                if take.ended_samples is None and state.status not in RUNNING:
                    self._takes.note_end(stream, state)
            for full in list(take.pending.values()):
                self._chunks.seal_soon(stream, full)
            if take.ended_samples is not None:
                await self._takes.finish(stream)
            else:
                self._chunks.top_up_soon(stream)
        if state is None and engine.connected and stream.take is None:
            await self._attach_quietly(stream, engine)
        if stream.take is None:
            await self._takes.ensure_manifest(stream)

    async def _attach_quietly(self, stream: ManagedStream, engine: messages.EngineState) -> None:
        """Attach a stream as soon as that is possible; what stands against it is the stream's error."""
        if stream.definition.sample_rate != engine.sample_rate:
            return  # a start says so; JACK may come back at the right rate
        try:
            await self._attach(stream)
        except JackCaptureError as error:
            if stream.error != error.message:
                log.warning("%s", error)
            stream.error = error.message

    async def _stop_for_lack_of_space(self, stream: ManagedStream) -> None:
        async with _locked([stream]):
            if stream.take is None or not stream.is_recording or not stream.space_error:  # there may be room again
                return
            stream.take.error = stream.space_error
            try:
                await self._stop(stream, AT_ONCE)
            except JackCaptureError as error:
                log.error("%s: %s", stream.uri, error)


async def _all_of(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all at once, and raise the first error when all are done."""
    for outcome in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


@contextlib.asynccontextmanager
async def _locked(streams: list[ManagedStream]) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for stream in sorted(
            streams, key=lambda stream: stream.uri
        ):  # one order, so that two calls cannot wait in a ring
            await stack.enter_async_context(stream.lock)
        try:
            yield
        finally:
            for stream in streams:
                stream.changed_at = time.monotonic()
