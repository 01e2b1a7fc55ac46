"""The life cycle of sessions: create, play and stop again and again, close, delete; and their marks.

All of it is in the catalog, so a session outlives control. What happens to a take meanwhile is the catalog's to tell:
one that ended by itself ends its stream's range, not the segment.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace

from jackcapture.catalog import Catalog
from jackcapture.control.contents import Contents
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.sessions.clocks import Recorded, nominal_clock, observed_clock
from jackcapture.control.sessions.document import enter_session
from jackcapture.control.streams import Streams
from jackcapture.errors import ConflictError, InvalidValueError, JackCaptureError, NotFoundError
from jackcapture.model.places import MAX_SAMPLE_POSITION
from jackcapture.model.sessions import (
    Mark,
    Segment,
    SegmentClock,
    SegmentRange,
    Session,
    SessionMode,
    SessionStatus,
)
from jackcapture.model.uris import StreamUri
from jackcapture.protocol.messages import StreamState
from jackcapture.store import Store

log = logging.getLogger(__name__)

_CLOCK_PATIENCE = 0.5
_CLOCK_INTERVAL = 0.02
"""Seconds for which the first snapshot of a take is waited for, which comes within 0.1 s, and between two looks."""


class Sessions:
    """All sessions of the store; methods on the asyncio loop."""

    def __init__(self, store: Store, catalog: Catalog, contents: Contents, streams: Streams) -> None:
        self._store = store
        self._catalog = catalog
        self._contents = contents
        self._streams = streams
        # One change at a time: sessions share streams, and whoever stops last ends the take.
        self._changing = asyncio.Lock()

    # --- life cycle ---

    async def create(self, uris: Sequence[StreamUri], mode: SessionMode, name: str | None) -> Session:
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
            session = Session(
                session_id, name or session_id, mode, SessionStatus.CREATED, time.time_ns(), None, tuple(uris)
            )
            await asyncio.to_thread(self._catalog.sessions.add, session)
        return session

    async def play(self, session_id: str) -> Session:
        """Begin the next segment: all streams of the session record from one JACK frame on."""
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
                frame, ranges, begun = await self._begin(streams)
                try:
                    known = [(self._streams.get(it.uri), None, it) for it in ranges]
                    clock = await asyncio.to_thread(nominal_clock, self._catalog, known, frame)
                    segment = Segment(len(session.segments) + 1, clock, None, ranges)
                    await asyncio.to_thread(self._catalog.sessions.begin_segment, session_id, segment, time.time_ns())
                except JackCaptureError:
                    await self._stop_quietly(begun)
                    raise
            started = await self._first_clock(segment)
            if started is not None:
                await asyncio.to_thread(self._catalog.sessions.note_start, session_id, segment.number, started)
            return await self._get(session_id)

    async def stop(self, session_id: str, *, close: bool = False) -> Session:
        """End the segment that runs, on one JACK frame; returns when what it has recorded is in the store."""
        async with self._changing:
            session = await self._get(session_id)
            if session.running is None:
                _check_open(session)
                why = "has not been played yet" if not session.segments else "is stopped already"
                raise ConflictError(
                    f"{session_id} {why}: there is nothing to stop; play it first", session_id=session_id
                )
            await self._end(session, session.running)
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
            await self._close(session)
            return await self._get(session_id)

    async def delete(self, session_id: str) -> None:
        """Remove a session with its marks and documents; what it held is its streams' again."""
        async with self._changing:
            session = await self._get(session_id)
            if session.running is not None:
                raise ConflictError(f"{session_id} is playing; stop it first", session_id=session_id)
            await asyncio.to_thread(self._catalog.sessions.delete, session_id)
            await asyncio.to_thread(self._contents.remove_marked)

    async def end_all(self) -> None:
        """End every segment, for the end of control, when all takes have been stopped."""
        async with self._changing:
            for session in await asyncio.to_thread(self._catalog.sessions.playing):
                if session.running is not None:
                    await self._end(session, session.running)

    # --- marks ---

    async def mark(self, session_id: str, name: str) -> Mark:
        """Mark the newest frame of the segment that runs."""
        async with self._changing:
            session = await self._get(session_id)
            segment = session.running
            if segment is None:
                raise ConflictError(
                    f"{session_id} is not playing, so there is no present moment to mark; name the place with --at",
                    session_id=session_id,
                )
            recorded = [it for it in await self._recorded(segment.ranges) if it[1] is not None]
            frames = [found.frame_of(state.head_sample) for _, state, found in recorded if state is not None]
            if not frames:
                raise ConflictError(
                    f"no stream of {session_id} records at present; name the place to mark with --at",
                    session_id=session_id,
                )
            # What was delivered last of a stream may be older than the common start, by a period at the most.
            frame = max(min(frames), segment.started.jack_frame)
            return await self._enter_mark(session, segment, name, frame, recorded)

    async def mark_at(self, session_id: str, name: str, uri: StreamUri, position: int) -> Mark:
        """Mark a sample position of a stream, which a segment of the session must have recorded."""
        async with self._changing:
            session = await self._get(session_id)
            segment, found = _segment_at(session, uri, position)
            recorded = await self._recorded(segment.ranges)
            return await self._enter_mark(session, segment, name, found.frame_of(position), recorded)

    async def _enter_mark(
        self, session: Session, segment: Segment, name: str, frame: int, recorded: Sequence[Recorded]
    ) -> Mark:
        positions = {}
        for found in segment.ranges:
            position = found.position_of(frame)
            end = await self._end_of(found) if found.to_sample is None else found.to_sample
            if found.from_sample <= position and (end is None or position <= end):
                positions[found.uri] = position
        clock = await self._clock_at(recorded, frame)
        mark = Mark(name, segment.number, frame, clock.wall_clock_ns, time.time_ns(), positions)

        def enter() -> None:
            rows = self._catalog.sessions
            if session.status is not SessionStatus.CLOSED or any(known.name == name for known in session.marks):
                rows.add_mark(session.id, mark)
                return
            marks = sorted((*session.marks, mark), key=lambda it: (it.segment, it.jack_frame, it.name))
            marked = replace(session, marks=tuple(marks))
            enter_session(
                self._store,
                self._contents,
                self._catalog,
                marked,
                lambda document: rows.add_mark(session.id, mark, document),
            )

        await asyncio.to_thread(enter)
        return mark

    # --- begin and end ---

    async def _begin(self, streams: list[ManagedStream]) -> tuple[int, tuple[SegmentRange, ...], list[ManagedStream]]:
        """Have all streams record; give the common first frame, what begins there, and the streams that did not."""
        idle = [stream for stream in streams if not stream.is_recording]
        recording = {it.uri: it.take for it in streams if it.take is not None and it not in idle}
        states = await self._streams.drained(recording)
        for uri in recording:
            state = states.get(uri)
            if state is None or state.head_sample == state.first_sample:
                raise ConflictError(f"{uri} has just begun or ended to record; play again in a moment", uri=uri)
        playing = await asyncio.to_thread(self._catalog.sessions.playing)
        owned = {(it.uri, it.take_number) for it in _running_ranges(playing) if it.is_own}
        if idle:
            await self._streams.start([stream.uri for stream in idle])
            assert idle[0].take is not None
            frame = idle[0].take.start_frame
        else:
            frame = min(
                take.start_frame + states[uri].head_sample - take.first_sample for uri, take in recording.items()
            )
        ranges = []
        for stream in streams:
            take = stream.take
            if take is None or not stream.is_recording or recording.get(stream.uri, take) is not take:
                await self._stop_quietly(idle)
                raise ConflictError(f"{stream.uri} has just ended to record; play again", uri=stream.uri)
            is_own = stream in idle or (stream.uri, take.number) in owned
            begins = frame - take.start_frame + take.first_sample
            ranges.append(
                SegmentRange(stream.uri, take.number, begins, None, is_own, take.start_frame, take.first_sample)
            )
        return frame, tuple(ranges), idle

    async def _end(self, session: Session, segment: Segment) -> None:
        """Stop the takes that nobody else records, and enter where the segment ended. May be repeated."""
        playing = await asyncio.to_thread(self._catalog.sessions.playing)
        others = _running_ranges(it for it in playing if it.id != session.id)
        shared = {(it.uri, it.take_number) for it in others}
        own = [it for it in segment.ranges if it.is_own and (it.uri, it.take_number) not in shared]
        stopped = await self._stop_takes(own)
        recorded = await self._recorded(segment.ranges)
        ends = {found.uri: await self._end_of(found) for found in segment.ranges}
        frames = [it.frame_of(end) for it in stopped if (end := ends[it.uri]) is not None]
        if not frames:  # those that record go on: up to the newest frame that all of them have
            live = [found.frame_of(state.head_sample) for _, state, found in recorded if state is not None]
            ended_at = [found.frame_of(end) for found in segment.ranges if (end := ends[found.uri]) is not None]
            frames = [min(live)] if live else ended_at
        frame = max([segment.started.jack_frame, *frames])
        entered = {}
        for found in segment.ranges:
            end = ends[found.uri]
            to_sample = found.position_of(frame) if end is None else min(end, found.position_of(frame))
            entered[found.uri] = max(to_sample, found.from_sample)
        # First those that have recorded to the end: they have snapshots there.
        recorded.sort(key=lambda it: frame - it[2].frame_of(entered[it[2].uri]))
        ended = await self._clock_at(recorded, frame)
        await asyncio.to_thread(self._catalog.sessions.end_segment, session.id, segment.number, ended, entered)

    async def _stop_takes(self, ranges: Iterable[SegmentRange]) -> list[SegmentRange]:
        """Stop those of some takes that run, on one frame; gives them."""
        while live := [found for found in ranges if self._is_live(found)]:
            try:
                await self._streams.stop([found.uri for found in live])
            except ConflictError:
                if all(map(self._is_live, live)):  # else one has just ended by itself: the others are to be stopped
                    raise
                continue
            return live
        return []

    async def _close(self, session: Session) -> None:
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

    def _is_live(self, found: SegmentRange) -> bool:
        stream = self._streams.get(found.uri)
        return stream.is_recording and stream.take is not None and stream.take.number == found.take_number

    async def _end_of(self, found: SegmentRange) -> int | None:
        """Give the position after the last of a range's take; None while it runs."""
        take = self._streams.get(found.uri).take
        if take is not None and take.number == found.take_number:
            return None if take.ended_samples is None else take.first_sample + take.ended_samples
        record = await asyncio.to_thread(self._catalog.take, found.uri, found.take_number)
        if record.take.samples is None:
            raise ConflictError(
                f"whether take {found.take_number} of {found.uri} still runs is not known yet: the engine has not told "
                "it; try again in a moment",
                uri=found.uri,
            )
        return record.end_sample

    async def _recorded(self, ranges: Iterable[SegmentRange]) -> list[Recorded]:
        """Give the streams of some ranges, with the engine's state of those whose take runs."""
        ranges = list(ranges)
        states = await self._streams.drained(found.uri for found in ranges if self._is_live(found))
        return [(self._streams.get(it.uri), _state_of(states, it), it) for it in ranges]

    async def _clock_at(self, recorded: Sequence[Recorded], frame: int) -> SegmentClock:
        clock = await asyncio.to_thread(observed_clock, self._catalog, recorded, frame)
        if clock is None:
            clock = await asyncio.to_thread(nominal_clock, self._catalog, recorded, frame)
        return clock

    async def _first_clock(self, segment: Segment) -> SegmentClock | None:
        """Wait for what is observed of a segment's start; None if nothing is, in time."""
        deadline = time.monotonic() + _CLOCK_PATIENCE
        while time.monotonic() < deadline:
            try:
                recorded = await self._recorded(segment.ranges)
            except JackCaptureError as error:
                log.warning("of the clocks at the start of a segment only the wall clock is known: %s", error)
                return None
            frame = segment.started.jack_frame
            clock = await asyncio.to_thread(observed_clock, self._catalog, recorded, frame)
            if clock is not None:
                return clock
            await asyncio.sleep(_CLOCK_INTERVAL)
        return None

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


def _running_ranges(sessions: Iterable[Session]) -> list[SegmentRange]:
    return [found for session in sessions if session.running is not None for found in session.running.ranges]


def _state_of(states: dict[str, StreamState], found: SegmentRange) -> StreamState | None:
    state = states.get(found.uri)
    return None if state is None or state.take_number != found.take_number else state


def _segment_at(session: Session, uri: StreamUri, position: int) -> tuple[Segment, SegmentRange]:
    """Give the segment that has a position of a stream, and its range; an end belongs to it, too."""
    ranges = [(segment, found) for segment in session.segments if (found := segment.range_of(uri)) is not None]
    inside = [it for it in ranges if it[1].to_sample is None or position <= it[1].to_sample]
    inside = [it for it in inside if it[1].from_sample <= position]
    if not inside:
        shown = ", ".join(f"{it.from_sample} to {'now' if it.to_sample is None else it.to_sample}" for _, it in ranges)
        raise NotFoundError(
            f"position {position} of {uri} is not in {session.id}, whose segments have {shown or 'nothing'} of it",
            session_id=session.id,
            position=position,
        )
    # Where two segments meet, the position is the first of the later one.
    return inside[-1]
