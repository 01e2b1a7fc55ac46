"""The life cycle of sessions: create, play and stop again and again, close, delete; and their marks.

All of it is in the catalog, so a session outlives control. What happens to a take meanwhile is the catalog's to tell:
one that ended by itself ends its stream's range, not the segment.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from jackcapture.catalog import Catalog
from jackcapture.control.contents import Contents
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.sessions.clocks import nominal_clock
from jackcapture.control.sessions.document import enter_session
from jackcapture.control.sessions.marks import Marks
from jackcapture.control.sessions.pre_roll import frame_before, pre_roll_ns, start_before
from jackcapture.control.sessions.recorded import RecordedRanges
from jackcapture.control.sessions.settings import session_settings
from jackcapture.control.sessions.watching import SuggestionWatcher
from jackcapture.control.streams import Streams
from jackcapture.errors import ConflictError, InvalidValueError, JackCaptureError
from jackcapture.model.places import MAX_SAMPLE_POSITION
from jackcapture.model.sessions import (
    Mark,
    Relocation,
    Segment,
    SegmentClock,
    SegmentRange,
    Session,
    SessionMode,
    SessionStatus,
)
from jackcapture.model.starts import AsFarAs, AtFrame, StartMoment
from jackcapture.model.uris import StreamUri
from jackcapture.store import Store

log = logging.getLogger(__name__)


class Sessions:
    """All sessions of the store; methods on the asyncio loop."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        contents: Contents,
        streams: Streams,
        watcher: SuggestionWatcher,
        ring_seconds: float,
    ) -> None:
        self._watcher = watcher
        self._store = store
        self._catalog = catalog
        self._contents = contents
        self._streams = streams
        self._ring_seconds = ring_seconds
        self._recorded = RecordedRanges(catalog, streams)
        self._marks = Marks(store, catalog, contents, self._recorded)
        # One change at a time: sessions share streams, and whoever stops last ends the take.
        self._changing = asyncio.Lock()
        self._armed: dict[str, int] = {}  # by session: JACK's newest frame when it was created, by this control

    # --- life cycle ---

    async def create(
        self, uris: Sequence[StreamUri], mode: SessionMode, name: str | None, settings: Mapping[str, Any] | None = None
    ) -> Session:
        """Make a session of streams that have one sample rate; its name is its id unless one is given."""
        session_id = f"session-{secrets.token_hex(6)}"
        async with self._streams.kept(uris) as streams:
            rates = {stream.definition.sample_rate for stream in streams}
            if len(rates) > 1:
                raise InvalidValueError(
                    f"the streams have the sample rates {', '.join(map(str, sorted(rates)))} Hz: a session has one "
                    "timeline, so its streams must have the same",
                    sample_rates=sorted(rates),
                )
            if session_settings(settings or {}).transport.follow:
                self._armed[session_id] = await self._streams.newest_frame()
            session = Session(
                session_id,
                name or session_id,
                mode,
                SessionStatus.CREATED,
                time.time_ns(),
                None,
                tuple(uris),
                settings=settings or {},
            )
            await asyncio.to_thread(self._catalog.sessions.add, session)
        return session

    async def play(self, session_id: str, at: SegmentClock | None = None) -> Session:
        """Begin the next segment: all streams of the session record from one JACK frame on.

        `at` is a moment of the past, as far as the rings reach, with all clocks there; without it, it is now, or so
        long before as the session's `pre_roll_seconds` say and all of its streams reach.
        """
        async with self._changing:
            session = await self._get(session_id)
            _check_open(session)
            if session.running is not None:
                raise ConflictError(
                    f"{session_id} is playing its segment {session.running.number} already; stop it first",
                    session_id=session_id,
                )
            streams = [self._streams.get(uri) for uri in session.streams]
            async with self._leased(streams):
                before_ns = 0 if at is not None else pre_roll_ns(session, self._ring_seconds)
                frame, ranges, begun = await self._begin(streams, None if at is None else at.jack_frame, before_ns)
                try:
                    known = [(self._streams.get(it.uri), None, it) for it in ranges]
                    clock = at
                    if clock is None:
                        clock = await asyncio.to_thread(nominal_clock, self._catalog, known, frame)
                    segment = Segment(len(session.segments) + 1, clock, None, ranges)
                    await asyncio.to_thread(self._catalog.sessions.begin_segment, session_id, segment, time.time_ns())
                except JackCaptureError:
                    await self._stop_quietly(begun)
                    raise
            self._watcher.wake()
            started = None if at is not None else await self._recorded.first_clock(segment)
            if started is not None:
                await asyncio.to_thread(self._catalog.sessions.note_start, session_id, segment.number, started)
            return await self._get(session_id)

    async def stop(self, session_id: str, *, close: bool = False, at: SegmentClock | None = None) -> Session:
        """End the segment that runs, on one JACK frame; returns when what it has recorded is in the store.

        `at` is a moment of the past, with all clocks there: the segment ends on it, though its takes may be longer.
        """
        async with self._changing:
            session = await self._get(session_id)
            if session.running is None:
                _check_open(session)
                why = "has not been played yet" if not session.segments else "is stopped already"
                raise ConflictError(
                    f"{session_id} {why}: there is nothing to stop; play it first", session_id=session_id
                )
            if close:
                _check_no_request(session)
            await self._end(session, session.running, at)
            if close:
                await self._close(await self._get(session_id))
            return await self._get(session_id)

    async def close(self, session_id: str) -> Session:
        """Close a session, so that nothing more can be recorded in it, and put its document into the store."""
        async with self._changing:
            session = await self._get(session_id)
            if session.running is not None:
                raise ConflictError(
                    f"{session_id} is playing; stop it first, or stop and close it at once with 'session stop --close'",
                    session_id=session_id,
                )
            _check_open(session)
            _check_no_request(session)
            await self._close(session)
            return await self._get(session_id)

    async def delete(self, session_id: str) -> None:
        """Remove a session with its marks and documents; what it held is its streams' again."""
        async with self._changing:
            session = await self._get(session_id)
            if session.running is not None:
                raise ConflictError(f"{session_id} is playing; stop it first", session_id=session_id)
            _check_no_request(session)
            await asyncio.to_thread(self._catalog.sessions.delete, session_id)
            self._armed.pop(session_id, None)
            await asyncio.to_thread(self._contents.remove_marked)

    async def end_all(self) -> None:
        """End every segment, for the end of control, when all takes have been stopped."""
        async with self._changing:
            for session in await asyncio.to_thread(self._catalog.sessions.playing):
                if session.running is not None:
                    await self._end(session, session.running)

    # --- what follows the transport asks ---

    def armed_frame(self, session_id: str) -> int | None:
        """Give JACK's newest frame when a session was created; None if an earlier control created it."""
        return self._armed.get(session_id)

    def records(self, segment: Segment) -> bool:
        """Tell whether a take of a segment runs."""
        return any(map(self._recorded.is_live, segment.ranges))

    # --- marks, relocations ---

    async def mark(self, session_id: str, name: str) -> Mark:
        """Mark the newest frame of the segment that runs."""
        async with self._changing:
            return await self._marks.at_newest(await self._get(session_id), name)

    async def mark_at(self, session_id: str, name: str, uri: StreamUri, position: int) -> Mark:
        """Mark a sample position of a stream, which a segment of the session must have recorded."""
        async with self._changing:
            return await self._marks.at_position(await self._get(session_id), name, uri, position)

    async def relocate(self, session_id: str, at: SegmentClock, from_frame: int | None, *, new_segment: bool) -> None:
        """Enter that the transport was relocated, from a frame of it, at a moment of the segment that runs.

        It gets a mark, or it ends the segment and begins the next one, both on that frame. May be repeated.
        """
        async with self._changing:
            session = await self._get(session_id)
            segment = session.running
            if segment is None or at.jack_frame <= segment.started.jack_frame:
                return
            live = tuple(found for found in segment.ranges if self._recorded.is_live(found))
            if new_segment and live:
                await self._split(session, segment, live, Relocation(segment.number + 1, at, from_frame))
            elif all(known.at.jack_frame != at.jack_frame for known in session.relocations):
                await self._marks.relocation(session, segment, at, from_frame)

    # --- begin and end ---

    async def _begin(
        self, streams: list[ManagedStream], at: int | None, before_ns: int
    ) -> tuple[int, tuple[SegmentRange, ...], list[ManagedStream]]:
        """Have all streams record; give the common first frame, what begins there, and the streams that did not.

        The frame is `at` if that is given; a take that began after it, by others, has what comes from its beginning on.
        Else it lies up to `before_ns` before now, where all have it.
        """
        idle = [stream for stream in streams if not stream.is_recording]
        recording = {it.uri: it.take for it in streams if it.take is not None and it not in idle}
        states = await self._streams.drained(recording)
        for uri in recording:
            state = states.get(uri)
            if state is None or (at is None and state.head_sample == state.first_sample):
                raise ConflictError(f"{uri} has just begun or ended to record; play again in a moment", uri=uri)
        playing = await asyncio.to_thread(self._catalog.sessions.playing)
        owned = {(it.uri, it.take_number) for it in _running_ranges(playing) if it.is_own}
        if idle:
            start = await start_before(self._catalog, before_ns, recording) if at is None else AtFrame(at)
            await self._start(idle, start)
            assert idle[0].take is not None
            frame = idle[0].take.start_frame
        elif at is not None:
            frame = at
        else:
            frame = min(
                take.start_frame + states[uri].head_sample - take.first_sample for uri, take in recording.items()
            )
            frame = await frame_before(self._catalog, frame, before_ns, streams[0].definition.sample_rate, recording)
        ranges = []
        for stream in streams:
            take = stream.take
            if take is None or not stream.is_recording or recording.get(stream.uri, take) is not take:
                await self._stop_quietly(idle)
                raise ConflictError(f"{stream.uri} has just ended to record; play again", uri=stream.uri)
            is_own = stream in idle or (stream.uri, take.number) in owned
            begins = max(frame - take.start_frame, 0) + take.first_sample
            ranges.append(
                SegmentRange(stream.uri, take.number, begins, None, is_own, take.start_frame, take.first_sample)
            )
        return frame, tuple(ranges), idle

    async def _start(self, streams: list[ManagedStream], start: StartMoment) -> None:
        """Start streams; rather without a pre-roll than not at all."""
        uris = [stream.uri for stream in streams]
        try:
            await self._streams.start(uris, start)
        except ConflictError as error:
            if not isinstance(start, AsFarAs) or "oldest_frame" not in error.details:
                raise
            log.warning("a segment begins without its pre-roll: %s", error)  # the machine is too busy, or MIDI floods
            await self._streams.start(uris)

    async def _end(self, session: Session, segment: Segment, at: SegmentClock | None = None) -> None:
        """Stop the takes that nobody else records, and enter where the segment ended. May be repeated."""
        playing = await asyncio.to_thread(self._catalog.sessions.playing)
        others = _running_ranges(it for it in playing if it.id != session.id)
        shared = {(it.uri, it.take_number) for it in others}
        own = [it for it in segment.ranges if it.is_own and (it.uri, it.take_number) not in shared]
        stopped = await self._stop_takes(own, None if at is None else at.jack_frame)
        recorded = await self._recorded.states(segment.ranges)
        ends = {found.uri: await self._recorded.end_of(found) for found in segment.ranges}
        frames = [it.frame_of(end) for it in stopped if (end := ends[it.uri]) is not None]
        if not frames:  # those that record go on: up to the newest frame that all of them have
            live = [found.frame_of(state.head_sample) for _, state, found in recorded if state is not None]
            ended_at = [found.frame_of(end) for found in segment.ranges if (end := ends[found.uri]) is not None]
            frames = [min(live)] if live else ended_at
        frame = max([segment.started.jack_frame, *frames]) if at is None else at.jack_frame
        entered = _ends_at(frame, segment.ranges, ends)
        # First those that have recorded to the end: they have snapshots there.
        recorded.sort(key=lambda it: frame - it[2].frame_of(entered[it[2].uri]))
        ended = at or await self._recorded.clock_at(recorded, frame)
        await asyncio.to_thread(self._catalog.sessions.end_segment, session.id, segment.number, ended, entered)
        await self._settle(session)

    async def _split(
        self, session: Session, segment: Segment, live: tuple[SegmentRange, ...], relocation: Relocation
    ) -> None:
        """End the segment and begin the next one on a frame of its takes, which run on."""
        frame = relocation.at.jack_frame
        await self._recorded.states(live)  # all before the frame is then in chunks
        ends = {found.uri: await self._recorded.end_of(found) for found in segment.ranges}
        following = tuple(
            replace(found, from_sample=max(found.position_of(frame), found.from_sample), to_sample=None)
            for found in live
            if ends[found.uri] is None
        )
        if not following:
            raise ConflictError(f"the takes of {session.id} have just ended", session_id=session.id)
        await asyncio.to_thread(
            self._catalog.sessions.split_segment,
            session.id,
            relocation.at,
            _ends_at(frame, segment.ranges, ends),
            Segment(relocation.segment, relocation.at, None, following),
            time.time_ns(),
            relocation,
        )
        self._watcher.wake()

    async def _stop_takes(self, ranges: Iterable[SegmentRange], at: int | None) -> list[SegmentRange]:
        """Stop those of some takes that run, on one frame; gives them."""
        while live := [found for found in ranges if self._recorded.is_live(found)]:
            try:
                await self._streams.stop([found.uri for found in live], at)
            except ConflictError:
                if all(map(self._recorded.is_live, live)):
                    raise
                # Else one has just ended by itself: the others are to be stopped.
                continue
            return live
        return []

    async def _settle(self, session: Session) -> None:
        """Have what stood out up to the end of a segment found, unless that cannot be done now."""
        if session.mode is SessionMode.TRIGGERED:
            try:
                await self._watcher.settle(session.id)
            except JackCaptureError as error:
                log.error("%s has ended, and is not watched to its end yet: %s", session.id, error)

    async def _close(self, session: Session) -> None:
        await self._settle(session)
        now = time.time_ns()
        closed = replace(session, status=SessionStatus.CLOSED, closed_at_ns=now)
        await asyncio.to_thread(
            enter_session,
            self._store,
            self._contents,
            self._catalog,
            closed,
            lambda document: self._catalog.sessions.close(session.id, now, document),
        )

    async def _stop_quietly(self, streams: list[ManagedStream]) -> None:
        """Stop what was begun for a segment that does not come to be."""
        recording = [stream.uri for stream in streams if stream.is_recording]
        if recording:
            try:
                await self._streams.stop(recording)
            except JackCaptureError as error:
                log.error("what a session began is not stopped: %s", error)

    # --- what is known ---

    async def _get(self, session_id: str) -> Session:
        return await asyncio.to_thread(self._catalog.sessions.get, session_id)

    @contextlib.asynccontextmanager
    async def _leased(self, streams: Iterable[ManagedStream]) -> AsyncIterator[None]:
        """Keep retention off the streams, until the segment holds what it has of them."""
        leases = contextlib.ExitStack()
        try:
            for stream in streams:
                lease = self._contents.reading(stream.uri, 0, MAX_SAMPLE_POSITION)
                await asyncio.to_thread(leases.enter_context, lease)
            yield
        finally:
            await asyncio.to_thread(leases.close)


def _check_open(session: Session) -> None:
    if session.status is SessionStatus.CLOSED:
        raise ConflictError(
            f"{session.id} is closed: nothing more can be recorded in it; create another session",
            session_id=session.id,
        )


def _check_no_request(session: Session) -> None:
    request = session.running_request
    if request is not None:
        raise ConflictError(
            f"request {request.number} of {session.id} is under way; wait for its end, or cancel it",
            session_id=session.id,
            request=request.number,
        )


def _ends_at(frame: int, ranges: Iterable[SegmentRange], ends: Mapping[StreamUri, int | None]) -> dict[StreamUri, int]:
    """Give the positions at which a segment ends that ends on a frame; `ends` are those of takes that ended."""
    entered = {}
    for found in ranges:
        end, position = ends[found.uri], found.position_of(frame)
        entered[found.uri] = max(position if end is None else min(end, position), found.from_sample)
    return entered


def _running_ranges(sessions: Iterable[Session]) -> list[SegmentRange]:
    return [found for session in sessions if session.running is not None for found in session.running.ranges]
