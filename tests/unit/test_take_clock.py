"""Sample positions, JACK's time and the wall clock: each from each, within the bound that is stated."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackcapture.clock.answers import Moment, Place
from jackcapture.clock.take_clock import TakeClock, find_wall_clock, snapshot_margin
from jackcapture.errors import NotFoundError
from jackcapture.model.takes import ClockReason, ClockSnapshot, GapCause, Take
from jackcapture.model.uris import parse_stream_uri
from parts.simulated_clock import SECOND_NS, SimulatedClock

MILLISECOND_NS = 1_000_000
JITTER = st.integers(0, 95_000)
PAIRING = st.integers(0, 19_000)
SECONDS = st.floats(0.1, 4)


@st.composite
def takes(draw: st.DrawFn, *, happenings: bool = True, steps: bool = True) -> SimulatedClock:
    """A take in which anything may happen."""
    clock = SimulatedClock(
        rate=draw(st.sampled_from([44_100, 48_000, 96_000])),
        period=draw(st.sampled_from([1024, 2048])),
        drift_ppm=draw(st.integers(-100, 100)),
        reading_ns=draw(JITTER),
        pairing_ns=draw(PAIRING),
        seed=draw(st.integers(0, 1000)),
        first_sample=draw(st.sampled_from([0, 10**9])),
    )
    clock.play(draw(SECONDS))
    for _ in range(draw(st.integers(0, 5))):
        happens = draw(st.sampled_from(["step", "slew", "drift", "lose", "jump", "stall", "server", "freewheel"]))
        if happens == "step" and steps:
            size = draw(st.integers(3 * MILLISECOND_NS, 3 * SECOND_NS))
            clock.step_wall_clock(draw(st.sampled_from([-1, 1])) * size)
            clock.play(1.2)  # of two steps between two snapshots nobody could know
        elif happens == "slew":
            start = clock.ns
            clock.wall_slews.append((start, start + 2 * SECOND_NS, draw(st.integers(-500, 500))))
            clock.play(2.5)
        elif happens == "drift":
            clock.drift_ppm = draw(st.integers(-100, 100))
        elif happens == "lose" and happenings:
            frames = draw(st.integers(1, 40)) * clock.period
            clock.lose(frames, frames * SECOND_NS // clock.rate)
        elif happens == "jump" and happenings:  # as when jackd lengthens its period: frames that took no time
            clock.lose(draw(st.integers(1, 4)) * clock.period, 0)
        elif happens == "stall" and happenings:
            clock.stall(draw(st.integers(0, 200 * MILLISECOND_NS)), draw(st.integers(0, 3)))
        elif happens == "server" and happenings:
            clock.restart_server(draw(SECONDS))
        elif happens == "freewheel" and happenings:
            pause = draw(st.integers(0, 50 * MILLISECOND_NS))
            clock.freewheel(draw(st.floats(0.5, 20)), draw(st.floats(1, 200)), pause)
        clock.play(draw(SECONDS))
    return clock


def mapped(clock: SimulatedClock) -> TakeClock:
    return TakeClock(clock.take, clock.rate, clock.snapshots(), clock.gaps)


def some_positions(clock: SimulatedClock, seed: int) -> list[int]:
    """Positions to ask for: anywhere, and where something happens."""
    chosen = random.Random(seed)
    anywhere = [chosen.randint(clock.first_sample, clock.position) for _ in range(12)]
    marked = [cycle.position for cycle in clock.cycles if cycle.reasons]
    near = [chosen.choice(marked) + chosen.randint(-2, 2) for _ in range(12)]
    return [position for position in anywhere + near if clock.first_sample <= position <= clock.position]


def recorded_positions(clock: SimulatedClock, seed: int) -> list[int]:
    """Positions of frames that were not lost: of one that was, nothing says when it would have been."""
    lost = [range(gap.position + 1, gap.position + gap.frames) for gap in clock.gaps]
    return [position for position in some_positions(clock, seed) if all(position not in gap for gap in lost)]


def is_near(places: list[Place], position: int) -> bool:
    return any(abs(place.position - position) <= place.error_frames for place in places)


@settings(max_examples=60, deadline=None)
@given(clock=takes(), seed=st.integers(0, 2**32))
def test_every_answer_is_within_its_bound_whatever_happens(clock: SimulatedClock, seed: int) -> None:
    found = mapped(clock)
    for position in some_positions(clock, seed):
        monotonic, wall = found.monotonic_at(position), found.wall_clock_at(position)
        assert abs(monotonic.ns - clock.ns_at(position)) <= monotonic.error_ns
        assert abs(wall.ns - clock.wall_ns_at(position)) <= wall.error_ns
        assert found.position_of_frame(found.frame_at(position)) == position


@settings(max_examples=60, deadline=None)
@given(clock=takes(), seed=st.integers(0, 2**32))
def test_the_way_back_finds_the_place_within_its_bound(clock: SimulatedClock, seed: int) -> None:
    found = mapped(clock)
    for position in recorded_positions(clock, seed):
        ns, wall_ns = clock.ns_at(position), clock.wall_ns_at(position)
        by_time, by_wall = found.places_at_monotonic(ns), found.places_at_wall_clock(wall_ns)
        assert is_near(by_time, position)
        assert is_near(by_wall, position)
        for place in by_time:
            assert abs(clock.ns_at(place.position) - ns) <= place.error_ns
        for place in by_wall:
            assert abs(clock.wall_ns_at(place.position) - wall_ns) <= place.error_ns
        assert [place.position for place in by_wall] == sorted({place.position for place in by_wall}, reverse=True)


@settings(max_examples=30, deadline=None)
@given(clock=takes(), seed=st.integers(0, 2**32))
def test_there_and_back_is_the_same_place(clock: SimulatedClock, seed: int) -> None:
    found = mapped(clock)
    for position in recorded_positions(clock, seed):
        assert is_near(found.places_at_monotonic(found.monotonic_at(position).ns), position)
        assert is_near(found.places_at_wall_clock(found.wall_clock_at(position).ns), position)


@settings(max_examples=50, deadline=None)
@given(clock=takes(), seed=st.integers(0, 2**32))
def test_snapshots_near_a_position_are_enough(clock: SimulatedClock, seed: int) -> None:
    """Those within the margin, as the catalog gives them, tell the same as all of them."""
    whole, snapshots = mapped(clock), clock.snapshots()
    for position in some_positions(clock, seed)[:6]:
        reach = range(position - snapshot_margin(clock.rate), position + snapshot_margin(clock.rate) + 1)
        inner = [number for number, at in enumerate(snapshots) if at.sample_position in reach]
        near = snapshots[max(0, inner[0] - 1) : inner[-1] + 2] if inner else snapshots
        part = TakeClock(clock.take, clock.rate, near, clock.gaps)
        assert part.wall_clock_at(position) == whole.wall_clock_at(position)
        assert part.monotonic_at(position) == whole.monotonic_at(position)


@settings(max_examples=60, deadline=None)
@given(
    drift=st.sampled_from([-100, 0, 100]) | st.integers(-100, 100),
    seconds=st.integers(2, 40),
    seed=st.integers(0, 1000),
    part=st.floats(0, 1),
)
def test_in_a_calm_take_the_bound_is_below_a_millisecond(drift: int, seconds: int, seed: int, part: float) -> None:
    clock = SimulatedClock(drift_ppm=drift, reading_ns=50_000, pairing_ns=2_000, seed=seed)
    clock.play(seconds)
    found, position = mapped(clock), int(part * clock.position)
    for moment in (found.wall_clock_at(position), found.monotonic_at(position)):
        assert moment.error_ns < MILLISECOND_NS
        assert moment.drift is not None
        assert abs(moment.drift.ppm - drift) <= moment.drift.error_ppm <= 250 / (seconds - 1) + 1
    assert found.places_at_wall_clock(clock.wall_ns_at(position))[0].error_ns < MILLISECOND_NS


@settings(max_examples=20, deadline=None)
@given(clock=takes(happenings=False, steps=False))
def test_where_time_runs_on_the_answers_do(clock: SimulatedClock) -> None:
    """No later position is earlier. (Steps apart, readings 100 µs off cannot make a cycle of 10 ms run backwards.)"""
    found = mapped(clock)
    positions = range(clock.first_sample, clock.position, 4999)
    for answers in ([found.wall_clock_at(at).ns for at in positions], [found.monotonic_at(at).ns for at in positions]):
        assert answers == sorted(answers)


@settings(max_examples=60, deadline=None)
@given(clock=takes(), seed=st.integers(0, 2**32))
def test_the_drift_is_within_its_bound_where_it_is_told(clock: SimulatedClock, seed: int) -> None:
    found = mapped(clock)
    for position in some_positions(clock, seed):
        drift = found.monotonic_at(position).drift
        if drift is not None:
            assert -100 - drift.error_ppm <= drift.ppm <= 100 + drift.error_ppm


def stepped(step_ns: int) -> SimulatedClock:
    """Ten seconds, a step of the wall clock, ten more."""
    clock = SimulatedClock(reading_ns=20_000, pairing_ns=1_000, period=480)
    clock.play(10.5)
    clock.step_wall_clock(step_ns)
    clock.play(9.5)
    return clock


@pytest.mark.parametrize("step_ns", [-2 * SECOND_NS, 2 * SECOND_NS, 5 * MILLISECOND_NS])
def test_a_step_shows_where_it_was_and_nowhere_else(step_ns: int) -> None:
    clock = stepped(step_ns)
    found = mapped(clock)
    for position in range(0, clock.position, 4_801):
        moment = found.wall_clock_at(position)
        assert abs(moment.ns - clock.wall_ns_at(position)) <= moment.error_ns
        if 10 * 48_000 <= position <= 11.2 * 48_000:
            # One clock or the other, none in between.
            true = clock.ns_at(position) + clock.offset_at(0), clock.ns_at(position) + clock.offset_at(10**18)
            assert min(abs(moment.ns - ns) for ns in true) < MILLISECOND_NS
        else:
            assert moment.error_ns < MILLISECOND_NS
            assert moment.drift is not None
    assert found.wall_clock_at(int(10.4 * 48_000)).error_ns > abs(step_ns)
    assert found.monotonic_at(int(10.4 * 48_000)).error_ns < MILLISECOND_NS


def test_after_a_step_back_a_time_has_two_places_and_the_newest_comes_first() -> None:
    clock = stepped(-2 * SECOND_NS)
    found = mapped(clock)
    wall_ns = clock.wall_ns_at(int(9.5 * 48_000))
    places = found.places_at_wall_clock(wall_ns)
    assert [round(place.position / 48_000, 2) for place in places] == [11.5, 9.5]
    assert all(place.error_ns < MILLISECOND_NS for place in places)
    assert find_wall_clock([found], wall_ns) == places[0]


def test_a_time_that_a_step_left_out_is_where_the_step_lies_and_says_so() -> None:
    clock = stepped(2 * SECOND_NS)
    found = mapped(clock)
    wall_ns = clock.wall_ns_at(int(10.49 * 48_000)) + SECOND_NS
    (place,) = found.places_at_wall_clock(wall_ns)
    assert place.is_skipped
    assert abs(place.position - 10.5 * 48_000) <= 24_500
    assert SECOND_NS / 2 < place.error_ns < 4 * SECOND_NS


def test_before_the_first_snapshot_and_after_the_last_the_bound_grows() -> None:
    clock = SimulatedClock(period=480)
    clock.play(100)
    middle = clock.snapshots()[50]
    found = TakeClock(clock.take, clock.rate, [middle])
    errors = [found.wall_clock_at(middle.sample_position + 48_000 * away).error_ns for away in range(-40, 41)]
    assert errors[40] == 120_002
    grows = [later - earlier for earlier, later in itertools.pairwise(errors)]
    assert grows == [-MILLISECOND_NS] * 40 + [MILLISECOND_NS] * 40
    assert found.wall_clock_at(0).drift is None


def test_freewheel_has_a_pace_of_its_own_and_does_not_touch_what_is_around_it() -> None:
    clock = SimulatedClock(period=480, reading_ns=20_000)
    clock.play(5)
    begin = clock.position
    clock.freewheel(60, 20, 30 * MILLISECOND_NS)
    end = clock.position
    clock.play(5)
    found = mapped(clock)
    inside = found.wall_clock_at((begin + end) // 2)
    assert inside.drift is None
    assert inside.error_ns < 1.1 * SECOND_NS
    for position in (begin - 1, begin - 24_000, end + 1, end + 24_000):
        assert found.wall_clock_at(position).error_ns < MILLISECOND_NS
        assert found.wall_clock_at(position).drift is not None


def test_the_take_is_asked_for_nothing_outside_of_it() -> None:
    clock = SimulatedClock(first_sample=1000, start_frame=2**32 - 5000)
    clock.play(1)
    found = mapped(clock)
    assert found.frame_at(1000 + 6000) == 2**32 + 1000
    assert found.position_of_frame(2**32) == 6000
    for outside in (999, clock.position + 1):
        with pytest.raises(NotFoundError, match=rf"position {outside} is not in take 1 .* 1000 to {clock.position}"):
            found.wall_clock_at(outside)
        with pytest.raises(NotFoundError, match=r"JACK frame .* is not in take 1 .* 4294962296 to 4295010424"):
            found.position_of_frame(outside - 1000 + 2**32 - 5000)
    with pytest.raises(NotFoundError, match=r"take 1 of stream://desk/main has no clock snapshot"):
        TakeClock(clock.take, 48_000, [])


def test_a_time_at_which_nothing_was_recorded_is_refused_with_the_times_there_are() -> None:
    clock = SimulatedClock(period=480)
    clock.play(10)
    found = mapped(clock)
    with pytest.raises(NotFoundError) as caught:
        find_wall_clock([found], 1_700_000_020_000_000_000)
    assert caught.value.message == (
        "nothing was recorded at 2023-11-14T22:13:40.000000Z: there is take 1 from 2023-11-14T22:13:20.000000Z to "
        "2023-11-14T22:13:30.000000Z"
    )
    assert caught.value.details == {
        "wall_clock": "2023-11-14T22:13:40.000000Z",
        "from": "2023-11-14T22:13:20.000000Z",
        "to": "2023-11-14T22:13:30.000000Z",
    }
    with pytest.raises(NotFoundError, match="there is no take"):
        find_wall_clock([], 0)


def test_the_end_of_a_running_take_is_the_head() -> None:
    clock = SimulatedClock(period=480)
    clock.play(3)
    running = type(clock.take)(clock.take.uri, 1, clock.start_frame, 0, None, 0, None)
    found = TakeClock(running, 48_000, clock.snapshots(), end_sample=144_000)
    assert found.wall_clock_range()[1].ns == 1_700_000_003_000_000_000
    assert found.places_at_wall_clock(1_700_000_003_100_000_000) == []
    open_ended = TakeClock(running, 48_000, clock.snapshots())
    assert open_ended.wall_clock_at(10**9) == Moment(
        1_700_020_833_333_333_333, open_ended.wall_clock_at(10**9).error_ns, open_ended.wall_clock_at(10**9).drift
    )


def test_a_lost_period_costs_nothing_where_the_gap_is_known() -> None:
    """Frames that took no time, as when jackd lengthens its period: known to the frame by the gap."""
    clock = SimulatedClock(period=480)
    clock.play(2.5)
    clock.lose(7680, 0, GapCause.XRUN)
    clock.play(2.5)
    position = int(2.2 * 48_000)
    assert mapped(clock).wall_clock_at(position).error_ns < MILLISECOND_NS
    blind = TakeClock(clock.take, clock.rate, clock.snapshots())
    assert blind.wall_clock_at(position).error_ns > 160 * MILLISECOND_NS


def seen(position: int, us: int, step_ns: int = 0, *reasons: ClockReason) -> ClockSnapshot:
    """A snapshot of a take whose position 0 was at 7 s of JACK's time."""
    return ClockSnapshot(position, position, 7_000_000 + us, 10**18 + us * 1000 + step_ns, reasons)


