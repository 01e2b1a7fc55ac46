"""Turns sessions into results. Everything here blocks."""

from dataclasses import replace

from jackcapture.catalog import Catalog
from jackcapture.control.operations.describe_requests import describe_requests
from jackcapture.model.session_results import (
    ChunkRangeResult,
    MarkResult,
    SegmentClockResult,
    SegmentResult,
    SessionResult,
    SessionSummary,
    TimelineEntry,
)
from jackcapture.model.sessions import Mark, Segment, SegmentClock, Session, SessionMode
from jackcapture.model.times import iso

NEWEST = 100


def describe_session(catalog: Catalog, session: Session) -> SessionResult:
    """Give a session as a result."""
    return SessionResult(
        session.id,
        session.name,
        session.mode.value,
        session.status.value,
        iso(session.created_at_ns),
        None if session.closed_at_ns is None else iso(session.closed_at_ns),
        session.streams,
        tuple(_segment(catalog, segment) for segment in session.segments),
        tuple(describe_mark(mark) for mark in session.marks),
        describe_requests(session),
        _timeline(session),
        _suggestions(catalog, session),
    )


def _suggestions(catalog: Catalog, session: Session) -> dict[str, int]:
    if session.mode is not SessionMode.TRIGGERED:
        return {}
    return {status.value: count for status, count in catalog.suggestions.counts(session.id).items()}


def describe_mark(mark: Mark) -> MarkResult:
    """Give a mark as a result."""
    return MarkResult(
        mark.name,
        mark.segment,
        mark.jack_frame,
        iso(mark.wall_clock_ns),
        iso(mark.created_at_ns),
        dict(mark.positions.items()),
    )


def summarize_sessions(catalog: Catalog) -> tuple[SessionSummary, ...]:
    """Give the newest sessions at a glance, newest first."""
    return tuple(
        SessionSummary(
            session.id,
            session.name,
            session.mode.value,
            session.status.value,
            iso(session.created_at_ns),
            session.streams,
            session.segment_count,
            session.mark_count,
        )
        for session in catalog.sessions.glances(NEWEST)
    )


def _segment(catalog: Catalog, segment: Segment) -> SegmentResult:
    chunks = {it.uri: (it.take_number, catalog.sessions.chunk_range(it)) for it in segment.ranges}
    return SegmentResult(
        segment.number,
        "running" if segment.is_running else "ended",
        _clock(segment.started),
        None if segment.ended is None else _clock(segment.ended),
        {it.uri: (it.from_sample, it.to_sample) for it in segment.ranges},
        {uri: ChunkRangeResult(take, *found) for uri, (take, found) in chunks.items() if found is not None},
    )


def _clock(clock: SegmentClock) -> SegmentClockResult:
    return SegmentClockResult(
        clock.jack_frame,
        clock.monotonic_us,
        iso(clock.wall_clock_ns),
        None if clock.transport_state is None else clock.transport_state.value,
        clock.transport_frame,
        clock.bar,
        clock.beat,
        clock.tick,
        clock.beats_per_minute,
    )


def _timeline(session: Session) -> tuple[TimelineEntry, ...]:
    found = [(session.created_at_ns, TimelineEntry(iso(session.created_at_ns), "created"))]
    for segment in session.segments:
        for event, clock in (("segment_start", segment.started), ("segment_end", segment.ended)):
            if clock is not None:
                found.append((clock.wall_clock_ns, _entry(event, segment.number, clock)))
    for relocation in session.relocations:
        entry = _entry("relocation", relocation.segment, relocation.at)
        entry = replace(entry, mark=relocation.mark, from_frame=relocation.from_frame)
        found.append((relocation.at.wall_clock_ns, entry))
    for request in session.requests:
        entry = TimelineEntry(
            iso(request.started_at_ns),
            "request",
            request.segment,
            jack_frame=request.first_note_frame,
            request=request.number,
        )
        found.append((request.started_at_ns, entry))
    for mark in session.marks:
        entry = TimelineEntry(iso(mark.wall_clock_ns), "mark", mark.segment, mark.name, mark.jack_frame)
        found.append((mark.wall_clock_ns, entry))
    if session.closed_at_ns is not None:
        found.append((session.closed_at_ns, TimelineEntry(iso(session.closed_at_ns), "closed")))
    return tuple(entry for _, entry in sorted(found, key=lambda it: it[0]))


def _entry(event: str, segment: int, clock: SegmentClock) -> TimelineEntry:
    return TimelineEntry(
        iso(clock.wall_clock_ns),
        event,
        segment,
        None,
        clock.jack_frame,
        clock.transport_frame,
        None,
        clock.bar,
        clock.beat,
        clock.tick,
        clock.beats_per_minute,
    )
