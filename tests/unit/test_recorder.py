"""A recorder on a real ring: whatever JACK, control and the scheduler do, its chunks are the truth of its frames."""

from collections.abc import Iterator
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from jackcapture.engine import _rt
from jackcapture.engine import feeds as feeds_module
from jackcapture.engine import recorder as recorder_module
from jackcapture.engine.clock import EngineClock
from jackcapture.engine.feeds import make_feed
from jackcapture.errors import ConflictError, InvalidValueError, NotFoundError, UnreachableError
from jackcapture.model.streams import SampleFormat
from jackcapture.model.takes import GapCause, StreamStatus
from jackcapture.protocol.messages import AT_ONCE, StreamChunkFull, StreamError
from parts.core_harness import RATE, CoreHarness
from parts.recorder_rig import CAPACITY, MARGIN, Rig

CYCLES = st.tuples(st.integers(1, 64), st.one_of(st.just(0), st.just(0), st.integers(1, 300)))


class RecorderMachine(RuleBasedStateMachine):
    """JACK's cycles, control's requests and the writer's passes, in any order."""

    rig: Rig

    @initialize(
        channels=st.integers(1, 3),
        sample_format=st.sampled_from(SampleFormat),
        chunk_bytes=st.integers(4096, 6000),
        first_frame=st.sampled_from([0, 5000, (1 << 32) - 2000]),
    )
    def begin(self, channels: int, sample_format: SampleFormat, chunk_bytes: int, first_frame: int) -> None:
        self.rig = Rig(channels, sample_format, chunk_bytes, first_frame)
        self.between: list[tuple[int, int]] = []
        self.rig.attached.ring.between = self._between
        self.takes = 0
        self.end_wanted = -1
        self.is_stopping = False

    def teardown(self) -> None:
        if not hasattr(self, "rig"):
            return
        try:
            if self.runs:
                self.stop(0, False)
            for _ in range(200):
                if not self.runs:
                    break
                self.rig.harness.cycle(64)
                self.rig.recorder.advance()
                if self.runs:
                    self.rig.recorder.add_spare(self.rig.chunk())
            assert not self.runs
            self.takes_agree()
        finally:
            self.rig.close()

    @property
    def runs(self) -> bool:
        return self.rig.recorder.state.status in (StreamStatus.RECORDING, StreamStatus.STARVED)

    def _between(self) -> None:
        if self.between:
            frames, skipped = self.between.pop()
            self.rig.harness.cycle(frames, skipped=skipped)

    @rule(cycles=st.lists(CYCLES, min_size=1, max_size=12))
    def jack_runs(self, cycles: list[tuple[int, int]]) -> None:
        for frames, skipped in cycles:
            self.rig.harness.cycle(frames, skipped=skipped)

    @rule(times=st.integers(4, 20))
    def jack_runs_and_the_writer_keeps_up(self, times: int) -> None:
        for _ in range(times):
            self.rig.harness.cycle(64)
            self.rig.recorder.advance()

    @rule(cycles=st.lists(CYCLES, min_size=1, max_size=3))
    def jack_will_run_while_the_writer_works(self, cycles: list[tuple[int, int]]) -> None:
        self.between = cycles

    @rule()
    def the_writer_passes(self) -> None:
        self.rig.recorder.advance()

    @precondition(lambda self: self.runs)
    @rule(count=st.integers(1, 3))
    def a_spare_comes(self, count: int) -> None:
        for _ in range(count):
            if self.runs:
                self.rig.recorder.add_spare(self.rig.chunk())

    @rule(which=st.integers(0, 9))
    def control_releases(self, which: int) -> None:
        done = self.rig.recorder.state.chunks_done
        if done:
            self.rig.recorder.release(done[which % len(done)].path)

    @rule(frames=st.sampled_from([0, 1, 200, 5000]))
    def control_holds_the_ring_for_a_start(self, frames: int) -> None:
        self.rig.hold(frames)

    @precondition(lambda self: not self.runs)
    @rule(ahead=st.one_of(st.none(), st.integers(-700, 300)), first_sample=st.sampled_from([0, 1, 1 << 40]))
    def start(self, ahead: int | None, first_sample: int) -> None:
        frame = AT_ONCE if ahead is None else max(0, self.rig.harness.frame + ahead)
        self.takes += 1
        self.end_wanted = -1
        self.is_stopping = False
        try:
            self.rig.start(frame, self.takes, first_sample)
        except ConflictError as error:
            oldest, now = error.details["oldest_frame"], error.details["frame"]
            assert frame < oldest <= now
            frame = oldest
            self.rig.start(frame, self.takes, first_sample)
        assert (self.rig.recorder.state.take_number, self.rig.recorder.state.first_sample) == (self.takes, first_sample)
        assert frame in (AT_ONCE, self.rig.recorder.state.start_frame)

    @precondition(lambda self: self.runs)
    @rule(ahead=st.integers(-500, 500), at_once=st.booleans())
    def stop(self, ahead: int, at_once: bool) -> None:
        state = self.rig.recorder.state
        frame = AT_ONCE if at_once else max(0, self.rig.harness.frame + ahead)
        if not (self.is_stopping or at_once):  # of several stops the first one counts
            self.end_wanted = max(frame, state.start_frame + state.head_sample - state.first_sample)
        self.is_stopping = True
        self.rig.stop(frame)

    @precondition(lambda self: hasattr(self, "rig"))
    @invariant()
    def takes_agree(self) -> None:
        self.rig.check_state()
        assert (self.rig.status is StreamStatus.STOPPED) or self.runs
        assert not self.rig.told(StreamError)
        if self.takes and not self.runs:
            assert self.rig.stopped
            _, end = self.rig.check_take()
            assert self.end_wanted in (-1, end)