def by_hand(snapshots: list[ClockSnapshot]) -> TakeClock:
    take = Take(parse_stream_uri("stream://desk/main"), 1, 0, 0, 240_000, 0, None)
    return TakeClock(take, 48_000, snapshots)


@pytest.mark.parametrize("step_ns", [-2 * SECOND_NS, 2 * SECOND_NS])
def test_a_step_that_was_read_before_its_time_is_in_the_bound_and_is_found(step_ns: int) -> None:
    """The writer read the clock of second 2 only 20 ms later, and in between it was stepped."""
    found = by_hand([seen(48_000 * second, 10**6 * second, step_ns * (second >= 2)) for second in range(5)])
    position = 2 * 48_000 + 480  # 10 ms after the cycle, 10 ms before the step
    true = 10**18 + 2_010_000_000
    moment = found.wall_clock_at(position)
    assert abs(moment.ns - true) <= moment.error_ns
    assert is_near(found.places_at_wall_clock(true), position)
    later = found.wall_clock_at(2 * 48_000 + 4_810)
    assert later.error_ns < MILLISECOND_NS


def test_a_loss_too_small_for_a_break_is_in_the_bound_from_the_first_frame_on() -> None:
    """0.6 ms that went at once right after a snapshot, or right before one: drift could have made as much."""
    found = by_hand([seen(0, 0), seen(48_000, 1_000_600), seen(96_000, 2_000_600)])
    for position, true in ((1, 7_000_620_833), (47_999, 7_999_979_167)):
        moment = found.monotonic_at(position)
        assert abs(moment.ns - true) <= moment.error_ns < MILLISECOND_NS


def test_an_xrun_that_jack_told_of_late_spoils_no_drift() -> None:
    """0.6 ms were lost before second 2; JACK told of it 50 ms after that."""
    late = seen(2 * 48_000 + 2_400, 2_050_600, 0, ClockReason.XRUN)
    snapshots = [seen(0, 0), seen(48_000, 1_000_000), seen(96_000, 2_000_600), late]
    found = by_hand([*snapshots, seen(144_000, 3_000_600)])
    for position in (40_000, 60_000):
        drift = found.monotonic_at(position).drift
        assert drift is not None
        assert drift.ppm == 0
    assert found.monotonic_at(60_000).error_ns >= 1_200_000  # up to 0.6 ms, and what drift may have hidden of more
