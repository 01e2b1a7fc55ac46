"""A store with one session: two audio streams and one of MIDI in two segments, with marks, gaps and clocks."""

import contextlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from jackcapture.catalog import Catalog, SealedChunk
from jackcapture.control.contents import Contents
from jackcapture.control.documents import enter_definition, enter_manifest
from jackcapture.control.exports.plan import Plan, plan_export
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.sessions.document import enter_session
from jackcapture.model.retention import KEEP_ALL
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
from jackcapture.model.streams import AudioFormat, MidiFormat, SampleFormat, StreamDefinition
from jackcapture.model.takes import Chunk, ClockReason, ClockSnapshot, Gap, GapCause, Latency, Take
from jackcapture.model.uris import StreamUri, parse_stream_uri
from jackcapture.store import Store
from parts.tape import BEGIN_NS, RATE, Tape, definition

ID = "session-0123456789ab"
MAIN = parse_stream_uri("stream://desk/main")
MONO = parse_stream_uri("stream://desk/mono")
KEYS = parse_stream_uri("stream://desk/keys")
FORMATS = {MAIN: AudioFormat(RATE, 2, SampleFormat.F32), MONO: AudioFormat(RATE, 1, SampleFormat.I24)}

FIRST_FRAME = 10_000
SECOND_FRAME = FIRST_FRAME + 3 * RATE
LENGTHS = (1000, 500)
"""The segments: where each begins, by JACK's frames, and how long it is."""

GAP = Gap(300, 50, GapCause.XRUN)
NOTES = ((10, b"\x90\x3c\x40"), (700, b"\x80\x3c\x00"), (800, b"\xf0\x7d\x01\x02\xf7"), (900, b"\xc0\x05"))
"""At frames from the first segment's start."""


def wall_clock(frame: int) -> int:
    """The wall clock at a JACK frame."""
    return BEGIN_NS + (frame - FIRST_FRAME) * 10**9 // RATE


