"""MIDI output: each event goes out once, at its frame or, when that has passed, at once."""

from collections.abc import Iterator
from typing import Any

import pytest

from jackcapture.engine import _rt
from parts.core_harness import CoreHarness

ffi, lib = _rt.ffi, _rt.lib
ON, OFF = bytes([0x90, 60, 100]), bytes([0x80, 60, 0])


@pytest.fixture
def harness() -> Iterator[CoreHarness]:
    with CoreHarness() as harness:
        yield harness


def sent_frames(events: Any) -> list[int | None]:
    """When each event was sent; None: not yet."""
    return [None if event.sent_frame == lib.JC_NOT_SENT else int(event.sent_frame) for event in events]


def test_events_are_sent_at_their_frames(harness: CoreHarness) -> None:
    output = harness.attach_output()
    events = output.schedule([(1000, ON), (1063, OFF), (1064, ON), (1064, OFF), (1200, bytes(range(128)))])
    harness.cycle(64)
    assert output.sent == [(1000, ON), (1063, OFF)]
    assert sent_frames(events) == [1000, 1063, None, None, None]
    assert output.done == 2
    harness.cycle(64)
    harness.cycle(64)
    harness.cycle(64)
    assert output.sent[2:] == [(1064, ON), (1064, OFF), (1200, bytes(range(128)))]
    assert sent_frames(events) == [1000, 1063, 1064, 1064, 1200]
    assert output.done == 5
    assert output.clears == 4


def test_a_late_event_is_sent_at_once_and_says_when(harness: CoreHarness) -> None:
    output = harness.attach_output()
    harness.cycle(64)
    events = output.schedule([(0, ON), (1000, OFF), (1070, ON), (1130, OFF)])
    harness.cycle(64)
    harness.cycle(64, skipped=5)
    assert output.sent == [(1064, ON), (1064, OFF), (1070, ON), (1133, OFF)]
    assert sent_frames(events) == [1064, 1064, 1070, 1133]


def test_what_finds_a_full_buffer_goes_out_in_the_next_cycle(harness: CoreHarness) -> None:
    output = harness.attach_output(room=7)
    events = output.schedule([(1000, ON), (1001, ON), (1002, b"\xf8\xf8"), (1003, b"\xf8"), (1100, OFF)])
    harness.cycle(64)
    assert sent_frames(events) == [1000, 1001, None, None, None]  # nothing overtakes
    harness.cycle(64)
    assert output.sent[2:] == [(1064, b"\xf8\xf8"), (1064, b"\xf8"), (1100, OFF)]
    assert sent_frames(events)[2:] == [1064, 1064, 1100]


def test_what_never_fits_is_refused_and_holds_nothing_up(harness: CoreHarness) -> None:
    output = harness.attach_output(room=7)
    events = output.schedule([(1000, bytes(8)), (1000, bytes(9)), (1001, ON), (1002, OFF)])
    harness.cycle(64)
    assert sent_frames(events) == [lib.JC_REFUSED, lib.JC_REFUSED, 1001, 1002]
    assert (output.done, output.sent) == (4, [(1001, ON), (1002, OFF)])


def test_a_long_event_behind_another_is_refused_only_by_an_empty_buffer(harness: CoreHarness) -> None:
    output = harness.attach_output(room=7)
    events = output.schedule([(1000, ON), (1001, bytes(8)), (1002, OFF)])
    harness.cycle(64)
    assert sent_frames(events) == [1000, None, None]
    harness.cycle(64)
    assert sent_frames(events) == [1000, lib.JC_REFUSED, 1064]


def test_a_schedule_can_be_replaced_and_cancelled(harness: CoreHarness) -> None:
    output = harness.attach_output()
    first = output.schedule([(1000, ON), (1100, OFF)])
    harness.cycle(64)
    second = output.schedule([(1090, b"\xfc")])
    harness.cycle(64)
    third = output.schedule([(1130, ON)])
    output.cancel()
    harness.cycle(64)
    assert output.sent == [(1000, ON), (1090, b"\xfc")]
    assert (sent_frames(first), sent_frames(second), sent_frames(third)) == ([1000, None], [1090], [None])
    assert output.clears == 3  # else JACK would send the last cycle's events again


def test_outputs_come_and_go(harness: CoreHarness) -> None:
    first, last = harness.attach_output(slot=0), harness.attach_output(slot=lib.JC_MAX_OUTPUTS - 1)
    first.schedule([(1001, ON), (1065, OFF)])
    last.schedule([(1002, OFF), (1066, ON)])
    harness.cycle(64)
    lib.jc_set_output(harness.core, first.slot, ffi.NULL)
    harness.cycle(64)
    assert first.sent == [(1001, ON)]
    assert last.sent == [(1002, OFF), (1066, ON)]


def test_a_port_without_a_buffer_sends_later(harness: CoreHarness) -> None:
    output = harness.attach_output()
    events = output.schedule([(1000, ON), (1064, OFF)])
    harness.without_buffer.update(harness.outputs)
    harness.cycle(64)
    assert (output.sent, output.clears) == ([], 0)
    harness.without_buffer.clear()
    harness.cycle(64)
    assert sent_frames(events) == [1064, 1064]


def test_frames_of_64_bits(harness: CoreHarness) -> None:
    with CoreHarness((1 << 32) - 32) as late:
        output = late.attach_output()
        events = output.schedule([((1 << 32) - 1, ON), (1 << 32, OFF), ((1 << 32) + 40, ON)])
        late.cycle(64)
        late.cycle(64)
        assert sent_frames(events) == [(1 << 32) - 1, 1 << 32, (1 << 32) + 40]
        assert [frame for frame, _ in output.sent] == sent_frames(events)
