"""The transport at a position, and when it was at a place: against a transport whose every cycle is known."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackcapture.clock.transport import Pass, TransportHistory, find_bar, find_transport_frame
from jackcapture.errors import InvalidValueError, NotFoundError
from jackcapture.model.takes import ClockReason, ClockSnapshot, Transport, TransportState
from parts.simulated_clock import WRAP, SimulatedClock, Timebase

RATE = 48_000
SECONDS = st.floats(0.05, 3)


@st.composite
def performances(draw: st.DrawFn) -> SimulatedClock:
    """A take in which people roll, stop, relocate, loop and change the tempo."""
    clock = SimulatedClock(period=draw(st.sampled_from([480, 1024])), first_sample=draw(st.sampled_from([0, 10**6])))
    accumulates = draw(st.booleans())
    if draw(st.booleans()):
        clock.locate(draw(st.integers(0, WRAP - 1)))
    if draw(st.booleans()):
        clock.give_bars(Timebase(accumulates=accumulates))
    clock.play(draw(SECONDS))
    for _ in range(draw(st.integers(1, 7))):
        happens = draw(st.sampled_from(["roll", "roll", "stop", "locate", "loop", "tempo", "gap", "server"]))
        if happens == "roll":
            clock.roll()
        elif happens == "stop":
            clock.stop()
        elif happens == "locate":
            clock.locate(draw(st.integers(0, 40 * RATE) | st.just(WRAP - RATE)))
        elif happens == "loop":
            back = clock.transport.frame
            clock.play(draw(SECONDS))
            clock.locate(back)
        elif happens == "tempo":
            tempo, beats = draw(st.integers(30, 300)), draw(st.integers(1, 7))
            last = clock.transport
            if (last.beats_per_minute, last.beats_per_bar) != (tempo, beats):  # else nothing marks a new numbering
                clock.give_bars(Timebase(tempo, beats, draw(st.sampled_from([480.0, 1920.0])), accumulates))
        elif happens == "gap":
            clock.lose(draw(st.integers(1, 20)) * clock.period, 10**8)
        else:
            clock.restart_server(draw(SECONDS))
        clock.play(draw(SECONDS))
    return clock


def history(clock: SimulatedClock) -> TransportHistory:
    return TransportHistory(clock.snapshots(), clock.rate, clock.first_sample, clock.position, clock.gaps)


def lived(clock: SimulatedClock, seed: int) -> list[int]:
    """Positions of frames that were delivered."""
    chosen = random.Random(seed)
    return [chosen.choice(clock.cycles).position + chosen.randint(0, clock.period - 1) for _ in range(8)]


@settings(max_examples=30, deadline=None)
@given(clock=performances(), seed=st.integers(0, 2**32))
def test_at_every_position_the_transport_is_as_it_was(clock: SimulatedClock, seed: int) -> None:
    found = history(clock)
    for position in lived(clock, seed):
        cycle = clock.cycle_at(position)
        rolled = position - cycle.position if cycle.transport.state is TransportState.ROLLING else 0
        moment = found.at(position)
        assert (moment.state, moment.frame) == (cycle.transport.state, (cycle.transport.frame + rolled) % WRAP)
        assert (moment.bars is None) == (cycle.transport.bar == 0)
        if moment.bars is not None:
            said = cycle.transport
            at = ((said.bar - 1) * said.beats_per_bar + said.beat - 1) * said.ticks_per_beat + said.tick
            at += rolled * said.ticks_per_beat * said.beats_per_minute / 60 / clock.rate
            bars = moment.bars
            told = ((bars.bar - 1) * said.beats_per_bar + bars.beat - 1) * said.ticks_per_beat + bars.tick
            # Within a cycle nobody but the tempo says how ticks pass; a client that drops some does so at its end.
            assert abs(told - at) <= bars.error_ticks + 1.001
            assert 1 <= bars.beat <= said.beats_per_bar
            assert 0 <= bars.tick < said.ticks_per_beat


@settings(max_examples=30, deadline=None)
@given(clock=performances(), seed=st.integers(0, 2**32))
def test_every_pass_over_a_frame_is_found_and_no_other(clock: SimulatedClock, seed: int) -> None:
    found = history(clock)
    for position in lived(clock, seed):
        frame = found.at(position).frame
        expected = []
        for cycle in clock.cycles:
            is_rolling = cycle.transport.state is TransportState.ROLLING
            offset = (frame - cycle.transport.frame) % WRAP
            if is_rolling and offset < clock.period:
                expected.append((cycle.position + offset, True))
            elif not is_rolling and offset == 0:
                expected.append((cycle.position, False))
        passes = found.passes_over_frame(frame)
        assert [one.position for one in passes] == sorted((one.position for one in passes), reverse=True)
        rolling = {at for at, is_rolling in expected if is_rolling}
        assert {one.position for one in passes if one.is_rolling} == rolling
        stands = [range(one.position, one.end_position) for one in passes if not one.is_rolling]
        stood = {at for at, is_rolling in expected if not is_rolling}
        assert all(any(at in stand for stand in stands) for at in stood)
        assert all(any(at in stand for at in stood) for stand in stands)
        assert find_transport_frame([found], frame) == passes[0]


@settings(max_examples=30, deadline=None)
@given(clock=performances(), seed=st.integers(0, 2**32))
def test_a_bar_is_found_where_it_was_told(clock: SimulatedClock, seed: int) -> None:
    found = history(clock)
    for position in lived(clock, seed):
        bars = found.at(position).bars
        if bars is None:
            continue
        passes = found.passes_over_bar(bars.bar, bars.beat, bars.tick)
        assert any(
            one.position - one.error_frames - 1 <= position < one.end_position + one.error_frames + 1 for one in passes
        )
        assert [one.position for one in passes] == sorted((one.position for one in passes), reverse=True)
        assert find_bar([found], bars.bar, bars.beat, bars.tick) == passes[0]


def test_several_passes_the_newest_first_and_a_stand_of_its_own() -> None:
    clock = SimulatedClock(period=480)
    clock.play(1)  # at frame 0
    clock.roll()
    clock.play(3)
    clock.locate(RATE)  # a loop of two seconds
    clock.play(2)
    clock.locate(RATE)
    clock.play(2)
    clock.stop()
    clock.play(1)
    found = history(clock)
    assert found.passes_over_frame(RATE + 7) == [
        Pass(6 * RATE + 7, 6 * RATE + 8, is_rolling=True),
        Pass(4 * RATE + 7, 4 * RATE + 8, is_rolling=True),
        Pass(2 * RATE + 7, 2 * RATE + 8, is_rolling=True),
    ]
    assert found.passes_over_frame(0) == [Pass(RATE, RATE + 1, is_rolling=True), Pass(0, RATE, is_rolling=False)]
    assert found.passes_over_frame(3 * RATE) == [Pass(8 * RATE, 9 * RATE, is_rolling=False)]
    assert found.passes_over_frame(5 * RATE) == []
    with pytest.raises(NotFoundError, match=r"not at frame 240000 while this was recorded: .* 0 and 144000"):
        find_transport_frame([found], 5 * RATE)
    with pytest.raises(NotFoundError, match="there is no take"):
        find_transport_frame([], 5)
    with pytest.raises(InvalidValueError, match=r"transport frame 4294967296 cannot be: .* 0 to 4294967295"):
        found.passes_over_frame(WRAP)


def test_the_newest_pass_is_that_of_the_newest_take() -> None:
    takes = []
    for first_sample in (0, 10**6):
        clock = SimulatedClock(period=480, first_sample=first_sample)
        clock.roll()
        clock.play(2)
        takes.append(history(clock))
    assert find_transport_frame(takes, 4800).position == 10**6 + 4800
    assert find_transport_frame(takes[:1], 4800).position == 4800


def test_the_frame_of_the_transport_wraps() -> None:
    clock = SimulatedClock(period=480)
    clock.locate(WRAP - RATE)
    clock.roll()
    clock.play(2)
    found = history(clock)
    assert found.at(RATE + 5).frame == 5
    assert found.passes_over_frame(5) == [Pass(RATE + 5, RATE + 6, is_rolling=True)]


def test_bars_and_what_is_wrong_with_those_asked_for() -> None:
    clock = SimulatedClock(period=480)
    clock.give_bars(Timebase(beats_per_bar=3))  # a bar is 1.5 s
    clock.roll()
    clock.play(7)
    found = history(clock)
    for bar, beat, tick, position in ((1, 1, 0, 0), (2, 1, 0, 72_000), (2, 3, 960, 132_000), (5, 2, 0, 312_000)):
        assert abs(find_bar([found], bar, beat, tick).position - position) <= 25  # a tick
    with pytest.raises(NotFoundError, match=r"did not pass bar 6, beat 1, tick 0 while .* in the bars 1 to 5"):
        find_bar([found], 6)
    with pytest.raises(
        InvalidValueError, match=r"bar 2, beat 4, tick 0 cannot be: .* beats 1 to 3, .* ticks 0 to 1919"
    ):
        find_bar([found], 2, 4)
    with pytest.raises(InvalidValueError, match=r"bar 2, beat 1, tick 1920 cannot be"):
        find_bar([found], 2, 1, 1920)
    for wrong in ((0, 1, 0.0), (1, 0, 0.0), (1, 1, -1.0), (1, 1, float("nan"))):
        with pytest.raises(InvalidValueError, match=r"bars and beats count from 1, ticks from 0"):
            find_bar([found], *wrong)
    with pytest.raises(NotFoundError, match="there is no take"):
        find_bar([], 2)


def test_without_bars_the_error_says_so() -> None:
    clock = SimulatedClock(period=480)
    clock.roll()
    clock.play(1)
    with pytest.raises(NotFoundError, match=r"bar 2, beat 1, tick 0 .* no client gave JACK's transport bars"):
        find_bar([history(clock)], 2)
    assert history(clock).bars_passed() is None


def test_a_client_that_drops_parts_of_ticks_is_believed() -> None:
    """JACK's own example: 20.48 ticks a cycle are 20, so a minute of bars takes 61.4 s."""
    clock = SimulatedClock(period=512)
    clock.give_bars(Timebase(accumulates=True))
    clock.roll()
    clock.play(70)
    ticks = clock.cycle_at(60 * RATE).ticks
    assert 60 * 3840 - ticks > 2000
    bars = history(clock).at(60 * RATE).bars
    assert bars is not None
    told = ((bars.bar - 1) * 4 + bars.beat - 1) * 1920 + bars.tick
    assert abs(told - ticks) < 41


