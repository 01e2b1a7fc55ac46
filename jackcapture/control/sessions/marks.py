"""Marks of a session: named moments of its segments, made by users, and of relocations of JACK's transport."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import replace

from jackcapture.catalog import Catalog
from jackcapture.control.contents import Contents
from jackcapture.control.sessions.clocks import Recorded
from jackcapture.control.sessions.document import enter_session
from jackcapture.control.sessions.recorded import RecordedRanges
from jackcapture.errors import ConflictError, NotFoundError
from jackcapture.model.sessions import Mark, Relocation, Segment, SegmentClock, SegmentRange, Session, SessionStatus
from jackcapture.model.uris import StreamUri
from jackcapture.store import Store


class Marks:
    """Makes marks, while nothing else changes the session; methods on the asyncio loop."""

    def __init__(self, store: Store, catalog: Catalog, contents: Contents, recorded: RecordedRanges) -> None:
        self._store = store
        self._catalog = catalog
        self._contents = contents
        self._recorded = recorded

    async def at_newest(self, session: Session, name: str) -> Mark:
        """Mark the newest frame of the segment that runs."""
        segment = session.running
        if segment is None:
            raise ConflictError(
                f"{session.id} is not playing, so there is no present moment to mark; name the place with --at",
                session_id=session.id,
            )
        recorded = [it for it in await self._recorded.states(segment.ranges) if it[1] is not None]
        frames = [found.frame_of(state.head_sample) for _, state, found in recorded if state is not None]
        if not frames:
            raise ConflictError(
                f"no stream of {session.id} records at present; name the place to mark with --at",
                session_id=session.id,
            )
        # What was delivered last of a stream may be older than the common start, by a period at the most.
        frame = max(min(frames), segment.started.jack_frame)
        return await self._enter(session, segment, name, frame, recorded)

    async def at_position(self, session: Session, name: str, uri: StreamUri, position: int) -> Mark:
        """Mark a sample position of a stream, which a segment of the session must have recorded."""
        segment, found = _segment_at(session, uri, position)
        recorded = await self._recorded.states(segment.ranges)
        return await self._enter(session, segment, name, found.frame_of(position), recorded)

    async def relocation(self, session: Session, segment: Segment, at: SegmentClock, from_frame: int | None) -> None:
        """Enter a relocation of the transport in the segment that runs, with a mark of a name of its own."""
        taken = {mark.name for mark in session.marks}
        name = next(name for number in itertools.count(1) if (name := f"relocate-{number}") not in taken)
        mark = await self._mark(segment, name, at)
        relocation = Relocation(segment.number, at, from_frame, name)
        await asyncio.to_thread(self._catalog.sessions.add_relocation, session.id, relocation, mark)

    async def _enter(
        self, session: Session, segment: Segment, name: str, frame: int, recorded: Sequence[Recorded]
    ) -> Mark:
        clock = await self._recorded.clock_at(recorded, frame)
        mark = await self._mark(segment, name, clock)

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

    async def _mark(self, segment: Segment, name: str, clock: SegmentClock) -> Mark:
        """Give the mark of a frame of a segment, with its position in each stream that recorded that frame."""
        frame = clock.jack_frame
        positions = {}
        for found in segment.ranges:
            position = found.position_of(frame)
            end = await self._recorded.end_of(found) if found.to_sample is None else found.to_sample
            if found.from_sample <= position and (end is None or position <= end):
                positions[found.uri] = position
        return Mark(name, segment.number, frame, clock.wall_clock_ns, time.time_ns(), positions)


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
