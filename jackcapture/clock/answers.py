"""What a mapping answers: a value, and how far it may be off."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Drift:
    """By how many millionths frames pass faster than their rate says, measured by another clock, and its bound.

    Positive: the sound card is fast. It is the mean over the snapshots around, up to the next step, gap or freewheel.
    """

    ppm: float
    error_ppm: float


@dataclass(frozen=True, slots=True)
class Moment:
    """A time in ns that is off by `error_ns` at the most; `drift` is None where nothing can be said of it."""

    ns: int
    error_ns: int
    drift: Drift | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A sample position for a time.

    The clock shows the time asked for within `error_ns` at this position; where it showed it exactly is at most
    `error_frames` away. `is_skipped`: the clock stepped over that time, and this is where.
    """

    position: int
    error_frames: int
    error_ns: int
    drift: Drift | None = None
    is_skipped: bool = False
