"""Wall clock of a sample position, from the clock snapshots of its take."""

from collections.abc import Sequence
from dataclasses import dataclass

from jackcapture.model.takes import ClockSnapshot

OBSERVATION_ERROR_NS = 100_000
"""What one observation may be off: JACK's clock and the wall clock are read one after the other."""

DRIFT_PPM = 100
"""How far a sound card's rate may be from its nominal one, where there is no second snapshot to tell."""

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class WallClock:
    """A moment in ns since the Unix epoch, and how far it may be off in ns."""

    ns: int
    error_ns: int


def wall_clock_at(snapshots: Sequence[ClockSnapshot], position: int, sample_rate: int) -> WallClock | None:
    """Give the wall clock of a position; `snapshots` are of its take, in order. None without any.

    Between two snapshots it is interpolated; the error is then at most how much the two disagree about the length of
    the time between them, so that a step of the wall clock shows. Outside of them it goes on at the nominal rate, and
    the error grows with `DRIFT_PPM`.
    """
    before = [at for at in snapshots if at.sample_position <= position]
    after = [at for at in snapshots if at.sample_position > position]
    if before and after:
        return _between(before[-1], after[0], position, sample_rate)
    nearest = before[-1] if before else after[0] if after else None
    if nearest is None:
        return None
    distance_ns = (position - nearest.sample_position) * _NS // sample_rate
    error_ns = OBSERVATION_ERROR_NS + abs(distance_ns) * DRIFT_PPM // 1_000_000
    return WallClock(nearest.wall_clock_ns + distance_ns, error_ns)


def _between(before: ClockSnapshot, after: ClockSnapshot, position: int, sample_rate: int) -> WallClock:
    frames = after.sample_position - before.sample_position
    elapsed_ns = after.wall_clock_ns - before.wall_clock_ns
    disagreement_ns = abs(elapsed_ns - frames * _NS // sample_rate)
    ns = before.wall_clock_ns + elapsed_ns * (position - before.sample_position) // frames
    return WallClock(ns, OBSERVATION_ERROR_NS + disagreement_ns)