def test_whatever_happens_the_chunks_are_the_truth() -> None:
    with (
        mock.patch.object(feeds_module, "START_MARGIN_FRAMES", MARGIN),
        mock.patch.object(recorder_module, "STOP_PATIENCE", 600.0),
    ):
        run_state_machine_as_test(
            RecorderMachine,
            settings=settings(max_examples=150, stateful_step_count=30, deadline=None, report_multiple_bugs=False),
        )


# --- one thing at a time ---


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr(feeds_module, "START_MARGIN_FRAMES", MARGIN)
    rig = Rig(2, SampleFormat.F32, 4096, 1000)
    yield rig
    rig.close()


def test_a_start_may_lie_in_the_past_as_far_as_the_ring_reaches(rig: Rig) -> None:
    for _ in range(40):
        rig.harness.cycle(64)
    now, oldest = rig.harness.frame, rig.harness.frame - CAPACITY + MARGIN
    with pytest.raises(ConflictError, match=f"goes back to frame {oldest}, {now - oldest} frames") as caught:
        rig.start(oldest - 1)
    assert caught.value.details == {"oldest_frame": oldest, "frame": now}
    assert not rig.attached.ring.pointer.guarded
    assert rig.status is StreamStatus.STOPPED
    rig.start(oldest, first_sample=77)
    rig.recorder.add_spare(rig.chunk())
    rig.stop()
    assert rig.check_take() == (oldest, now)


@pytest.mark.parametrize("late", [2, 40])
def test_a_writer_that_is_held_up_while_it_starts_records_nothing_that_was_overwritten(rig: Rig, late: int) -> None:
    for _ in range(40):
        rig.harness.cycle(64)
    frame = rig.harness.frame - 600

    def hold_up() -> None:
        rig.attached.ring.between = None
        for _ in range(late):
            rig.harness.cycle(64)

    rig.attached.ring.between = hold_up
    if late == 40:
        with pytest.raises(ConflictError, match="its ring goes back to"):
            rig.start(frame)
        return
    rig.start(frame)
    rig.recorder.add_spare(rig.chunk())
    rig.stop()
    assert rig.check_take() == (frame, rig.harness.frame)


