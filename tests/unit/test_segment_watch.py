"""The watch over a segment, on a store without an engine: whatever its chunks are, and however often it begins anew."""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from jackcapture.control.sessions.segment_watch import SegmentWatch, watch_of
from jackcapture.control.sessions.settings import SessionSettings, TriggerSettings, settings_as_json
from jackcapture.control.sessions.watched_streams import live_view
from jackcapture.errors import JackCaptureError
from jackcapture.formats.midi_records import HEAD
from jackcapture.formats.overview import blocks_of
from jackcapture.model.addresses import Content, Staging, StagingOverview
from jackcapture.model.overviews import overview_bytes
from jackcapture.model.sessions import Segment, SegmentClock, SegmentRange, Session, SessionMode, SessionStatus
from jackcapture.model.streams import AudioFormat, MidiFormat, StreamDefinition
from jackcapture.model.suggestions import Suggestion, SuggestionReason, SuggestionStatus
from jackcapture.protocol.messages import StreamChunkFull
from parts.tape import BEGIN_NS, RATE, Tape, new_tape

ID = "session-0123456789ab"
ROOM = 5000
"""Frames of a chunk, which are no multiple of a block's."""

HOLD, PRE_ROLL = 480, 960


@dataclass
class Recorder:
    """Writes a mono stream of float32 into chunks as an engine does, and tells control as one does."""

    tape: Tape
    samples: npt.NDArray[np.float32]
    at: int = 0
    chunk_first: int = 0
    staging: Staging | None = None
    fulls: list[StreamChunkFull] = field(default_factory=list)

    def record(self, frames: int, *, has_overview: bool = True) -> None:
        """Record on, to the end of the chunk in progress at most; `has_overview`: of a chunk that begins."""
        live = self.tape.stream.take
        assert live is not None
        if self.staging is None:
            size = overview_bytes(ROOM, 1) if has_overview else 0
            self.staging, self.chunk_first = self.tape.store.create_staging(ROOM * 4, size), self.at
            live.given = [self.tape.store.path(self.staging)]
        end = min(self.at + frames, self.chunk_first + ROOM, len(self.samples))
        part = self.samples[self.chunk_first : end]
        self._write(self.staging, part.astype("<f4").tobytes())
        if self.tape.store.exists(StagingOverview(self.staging.id)):
            self._write(StagingOverview(self.staging.id), blocks_of(part[:, np.newaxis]).astype("<f4").tobytes())
        self.at = live.head_sample = end
        if end in (self.chunk_first + ROOM, len(self.samples)):
            self._finish(end - self.chunk_first)

    def _write(self, address: Staging | StagingOverview, data: bytes) -> None:
        with Path(self.tape.store.path(address)).open("r+b") as file:
            file.write(data)

    def _finish(self, frames: int) -> None:
        live = self.tape.stream.take
        assert live is not None
        assert self.staging is not None
        path = self.tape.store.path(self.staging)
        full = StreamChunkFull(
            self.tape.stream.uri, path, frames * 4, frames, BEGIN_NS, live.number, live.next_index, self.chunk_first
        )
        live.given, self.staging = [], None
        live.next_index += 1
        live.next_sample += frames
        live.pending[full.chunk_index] = full
        self.fulls.append(full)


@dataclass
class Watching:
    """A watch that is begun anew when it is dropped, and what it told."""

    tape: Tape
    watch: SegmentWatch | None = None
    told: list[Suggestion] = field(default_factory=list)
    lenient: bool = False

    def look(self) -> None:
        """Look once."""
        catalog, stream = self.tape.catalog, self.tape.stream
        [watched] = catalog.suggestions.under_way()
        streams = {stream.uri: stream}
        self.watch = watch_of(watched, self.watch, self.tape.store, catalog, streams, lenient=self.lenient)
        view = live_view(stream)
        self.told += self.watch.look({} if view is None else {stream.uri: view})

    def found(self) -> list[tuple[int, int, int, int | None]]:
        """What the catalog has."""
        return [
            (it.begin_frame - 1000, it.end_frame - 1000, it.from_frame - 1000, it.to_frame and it.to_frame - 1000)
            for it in self.tape.catalog.suggestions.of_session(ID)
        ]


def play(tape: Tape, from_sample: int = 0, *, midi: bool = True) -> None:
    """Begin a take of the stream, and a segment within it."""
    tape.begin()
    trigger = TriggerSettings(hold_seconds=HOLD / RATE, pre_roll_seconds=PRE_ROLL / RATE, midi=midi)
    settings = settings_as_json(SessionSettings(trigger=trigger), SessionMode.TRIGGERED, {})
    tape.catalog.sessions.add(
        Session(ID, ID, SessionMode.TRIGGERED, SessionStatus.CREATED, 1, None, (tape.stream.uri,), settings=settings)
    )
    found = SegmentRange(tape.stream.uri, 1, from_sample, None, True, 1000, 0)
    clock = SegmentClock(1000 + from_sample, BEGIN_NS)
    tape.catalog.sessions.begin_segment(ID, Segment(1, clock, None, (found,)), 1)


def stop(tape: Tape, at: int) -> None:
    """End the segment."""
    tape.catalog.sessions.end_segment(ID, 1, SegmentClock(1000 + at, BEGIN_NS + 1), {tape.stream.uri: at})


@pytest.fixture
def tape(tmp_path: Path) -> Iterator[Tape]:
    with new_tape(tmp_path / "store", AudioFormat(RATE, 1)) as made:
        # Of this chunk size; the fixture's is another one.
        definition = replace(made.stream.definition, chunk_size_bytes=ROOM * 4)
        made.stream.record = replace(made.stream.record, definition=definition)
        yield made


