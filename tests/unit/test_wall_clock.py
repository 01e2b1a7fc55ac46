"""The wall clock of a position, and that its error is not promised too small."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackcapture.clock.wall import DRIFT_PPM, OBSERVATION_ERROR_NS, WallClock, wall_clock_at
from jackcapture.model.takes import ClockSnapshot

BEGIN_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000
JITTER_NS = OBSERVATION_ERROR_NS - 1_000
RATES = st.sampled_from([8_000, 44_100, 48_000, 96_000, 192_000])
HOUR = 3600


def snapshot(position: int, ns: int) -> ClockSnapshot:
    return ClockSnapshot(position, position, ns // 1000, ns)


def true_ns(position: int, rate: int, drift_ppm: int) -> int:
    """The moment at which a card whose frames are too long by `drift_ppm` records a position."""
    return BEGIN_NS + position * SECOND_NS * (1_000_000 + drift_ppm) // (rate * 1_000_000)


@given(data=st.data())
def test_with_drift_and_jitter_the_error_is_never_more_than_promised(data: st.DataObject) -> None:
    rate = data.draw(RATES)
    drift = data.draw(st.integers(-DRIFT_PPM, DRIFT_PPM))
    positions = data.draw(st.lists(st.integers(0, HOUR * rate), min_size=1, max_size=8, unique=True).map(sorted))
    seen = [snapshot(at, true_ns(at, rate, drift) + data.draw(st.integers(-JITTER_NS, JITTER_NS))) for at in positions]
    position = data.draw(st.integers(0, HOUR * rate) | st.sampled_from(positions))
    found = wall_clock_at(seen, position, rate)
    assert found is not None
    assert abs(found.ns - true_ns(position, rate, drift)) <= found.error_ns


@given(
    rate=RATES,
    drift=st.integers(-DRIFT_PPM, DRIFT_PPM),
    seconds=st.integers(1, 20),
    stepped=st.integers(1, 19),
    backwards=st.booleans(),
    part=st.floats(0, 0.999),
)
def test_a_step_of_the_wall_clock_shows_where_it_was_and_nowhere_else(
    rate: int, drift: int, seconds: int, stepped: int, backwards: bool, part: float
) -> None:
    step_ns = -2 * SECOND_NS if backwards else 2 * SECOND_NS
    seen = [
        snapshot(at * rate, true_ns(at * rate, rate, drift) + (step_ns if at >= stepped else 0)) for at in range(21)
    ]
    position = int((seconds - 1 + part) * rate)
    found = wall_clock_at(seen, position, rate)
    assert found is not None
    after = position >= stepped * rate
    if (stepped - 1) * rate <= position < stepped * rate:
        assert found.error_ns >= 1.9 * SECOND_NS
        for true in (true_ns(position, rate, drift), true_ns(position, rate, drift) + step_ns):
            assert abs(found.ns - true) <= found.error_ns
    else:
        assert found.error_ns <= OBSERVATION_ERROR_NS + DRIFT_PPM * 1000 + 2
        assert abs(found.ns - true_ns(position, rate, drift) - (step_ns if after else 0)) <= found.error_ns


@pytest.mark.parametrize("seconds", [-1000, -1, 0, 1, 1000])
def test_outside_of_the_snapshots_it_goes_on_at_the_nominal_rate_with_a_growing_error(seconds: int) -> None:
    seen = [snapshot(10_000_000_000, BEGIN_NS)]
    found = wall_clock_at(seen, 10_000_000_000 + seconds * 48_000, 48_000)
    assert found == WallClock(BEGIN_NS + seconds * SECOND_NS, OBSERVATION_ERROR_NS + abs(seconds) * DRIFT_PPM * 1000)


def test_the_nearest_snapshot_is_the_one_to_go_on_from() -> None:
    seen = [snapshot(48_000 * at, BEGIN_NS + SECOND_NS * at) for at in (10, 11, 12)]
    for position in (9, 13):
        found = wall_clock_at(seen, 48_000 * position, 48_000)
        assert found == WallClock(BEGIN_NS + SECOND_NS * position, OBSERVATION_ERROR_NS + DRIFT_PPM * 1000)


def test_without_a_snapshot_there_is_no_wall_clock() -> None:
    assert wall_clock_at([], 0, 48_000) is None