def test_a_writer_that_sleeps_over_a_start_to_come_loses_frames_only_to_a_gap(rig: Rig) -> None:
    rig.start(rig.harness.frame + 100)
    for _ in range(40):
        rig.harness.cycle(64)
    rig.recorder.advance()
    rig.recorder.add_spare(rig.chunk())
    rig.harness.cycle(64)
    for _ in range(5):
        rig.recorder.add_spare(rig.chunk())
    rig.stop()
    rig.check_take()
    assert [gap.cause for gap in rig.recorder.state.chunks_done[1].gaps] == [GapCause.RING_OVERFLOW]


def test_a_take_that_begins_where_a_gap_ends_does_not_have_that_gap(rig: Rig) -> None:
    # JACK's callback may push the gap and its frames between the writer's two looks: then it starts after the gap.
    rig.attached.ring.between = lambda: rig.harness.cycle(8, skipped=50)
    rig.start()
    rig.attached.ring.between = None
    rig.harness.cycle(64)
    rig.stop()
    start, _ = rig.check_take()
    assert start > 1001


def test_a_take_that_ends_where_a_gap_begins_or_inside_it(rig: Rig) -> None:
    rig.harness.cycle(64)
    for beyond in (0, 1, 49):
        rig.start()
        rig.harness.cycle(8)
        end = rig.harness.frame + beyond
        rig.harness.cycle(8, skipped=50)
        rig.stop(end)
        assert rig.check_take()[1] == end
        assert rig.recorder.state.lost_frames == beyond


def test_a_start_in_the_past_knows_the_gaps_of_an_earlier_take(rig: Rig) -> None:
    rig.start()
    rig.harness.cycle(64, skipped=3)
    rig.harness.cycle(64)
    rig.stop()
    rig.check_take()
    rig.start(1000, 2)
    rig.stop()
    assert rig.check_take() == (1000, rig.harness.frame)
    assert rig.recorder.state.lost_frames == 3


def test_a_starved_take_goes_on_when_a_chunk_comes(rig: Rig) -> None:
    rig.start()
    for _ in range(9):
        rig.harness.cycle(64)
    rig.recorder.advance()
    starved = rig.recorder.state
    assert (starved.status, starved.head_sample) == (StreamStatus.STARVED, 512)
    rig.recorder.add_spare(rig.chunk())
    fed = rig.recorder.state
    assert (fed.status, fed.head_sample) == (StreamStatus.RECORDING, 9 * 64)
    rig.stop()
    rig.check_take()


def test_a_stop_that_gets_no_chunk_ends_the_take_with_what_it_has(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "STOP_PATIENCE", -1.0)
    rig.start()
    for _ in range(9):
        rig.harness.cycle(64)
    rig.stop()
    assert rig.stopped
    assert rig.check_take() == (1001, 1001 + 512)
    assert rig.status is StreamStatus.ERROR
    assert rig.recorder.state.error == "the take ends at position 512: no chunk came for the rest"
    assert rig.told(StreamError) == [StreamError(rig.definition.uri, rig.recorder.state.error, recoverable=False)]


def test_a_stop_does_not_wait_for_a_jack_that_stands_still(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "STOP_PATIENCE", -1.0)
    rig.start()
    rig.harness.cycle(64)
    rig.stop(rig.harness.frame + 10)
    assert rig.check_take() == (1001, 1065)


def test_a_stop_before_the_start_gives_a_take_without_chunks(rig: Rig) -> None:
    rig.start(rig.harness.frame + 100, first_sample=9)
    rig.harness.cycle(64)
    rig.stop()
    assert rig.stopped
    rig.check_take()
    assert (rig.recorder.state.head_sample, rig.recorder.state.chunks_done) == (9, ())


