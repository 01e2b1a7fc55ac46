"""Marks of JACK's clocks: one for each change, with its reason, and about ten a second besides."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from jackcapture.engine import _rt
from parts.core_harness import RATE, CoreHarness, take_marks

lib = _rt.lib
STOPPED, ROLLING, STARTING = 0, 1, 3
BBT = 0x10


@pytest.fixture
def harness() -> Iterator[CoreHarness]:
    """A core after its first cycle, whose mark is taken."""
    with CoreHarness() as harness:
        harness.cycle(64)
        assert reasons(harness) == [lib.JC_MARK_SERVER]
        yield harness


def reasons(harness: CoreHarness) -> list[int]:
    return [int(mark.reasons) for mark in take_marks(harness.core)]


def transport(state: int, frame: int, *musical: Any) -> tuple[Any, ...]:
    """As the harness takes it; `musical` is bar, beat, tick, beats per bar, beat type, ticks per beat, tempo."""
    if not musical:
        return (state, frame, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
    bar, beat, tick, beats_per_bar, beat_type, ticks_per_beat, tempo = musical
    return (state, frame, BBT, bar, beat, tick, 0.0, beats_per_bar, beat_type, ticks_per_beat, tempo)


def test_about_ten_marks_a_second(harness: CoreHarness) -> None:
    for _ in range(RATE // 64):
        harness.cycle(64)
    marks = take_marks(harness.core)
    assert len(marks) == 10
    assert {int(mark.reasons) for mark in marks} == {0}
    frames = [1000, *(int(mark.clock.frame) for mark in marks)]
    assert {after - before for before, after in itertools.pairwise(frames)} == {4800}
    assert all(mark.clock.usecs == mark.clock.frame * 1_000_000 // RATE for mark in marks)


def test_an_xrun(harness: CoreHarness) -> None:
    lib.jc_xrun(harness.core)
    lib.jc_xrun(harness.core)
    harness.cycle(64)
    harness.cycle(64)
    lib.jc_xrun(harness.core)
    harness.cycle(64)
    assert reasons(harness) == [lib.JC_MARK_XRUN] * 2


def test_a_gap(harness: CoreHarness) -> None:
    harness.cycle(64, skipped=3)
    harness.cycle(64)
    (mark,) = take_marks(harness.core)
    assert (mark.reasons, mark.clock.frame, mark.clock.nframes) == (lib.JC_MARK_GAP, 1067, 64)


def test_another_period(harness: CoreHarness) -> None:
    for period in (32, 32, 64):
        harness.cycle(period)
    assert [(mark.reasons, mark.clock.nframes) for mark in take_marks(harness.core)] == [
        (lib.JC_MARK_PERIOD, 32),
        (lib.JC_MARK_PERIOD, 64),
    ]


def test_a_freewheel(harness: CoreHarness) -> None:
    lib.jc_freewheel(1, harness.core)
    harness.cycle(64)
    harness.cycle(64)
    lib.jc_freewheel(0, harness.core)
    harness.cycle(64)
    harness.cycle(64)
    assert [(mark.reasons, mark.clock.is_freewheeling) for mark in take_marks(harness.core)] == [
        (lib.JC_MARK_FREEWHEEL, 1),
        (lib.JC_MARK_FREEWHEEL, 0),
    ]


def test_a_transport_that_starts_rolls_and_stops(harness: CoreHarness) -> None:
    states = [STARTING, STARTING, ROLLING, ROLLING, ROLLING, STOPPED, STOPPED]
    frames = [0, 0, 0, 64, 128, 192, 192]
    for state, frame in zip(states, frames, strict=True):
        harness.transport = transport(state, frame)
        harness.cycle(64)
    marks = take_marks(harness.core)
    assert [int(mark.reasons) for mark in marks] == [lib.JC_MARK_TRANSPORT] * 3
    assert [(mark.transport_state, mark.transport_frame) for mark in marks] == [(3, 0), (1, 0), (0, 192)]


def test_an_ordinary_roll_makes_no_marks(harness: CoreHarness) -> None:
    harness.transport = transport(ROLLING, (1 << 32) - 320, 1, 1, 0, 4.0, 4.0, 960.0, 120.0)
    harness.cycle(64)
    reasons(harness)
    for cycle in range(1, 40):
        frame = ((1 << 32) - 320 + 64 * cycle) % (1 << 32)  # it wraps as JACK's own does
        harness.transport = transport(ROLLING, frame, 1 + cycle // 4, 1 + cycle % 4, 7 * cycle, 4.0, 4.0, 960.0, 120.0)
        harness.cycle(64)
    assert reasons(harness) == []


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_gap_is_no_relocation(harness: CoreHarness, goes_on: bool) -> None:
    """Whether the transport stood still for a client that was left out, or not."""
    harness.transport = transport(ROLLING, 500)
    harness.cycle(64)
    reasons(harness)
    harness.transport = transport(ROLLING, 564 + 10 * goes_on)
    harness.cycle(64, skipped=10)
    assert reasons(harness) == [lib.JC_MARK_GAP]


@pytest.mark.parametrize("state", [STOPPED, ROLLING])
def test_a_relocation(harness: CoreHarness, state: int) -> None:
    harness.transport = transport(state, 500)
    harness.cycle(64)
    reasons(harness)
    harness.transport = transport(state, 499)
    harness.cycle(64)
    (mark,) = take_marks(harness.core)
    assert (mark.reasons, mark.transport_frame) == (lib.JC_MARK_RELOCATION, 499)


def test_musical_time_comes_changes_and_goes(harness: CoreHarness) -> None:
    signatures = [(4.0, 4.0, 120.0), (4.0, 4.0, 121.0), (3.0, 4.0, 121.0), (3.0, 8.0, 121.0)]
    for beats_per_bar, beat_type, tempo in signatures:
        for beat in (1, 2):
            harness.transport = transport(STOPPED, 0, 5, beat, 17, beats_per_bar, beat_type, 960.0, tempo)
            harness.cycle(64)
    harness.transport = transport(STOPPED, 0)
    harness.cycle(64)
    marks = take_marks(harness.core)
    assert [int(mark.reasons) for mark in marks] == [lib.JC_MARK_TEMPO] * 5
    found = [
        (mark.bar, mark.beat, mark.tick, mark.beats_per_bar, mark.beat_type, mark.beats_per_minute) for mark in marks
    ]
    assert found[:4] == [(5, 1, 17, *signature) for signature in signatures]
    assert found[4] == (0, 0, 0, 0, 0, 0)
    assert [mark.ticks_per_beat for mark in marks] == [960.0] * 4 + [0]


def test_reasons_without_room_are_those_of_the_next_mark(harness: CoreHarness) -> None:
    for cycle in range(lib.JC_MARK_SLOTS):
        harness.cycle(32 + cycle % 2)
    harness.cycle(33, skipped=1)
    lib.jc_xrun(harness.core)
    harness.cycle(33)
    harness.cycle(33)
    assert reasons(harness) == [lib.JC_MARK_PERIOD] * lib.JC_MARK_SLOTS
    harness.cycle(64)
    harness.cycle(64)
    (mark,) = take_marks(harness.core)
    assert mark.reasons == lib.JC_MARK_GAP | lib.JC_MARK_XRUN | lib.JC_MARK_PERIOD
    assert mark.clock.frame == harness.frame - 128


def test_the_newest_cycle_can_be_read_marked_or_not(harness: CoreHarness) -> None:
    harness.transport = transport(ROLLING, 77, 2, 3, 4, 4.0, 8.0, 960.0, 99.5)
    harness.cycle(64)
    observed = harness.clock.observe()
    assert observed is not None
    assert (observed.frame, observed.period, observed.transport.frame) == (1064, 64, 77)
    assert (observed.transport.bar, observed.transport.beat, observed.transport.tick) == (2, 3, 4)
    harness.transport = transport(ROLLING, 141)
    harness.cycle(64)
    harness.transport = transport(ROLLING, 205)
    harness.cycle(64)
    observed = harness.clock.observe()
    assert observed is not None
    assert (observed.transport.frame, observed.transport.bar, observed.reasons) == (205, 0, ())