def clock(frame: int) -> SegmentClock:
    """All clocks at a frame, as far as they are known."""
    return SegmentClock(frame, wall_clock(frame), frame * 1_000_000 // RATE)


def snapshot(position: int, frame: int) -> ClockSnapshot:
    """What was observed there."""
    reasons = (ClockReason.GAP,) if position == GAP.position else ()
    return ClockSnapshot(position, frame, frame * 1_000_000 // RATE, wall_clock(frame), reasons)


@dataclass(frozen=True)
class KeptSession:
    """The store, open, with the session of ID."""

    store: Store
    catalog: Catalog
    contents: Contents

    @property
    def session(self) -> Session:
        """The session."""
        return self.catalog.sessions.get(ID)

    @property
    def plan(self) -> Plan:
        """What there is to export."""
        return plan_export(self.session, {uri: self.catalog.stream(uri).definition for uri in self.session.streams})


def make_session_store(root: Path) -> None:
    """Make the store at `root`; its session is closed."""
    store = Store.create_or_open(str(root))
    catalog = Catalog(str(root / "catalog.db"), store.uuid)
    contents = Contents(store, catalog)
    tapes = {uri: _tape(store, catalog, contents, uri) for uri in FORMATS}
    midi = enter_definition(contents, catalog, StreamDefinition(KEYS, "desk", MidiFormat(RATE), 1 << 16), KEEP_ALL)
    session = Session(ID, "Night patch", SessionMode.PASSIVE, SessionStatus.CREATED, BEGIN_NS - 5, None,
                      (MAIN, KEYS, MONO), settings={"threshold": -40})  # fmt: skip
    catalog.sessions.add(session)
    for number, (frame, length) in enumerate(zip((FIRST_FRAME, SECOND_FRAME), LENGTHS, strict=True), 1):
        _play(catalog, tapes, number, frame, length)
    for uri in tapes:
        enter_manifest(store, contents, catalog, catalog.stream(uri))
    enter_manifest(store, contents, catalog, midi)
    for name, segment, frame in (("solo", 1, FIRST_FRAME + 400), ("the-end", 2, SECOND_FRAME + 500)):
        position = frame - (FIRST_FRAME if segment == 1 else SECOND_FRAME) + (0 if segment == 1 else LENGTHS[0])
        positions = dict.fromkeys((MAIN, KEYS, MONO), position)
        mark = Mark(name, segment, frame, wall_clock(frame), BEGIN_NS + 7, positions)
        if segment == 1:  # the transport was relocated there
            at = replace(clock(frame), beats_per_minute=120.5)
            catalog.sessions.add_relocation(ID, Relocation(segment, at, 96000, name), mark)
        else:
            catalog.sessions.add_mark(ID, mark)
    closed_at = wall_clock(SECOND_FRAME + RATE)
    closed = replace(catalog.sessions.get(ID), status=SessionStatus.CLOSED, closed_at_ns=closed_at)
    enter_session(store, contents, catalog, closed, lambda document: catalog.sessions.close(ID, closed_at, document))
    catalog.close()


@contextlib.contextmanager
def opened_session(root: Path) -> Iterator[KeptSession]:
    """Open the store at `root`."""
    store = Store.create_or_open(str(root))
    catalog = Catalog(str(root / "catalog.db"), store.uuid)
    try:
        yield KeptSession(store, catalog, Contents(store, catalog))
    finally:
        catalog.close()


def _tape(store: Store, catalog: Catalog, contents: Contents, uri: StreamUri) -> Tape:
    record = enter_definition(contents, catalog, definition(FORMATS[uri], uri), KEEP_ALL)
    return Tape(store, catalog, ManagedStream(record))


def _play(catalog: Catalog, tapes: dict[StreamUri, Tape], number: int, frame: int, length: int) -> None:
    """Record a segment of so many frames, in a take of its own of each stream, in two chunks of each audio stream."""
    first = sum(LENGTHS[: number - 1])
    started = wall_clock(frame)
    for uri in (MAIN, KEYS, MONO):
        catalog.begin_take(Take(uri, number, frame, first, None, started, None))
    ranges = [SegmentRange(uri, number, first, None, True, frame, first) for uri in (MAIN, KEYS, MONO)]
    catalog.sessions.begin_segment(ID, Segment(number, clock(frame), None, tuple(ranges)), started)
    for uri, tape in tapes.items():
        half = length // 2
        for index, (begin, end) in enumerate(((0, half), (half, length))):
            data = os.urandom((end - begin) * tape.frame_bytes)
            if FORMATS[uri].sample_format is SampleFormat.F32:
                data = np.random.default_rng(begin + number).standard_normal((end - begin) * 2).astype("<f4").tobytes()
            gaps = (GAP,) if number == 1 and index == 0 and uri == MAIN else ()
            places = [begin, *((GAP.position,) if gaps else ()), end - 1]
            clocks = tuple(snapshot(first + at, frame + at) for at in places)
            content = tape.store.put(data).content
            chunk = Chunk(index, first + begin, end - begin, len(data), started, gaps, clocks)
            catalog.add_chunk(uri, SealedChunk(number, chunk, content))
        catalog.note_latencies(uri, number, [Latency(64, 128)] * FORMATS[uri].channels)
    events = NOTES if number == 1 else ()
    records = b"".join(struct.pack("<QI", first + at, len(data)) + data for at, data in events)
    clocks = (snapshot(first, frame), snapshot(first + length - 1, frame + length - 1))
    content = tapes[MAIN].store.put(records).content
    chunk = Chunk(0, first, length, len(records), started, clocks=clocks)
    catalog.add_chunk(KEYS, SealedChunk(number, chunk, content))
    ends = dict.fromkeys((MAIN, KEYS, MONO), first + length)
    for uri in ends:
        catalog.end_take(uri, number, length, wall_clock(frame + length), "")
    catalog.sessions.end_segment(ID, number, clock(frame + length), ends)