def test_a_server_that_goes_leaves_all_that_the_ring_held(rig: Rig) -> None:
    rig.start()
    for _ in range(5):
        rig.harness.cycle(64)
    rig.stop(rig.harness.frame + 1000)  # somebody waits for this stop, and must not do so for ever
    rig.recorder.unplug("the server has gone")
    assert rig.stopped
    assert rig.check_take() == (1001, 1321)
    assert rig.told(StreamError) == [StreamError(rig.definition.uri, "the server has gone", recoverable=False)]
    with pytest.raises(UnreachableError):
        rig.start()
    rig.recorder.advance()
    with CoreHarness(50) as another:
        rig.attached = another.attach(2, CAPACITY)
        another.cycle(1)
        rig.recorder.plug(make_feed(rig.attached.ring, rig.definition, 1.0), another.clock, rig.kept.append)
        rig.start(take_number=2, first_sample=320)
        another.cycle(64)
        rig.stop()
        assert rig.check_take() == (51, 115)
        assert rig.recorder.state.error == ""


def test_a_take_that_begins_after_a_servers_last_cycle_has_no_clock_of_that(rig: Rig) -> None:
    last = _rt.ffi.new("jc_core *", rig.harness.core[0])  # as a server that has gone leaves it
    rig.recorder.resume(EngineClock(last, rig.harness.microseconds, RATE))
    rig.start()
    rig.harness.cycle(64, skipped=1000)  # of the next server: it fills a chunk before its clock is there
    rig.recorder.advance()
    rig.recorder.resume(rig.harness.clock)
    for _ in range(2):
        rig.recorder.add_spare(rig.chunk())
    rig.harness.cycle(64)
    rig.stop()
    clocks = [[clock.sample_position for clock in chunk.clocks] for chunk in rig.told(StreamChunkFull)]
    assert clocks == [[], [1000], [1064]]


def test_a_take_that_begins_and_ends_within_a_cycle_has_its_clocks_there(rig: Rig) -> None:
    for _ in range(4):
        rig.harness.cycle(64)
    newest = rig.harness.clock.observe()
    assert newest is not None
    rig.start(newest.frame + 63)
    rig.stop()
    (clock,) = [clock for chunk in rig.told(StreamChunkFull) for clock in chunk.clocks]
    assert (clock.sample_position, clock.jack_frame) == (0, newest.frame + 63)
    assert clock.monotonic_us == newest.monotonic_us + 63 * 1_000_000 // RATE
    assert newest.later(newest.frame + 64) is None
    assert newest.later(newest.frame - 1) is None


def test_what_is_refused_changes_nothing(rig: Rig) -> None:
    uri = rig.definition.uri
    with pytest.raises(ConflictError, match=f"{uri} is not recording"):
        rig.stop()
    with pytest.raises(ConflictError, match=f"{uri} does not record, so it needs no chunk"):
        rig.recorder.add_spare(rig.chunk())
    with pytest.raises(NotFoundError):
        rig.recorder.start(str(rig.harness.folder / "missing"), AT_ONCE, 1, 0)
    with pytest.raises(InvalidValueError, match="has 4095 bytes: it must be preallocated to 4096"):
        rig.recorder.start(rig.chunk(4095), AT_ONCE, 1, 0)
    assert not rig.attached.ring.pointer.guarded
    assert (rig.recorder.state.status, rig.recorder.state.spares) == (StreamStatus.STOPPED, ())

    rig.start()
    first = rig.recorder.state.spares[0]
    with pytest.raises(ConflictError, match=f"chunk {first} is in use by {uri} already"):
        rig.recorder.add_spare(first)
    rig.harness.cycle(64)
    rig.recorder.advance()
    with pytest.raises(ConflictError, match=f"chunk {first} is in use"):
        rig.recorder.add_spare(first)
    with pytest.raises(ConflictError, match=f"{uri} is recording already"):
        rig.start()
    rig.stop()
    rig.check_take()
    with pytest.raises(ConflictError, match=f"chunk {first} is in use"):
        rig.recorder.start(first, AT_ONCE, 2, 64)
    rig.recorder.release(first)
    assert rig.recorder.state.chunks_done == ()
