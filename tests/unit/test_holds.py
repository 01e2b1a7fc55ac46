"""A ring that is held for a start to come: in a freewheel JACK waits for it, in real time nothing is lost by it."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from jackcapture.engine import _rt
from jackcapture.engine import feeds as feeds_module
from jackcapture.engine import recorder as recorder_module
from jackcapture.engine.chunks import ChunkFile
from jackcapture.engine.feeds import MidiFeed, make_feed
from jackcapture.engine.recorder import Recorder
from jackcapture.errors import ConflictError, NotFoundError
from jackcapture.model.streams import SampleFormat
from jackcapture.model.takes import GapCause, StreamStatus
from parts.core_harness import CoreHarness
from parts.recorder_rig import CAPACITY, MARGIN, Rig

lib = _rt.lib
PERIOD = 64
NOTE = bytes([0x90, 60, 100])


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """A recorder whose ring has been written over more than once."""
    monkeypatch.setattr(feeds_module, "START_MARGIN_FRAMES", MARGIN)
    rig = Rig(2, SampleFormat.F32, 4096, 1000)
    for _ in range(40):
        rig.harness.cycle(PERIOD)
    yield rig
    rig.close()


def pass_frames(rig: Rig, frames: int) -> None:
    """Run cycles, with a pass of the writer after each."""
    for _ in range(frames // PERIOD):
        rig.harness.cycle(PERIOD)
        rig.recorder.advance()


def finish(rig: Rig) -> tuple[int, int]:
    """Stop the take at the newest frame and judge it."""
    rig.stop()
    while not rig.stopped:
        rig.recorder.add_spare(rig.chunk())
    return rig.check_take()


@pytest.mark.parametrize("before", [0, 300])
def test_a_freewheel_waits_for_the_start(rig: Rig, before: int) -> None:
    lib.jc_freewheel(1, rig.harness.core)
    pass_frames(rig, PERIOD)
    rig.hold(before)
    frame = rig.harness.frame - before
    starts: list[int] = []

    def start() -> None:
        if not starts:
            starts.append(rig.harness.frame)
            rig.recorder.advance()  # a pass of the writer does not let go
            rig.start(frame)
        rig.recorder.add_spare(rig.chunk())

    rig.harness.while_paused = start
    pass_frames(rig, 3 * CAPACITY)
    assert starts[0] > frame + CAPACITY - PERIOD  # the ring was full: nothing is left of its margin
    assert finish(rig)[0] == frame
    assert rig.recorder.state.lost_frames == 0


def test_what_is_held_is_told(rig: Rig) -> None:
    rig.hold(200)
    assert rig.recorder.state.oldest_frame == rig.harness.frame - 200
    pass_frames(rig, PERIOD)
    rig.hold(0)
    assert rig.recorder.state.oldest_frame == rig.harness.frame


def test_a_ring_that_has_just_come_holds_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds_module, "START_MARGIN_FRAMES", MARGIN)
    rig = Rig(2, SampleFormat.F32, 4096, 1000)
    try:
        pass_frames(rig, 3 * PERIOD)
        rig.hold(1 << 63)
        first = rig.attached.ring.first_frame
        assert rig.recorder.state.oldest_frame == first == 1000
        pass_frames(rig, PERIOD)
        rig.start(first)
        assert finish(rig)[0] == first
    finally:
        rig.close()


def test_a_start_may_lie_before_what_is_held_as_far_as_the_ring_reaches(rig: Rig) -> None:
    rig.hold(0)
    frame = rig.harness.frame - 500
    pass_frames(rig, 2 * PERIOD)
    rig.start(frame)
    assert finish(rig)[0] == frame


def test_no_more_is_held_than_the_ring_has(rig: Rig) -> None:
    lib.jc_freewheel(1, rig.harness.core)
    oldest = rig.harness.frame - CAPACITY + MARGIN
    rig.hold(1 << 63)
    pass_frames(rig, MARGIN // 2)
    with pytest.raises(ConflictError, match=f"goes back to frame {oldest}, "):
        rig.start(oldest - 1)
    rig.hold(1 << 63)
    oldest = rig.harness.frame - CAPACITY + MARGIN
    assert rig.recorder.state.oldest_frame == oldest
    rig.start(oldest)
    assert finish(rig)[0] == oldest


def test_a_gap_at_the_very_frame_that_is_held_belongs_to_the_take(rig: Rig) -> None:
    rig.hold(0)
    frame = rig.harness.frame
    rig.harness.cycle(PERIOD, skipped=100)
    rig.recorder.advance()
    rig.start(frame)
    assert finish(rig)[0] == frame
    assert rig.recorder.state.lost_frames == 100


def test_a_start_that_does_not_come_in_time_holds_up_nobody(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    lib.jc_freewheel(1, rig.harness.core)
    pass_frames(rig, PERIOD)
    rig.hold(0)
    frame = rig.harness.frame
    pass_frames(rig, CAPACITY)
    assert rig.attached.ring.pointer.guarded
    assert rig.harness.paused_us == 0  # it just fits
    later = time.monotonic() + recorder_module.HOLD_SECONDS + 1
    with monkeypatch.context() as patch:
        patch.setattr("jackcapture.engine.recorder.time.monotonic", lambda: later)
        rig.recorder.advance()
    assert not rig.attached.ring.pointer.guarded
    pass_frames(rig, 2 * CAPACITY)
    assert rig.harness.paused_us == 0
    assert rig.attached.lost == []
    with pytest.raises(ConflictError, match=f"cannot start at frame {frame}: its ring goes back to"):
        rig.start(frame)
    rig.start(rig.harness.frame)
    assert finish(rig)[0] == rig.harness.frame


def test_in_real_time_no_frame_is_lost_for_a_start_that_does_not_come(rig: Rig) -> None:
    rig.hold(0)
    frame = rig.harness.frame
    pass_frames(rig, CAPACITY - MARGIN)
    assert rig.attached.ring.pointer.guarded
    pass_frames(rig, 2 * CAPACITY)
    assert not rig.attached.ring.pointer.guarded
    assert rig.attached.lost == []
    with pytest.raises(ConflictError, match=f"cannot start at frame {frame}: its ring goes back to"):
        rig.start(frame)


def test_a_start_that_is_refused_lets_go(rig: Rig) -> None:
    rig.hold(0)
    with pytest.raises(NotFoundError):
        rig.recorder.start("/no/such/chunk", rig.harness.frame, 1, 0)
    assert not rig.attached.ring.pointer.guarded
    rig.start(rig.harness.frame)
    assert finish(rig)[0] == rig.harness.frame


@pytest.mark.parametrize("freewheels", [0, 1])
def test_a_take_waits_for_its_stop(rig: Rig, freewheels: int) -> None:
    rig.start()
    start_frame = rig.recorder.state.start_frame
    lib.jc_freewheel(freewheels, rig.harness.core)
    pass_frames(rig, 2 * PERIOD)
    rig.hold(0)
    pass_frames(rig, 5 * PERIOD)
    assert rig.recorder.state.head_sample == 2 * PERIOD
    rig.stop(start_frame + 3 * PERIOD + 7)
    assert rig.stopped
    assert rig.check_take() == (start_frame, start_frame + 3 * PERIOD + 7)


def test_in_real_time_a_take_goes_on_before_its_ring_is_full(rig: Rig) -> None:
    rig.start()
    start_frame = rig.recorder.state.start_frame
    rig.hold(0)
    pass_frames(rig, CAPACITY // 2)
    assert rig.recorder.state.head_sample == 0
    for _ in range(8):
        rig.recorder.add_spare(rig.chunk())
        pass_frames(rig, CAPACITY // 4)
    assert rig.attached.lost == []
    assert finish(rig) == (start_frame, rig.harness.frame)


def test_a_take_goes_on_if_its_stop_does_not_come_in_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    lib.jc_freewheel(1, rig.harness.core)
    pass_frames(rig, PERIOD)
    rig.start()
    rig.hold(0)
    pass_frames(rig, PERIOD)
    assert rig.recorder.state.head_sample == 0
    later = time.monotonic() + recorder_module.HOLD_SECONDS + 1
    with monkeypatch.context() as patch:
        patch.setattr("jackcapture.engine.recorder.time.monotonic", lambda: later)
        rig.recorder.advance()
    assert rig.recorder.state.head_sample == PERIOD
    finish(rig)


def test_what_a_dead_engine_held_is_let_go_by_the_next_one(rig: Rig) -> None:
    rig.hold(0)
    ring = rig.attached.ring
    assert ring.pointer.guarded
    ring.adopt(rig.attached.shared)
    ring.lost = sum(gap.frames for gap in ring.known_gaps())
    recorder = Recorder(rig.definition, rig.events.append)
    state = replace(rig.recorder.state, status=StreamStatus.STOPPED)
    recorder.adopt(make_feed(ring, rig.definition, 1.0, adopted=True), rig.kept.append, state)
    assert not ring.pointer.guarded
    recorder.resume(rig.harness.clock)
    for _ in range(3 * CAPACITY // PERIOD):
        rig.harness.cycle(PERIOD)
        recorder.advance()
    assert GapCause.RING_OVERFLOW not in {cause for _, _, cause in rig.attached.lost}


def test_midi_is_held_for_longer_than_it_is_kept() -> None:
    with CoreHarness() as harness:
        stream = harness.attach(0, 4096)

        def run(cycles: int) -> None:
            for _ in range(cycles):
                stream.events = [(0, NOTE)]
                harness.cycle(PERIOD)
                feed.rest(feed.refresh())

        harness.cycle(PERIOD)
        feed = MidiFeed(stream.ring, 1000)
        run(10)
        held = harness.frame
        assert feed.hold(held - 2 * PERIOD) == held - 2 * PERIOD
        run(40)
        assert feed.take_over() == held - 2 * PERIOD
        path = harness.folder / "chunk"
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 1 << 16)
        chunk = ChunkFile(str(path), 1 << 16)
        feed.seek(held)
        moved = feed.move(held, 40 * PERIOD, 0, chunk, 0, lost=False)
        assert moved.bytes == 40 * (lib.JC_MIDI_HEAD_BYTES + len(NOTE))
        chunk.close()

        feed.hold(harness.frame)
        run(40)
        assert not feed.is_nearly_full()
        run(100)
        assert feed.is_nearly_full()
        feed.let_go()
        run(1)
        assert not feed.is_nearly_full()
        assert feed.take_over() == harness.frame - 1000