def test_before_a_change_and_while_jack_was_away_nothing_is_known() -> None:
    clock = SimulatedClock(period=480)
    clock.play(1)
    clock.roll()
    clock.play(1)
    begin = clock.position
    clock.restart_server(2)
    clock.play(1)
    known = [at for at in clock.snapshots() if at.sample_position >= RATE]
    late = TransportHistory(known, RATE, 0, clock.position, clock.gaps)
    with pytest.raises(NotFoundError, match=r"not known at position 10: it changed at 48000, and is known from there"):
        late.at(10)
    found = history(clock)
    with pytest.raises(NotFoundError, match=r"in the gap from 96000 to 192000, in which JACK or the engine was away"):
        found.at(begin + 100)
    assert found.passes_over_frame(RATE + 100) == []
    with pytest.raises(NotFoundError, match=r"position 240001 is not between 0 and 240000"):
        found.at(clock.position + 1)
    with pytest.raises(NotFoundError, match="no clock snapshot"):
        TransportHistory([], RATE, 0, 10)


@pytest.mark.parametrize("stands", [False, True])
def test_in_lost_frames_the_transport_went_on_or_stood_as_the_next_cycle_tells(stands: bool) -> None:
    """A server that left us out went on; one that was late itself did not."""
    lost = 4_800
    after = RATE if stands else RATE + lost
    told = [
        ClockSnapshot(0, 0, 0, 0, transport=Transport(TransportState.ROLLING, 0)),
        ClockSnapshot(RATE + lost, 0, 0, 0, (ClockReason.GAP,), transport=Transport(TransportState.ROLLING, after)),
    ]
    found = TransportHistory(told, RATE, 0, 3 * RATE)
    assert found.at(RATE + 100).frame == (RATE if stands else RATE + 100)
    assert found.passes_over_frame(RATE - 1) == [Pass(RATE - 1, RATE, is_rolling=True)]
    assert found.passes_over_frame(after) == [Pass(RATE + lost, RATE + lost + 1, is_rolling=True)]