def truth(bursts: list[tuple[int, int]], first: int, last: int) -> list[tuple[int, int, int, int]]:
    """What is to be found of bursts that are parted by more than the hold."""
    found, after = [], first
    for begin, end in ((max(begin, first), min(end, last)) for begin, end in bursts):
        if begin < end:
            found.append((begin, end, max(after, begin - PRE_ROLL), min(end + HOLD, last)))
            after = found[-1][3]
    return found


@pytest.mark.parametrize("seed", range(12))
def test_a_watch_that_is_dropped_again_and_again_finds_each_once(tape: Tape, seed: int) -> None:
    chance = random.Random(seed)
    samples = np.full(60_000, 0.005, np.float32)
    bursts = []
    at = chance.randint(0, 3000)
    while at < 55_000:
        end = at + chance.choice((1, 100, 256, 3000, 9000))
        samples[at:end] = chance.choice((-0.2, 0.2))
        bursts.append((at, min(end, len(samples))))
        at = end + HOLD + chance.randint(0, 6000)
    first = chance.choice((0, 1, 3333))
    recorder, watching = Recorder(tape, samples), Watching(tape)
    play(tape, first)
    last = len(samples) - chance.choice((0, 1, 2000, 8000))
    while recorder.at < len(samples):
        recorder.record(chance.randint(1, 4000), has_overview=chance.random() < 0.7)
        if recorder.fulls and chance.random() < 0.6:
            tape.seal(recorder.fulls.pop(chance.randrange(len(recorder.fulls))))
        if chance.random() < 0.6:
            watching.look()
        if chance.random() < 0.3:
            watching.watch = None
    stop(tape, last)
    watching.look()
    assert tape.catalog.suggestions.under_way() == []
    assert watching.found() == truth(bursts, first, last)
    # The last word on each; what lies beyond an end that was told late is gone.
    closed = list({it.id: it for it in watching.told if it.begin_frame < 1000 + last}.values())
    assert closed == tape.catalog.suggestions.of_session(ID)
    assert {it.stream_uri for it in closed} == {tape.stream.uri}
    assert tape.catalog.suggestions.counts(ID)[SuggestionStatus.PENDING] == len(closed)


def test_a_take_that_ended_while_nobody_watched(tape: Tape) -> None:
    """All that is left is in the catalog; the segment runs on without it."""
    samples = np.full(20_000, 0.005, np.float32)
    samples[100:200] = samples[19_900:] = 0.2
    recorder, watching = Recorder(tape, samples), Watching(tape)
    play(tape)
    while recorder.at < len(samples):
        recorder.record(1 << 20)
    for full in recorder.fulls:
        tape.seal(full)
    watching.look()  # the take is not known to be over
    assert [it[3] for it in watching.found()] == [680, None]
    tape.catalog.end_take(tape.stream.uri, 1, len(samples), 1, "")
    tape.stream.take = None
    watching.watch = None
    watching.look()
    assert watching.found() == truth([(100, 200), (19_900, 20_000)], 0, 20_000)
    assert tape.catalog.suggestions.under_way() == []


def test_what_cannot_be_read_is_passed_over_in_the_end(tape: Tape) -> None:
    samples = np.full(20_000, 0.005, np.float32)
    samples[12_000:12_100] = 0.2
    recorder, watching = Recorder(tape, samples), Watching(tape)
    play(tape)
    while recorder.at < len(samples):
        recorder.record(1 << 20, has_overview=False)
    sealed = [tape.seal(full) for full in recorder.fulls]
    address = sealed[1].content
    assert isinstance(address, Content)
    os.chmod(os.path.dirname(tape.store.path(address)), 0o700)
    os.unlink(tape.store.path(address))
    stop(tape, len(samples))
    with pytest.raises(JackCaptureError, match="missing in the store"):
        watching.look()
    watching.watch, watching.lenient = None, True
    watching.look()
    assert tape.catalog.suggestions.under_way() == []


@pytest.mark.parametrize("midi", [True, False])
def test_messages_are_found_in_chunks_that_are_written(tmp_path: Path, midi: bool) -> None:
    with new_tape(tmp_path / "store", AudioFormat(RATE, 1)) as tape:
        play(tape, midi=midi)
        definition = StreamDefinition(tape.stream.uri, "desk", MidiFormat(RATE), 1 << 16)
        tape.stream.record = replace(tape.stream.record, definition=definition)
        live, watching = tape.stream.take, Watching(tape)
        assert live is not None
        staging = tape.store.create_staging(1 << 16)
        live.given = [tape.store.path(staging)]
        events = [(100 + 10 * n, b"\xf8") for n in range(400)]
        events += [(5000, b"\x90\x40\x40"), (5100, b"\x80\x40\x00"), (5200, b"\xfe"), (9000, b"\xf0" + bytes(9000))]
        data = b"".join(HEAD.pack(at, len(event)) + event for at, event in events)
        with Path(live.given[0]).open("r+b") as file:
            file.write(data)
        for head in (4999, 5000, 5001, 5050, 9000, 9001, 9500):
            live.head_sample = head
            watching.look()
            if head == 5001 and midi:
                [found] = tape.catalog.suggestions.of_session(ID)
                assert (found.status, found.reason, found.peak) == (SuggestionStatus.OPEN, SuggestionReason.MIDI, None)
        stop(tape, 9500)
        watching.look()
        assert watching.found() == (truth([(5000, 5101), (9000, 9001)], 0, 9500) if midi else [])
        assert tape.catalog.suggestions.under_way() == []
