"""MIDI capture in the core, run on fake ports: each event has its frame and its bytes, or its cycle is in a gap."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackcapture.engine import _rt
from jackcapture.model.takes import GapCause
from parts.core_harness import CoreHarness, MidiReader, record_bytes, taken

lib = _rt.lib
NOTE = bytes([0x90, 60, 100])
TICK, START, CONTINUE, STOP = b"\xf8", b"\xfa", b"\xfb", b"\xfc"


@pytest.fixture
def harness() -> Iterator[CoreHarness]:
    with CoreHarness() as harness:
        yield harness


def test_events_have_their_frames_and_bytes(harness: CoreHarness) -> None:
    stream = harness.attach(0, capacity=1024)
    reader = MidiReader(stream.ring)
    stream.events = [(0, NOTE), (0, b""), (63, bytes(range(200)))]
    harness.cycle(64)
    harness.cycle(64)
    stream.events = [(5, TICK)]
    harness.cycle(64, skipped=10)
    assert reader.move() == [(1000, NOTE), (1000, b""), (1063, bytes(range(200))), (1143, TICK)]
    assert [(gap.frame, gap.frames, gap.cause) for gap in stream.ring.take_gaps()] == [(1128, 10, GapCause.XRUN)]
    assert stream.ring.fill == 0


def test_positions_are_frames_moved_to_the_take(harness: CoreHarness) -> None:
    stream = harness.attach(0, capacity=1024)
    reader = MidiReader(stream.ring, to_position=-990)
    stream.events = [(3, NOTE)]
    harness.cycle(64)
    assert reader.move() == [(13, NOTE)]


@given(
    cycles=st.lists(
        st.lists(st.tuples(st.integers(0, 15), st.binary(max_size=20)), max_size=3).map(
            lambda events: sorted(events, key=lambda event: event[0])
        ),
        max_size=40,
    ),
    every=st.integers(1, 4),
)
def test_records_go_round_the_ring(cycles: list[list[tuple[int, bytes]]], every: int) -> None:
    with CoreHarness() as harness:
        stream = harness.attach(0, capacity=512)
        reader = MidiReader(stream.ring, 1 << 16)
        expected = []
        for number, events in enumerate(cycles):
            expected += [(harness.frame + time, data) for time, data in events]
            stream.events = events
            harness.cycle(16)
            if number % every == 0:
                reader.move()
        assert reader.move() == expected
        assert taken(stream.ring) == []


def test_a_cycle_that_does_not_fit_is_lost_as_a_whole(harness: CoreHarness) -> None:
    stream = harness.attach(0, capacity=64)
    reader = MidiReader(stream.ring)
    stream.events = [(0, NOTE), (1, NOTE), (2, NOTE)]
    harness.cycle(64)
    stream.events = [(0, TICK), (1, TICK)]  # 16 bytes are left, for one of them
    harness.cycle(64)
    harness.cycle(64)
    stream.events = [(7, TICK)]
    harness.cycle(64)
    assert reader.move() == [(1000, NOTE), (1001, NOTE), (1002, NOTE), (1199, TICK)]
    assert taken(stream.ring) == [(48, 64, GapCause.RING_OVERFLOW)]
    assert stream.lost == [(1064, 64, GapCause.RING_OVERFLOW)]


@pytest.mark.parametrize(("length", "fits"), [(65_524, True), (65_525, False)])
def test_a_cycle_with_more_bytes_than_a_chunk_may_need_is_lost(harness: CoreHarness, length: int, fits: bool) -> None:
    stream = harness.attach(0, capacity=1 << 17)
    reader = MidiReader(stream.ring, lib.JC_MIDI_CYCLE_BYTES)
    stream.events = [(9, bytes(length))]
    harness.cycle(64)
    harness.cycle(64)
    assert reader.move() == ([(1009, bytes(length))] if fits else [])
    assert taken(stream.ring) == ([] if fits else [(0, 64, GapCause.RING_OVERFLOW)])


def test_events_that_jack_lost_are_a_gap_which_keeps_the_others(harness: CoreHarness) -> None:
    stream = harness.attach(0, capacity=1024)
    reader = MidiReader(stream.ring)
    harness.cycle(64)
    stream.events, stream.lost_events = [(4, NOTE)], 2
    harness.cycle(32, skipped=6)
    harness.cycle(64)
    assert reader.move() == [(1074, NOTE)]
    gaps = stream.ring.take_gaps()
    assert [(gap.frame, gap.frames, gap.delivered, gap.cause) for gap in gaps] == [
        (1064, 6, 0, GapCause.XRUN),
        (1070, 32, 0, GapCause.MIDI_LOST),
    ]


def test_a_port_without_a_buffer_has_no_events(harness: CoreHarness) -> None:
    stream = harness.attach(0, capacity=1024)
    harness.without_buffer.add(1)
    stream.events, stream.lost_events = [(4, NOTE)], 2
    harness.cycle(64)
    assert stream.ring.delivered == 0
    assert stream.ring.settled_frame == 1064
    assert taken(stream.ring) == []


def test_a_freewheel_waits_for_the_writer(harness: CoreHarness) -> None:
    stream = harness.attach(0, capacity=64)
    reader = MidiReader(stream.ring)
    lib.jc_freewheel(1, harness.core)
    stream.events = [(0, bytes(52))]
    harness.cycle(64)

    def write() -> None:
        reader.move()

    harness.while_paused = write
    stream.events = [(1, NOTE)]
    harness.cycle(64)
    assert 0 < harness.paused_us < 10_000
    assert reader.move() == [(1000, bytes(52)), (1065, NOTE)]


# --- chunks ---


def test_a_chunk_is_full_before_the_first_frame_that_does_not_fit(harness: CoreHarness) -> None:
    stream = harness.attach(0, capacity=1024)
    reader = MidiReader(stream.ring, 50)
    stream.events = [(0, NOTE), (8, NOTE), (8, TICK), (8, NOTE), (9, TICK)]
    harness.cycle(64)
    assert reader.move() == [(1000, NOTE)]  # 35 bytes are left, and the frame 1008 needs 43
    assert (reader.cursor.is_full, reader.cursor.full_frame) == (1, 1008)
    assert reader.clock == (0, 0, False)  # of what is in the chunk
    reader.new_chunk(43)
    assert reader.move() == [(1008, NOTE), (1008, TICK), (1008, NOTE)]
    assert (reader.cursor.is_full, reader.cursor.full_frame) == (1, 1009)
    reader.new_chunk(13)
    assert reader.move() == [(1009, TICK)]
    assert reader.cursor.is_full == 0
    assert reader.clock == (2, 0, False)
    assert reader.cursor.taken == stream.ring.delivered


def test_a_move_ends_before_a_frame(harness: CoreHarness) -> None:
    stream = harness.attach(0, capacity=1024)
    reader = MidiReader(stream.ring)
    stream.events = [(0, NOTE), (8, TICK), (8, NOTE)]
    harness.cycle(64)
    assert reader.move(1000) == []
    assert reader.move(1008) == [(1000, NOTE)]
    assert reader.move(1009) == [(1000, NOTE), (1008, TICK), (1008, NOTE)]


def test_records_before_a_frame_are_skipped(harness: CoreHarness) -> None:
    stream = harness.attach(0, capacity=1024)
    stream.events = [(0, NOTE), (8, bytes(30)), (8, NOTE), (20, NOTE)]
    harness.cycle(64)
    ring, delivered = stream.ring.pointer, stream.ring.delivered
    ends = [0, 16, 16 + record_bytes(bytes(30)) + 16, delivered]
    assert [lib.jc_midi_skip(ring, 0, delivered, frame) for frame in (1000, 1008, 1009, 1021)] == ends
    assert lib.jc_midi_skip(ring, 0, 16, 2000) == 16


# --- MIDI clock ---


@pytest.mark.parametrize(
    ("events", "clock"),
    [
        ([TICK, TICK], (2, 0, False)),
        ([TICK, START, TICK, TICK, TICK], (4, 3, True)),
        ([START, TICK, TICK, STOP, TICK], (3, 2, False)),
        ([START, TICK, STOP, TICK, CONTINUE, TICK], (3, 2, True)),
        ([START, TICK, TICK, START, TICK], (3, 1, True)),
        ([b"\xf2\x05\x01", TICK, CONTINUE, TICK], (2, (128 + 5) * 6 + 1, True)),
        ([START, TICK, b"\xf2\x00\x00", TICK], (2, 1, True)),
        ([START, TICK, b"\xf2\x05", NOTE, b"", TICK], (2, 2, True)),
        ([b"\xf0\xf8\xfa\xf7"], (0, 0, False)),
    ],
)
def test_midi_clock_is_counted(harness: CoreHarness, events: list[bytes], clock: tuple[int, int, bool]) -> None:
    stream = harness.attach(0, capacity=1024)
    reader = MidiReader(stream.ring)
    for event in events:
        stream.events = [(1, event)]
        harness.cycle(64)
        reader.move()
    assert reader.clock == clock
