"""How far two moments of a recording lie apart, also if JACK's server was started anew between them."""

from jackcapture.model.durations import SECOND_NS

_DRIFT = 1000  # a part of the time between them by which card and wall clock may differ, besides a second


def frames_apart(by_frames: int, wall_clock_ns: int, sample_rate: int) -> tuple[int, bool]:
    """Give the frames from one moment to a later one, and whether JACK's frames tell them, or the wall clock.

    `by_frames` are JACK's frames between them, `wall_clock_ns` the wall clock's ns. JACK's are taken if both moments
    are of one server: its counter is never far from the wall clock, and those of two have nothing to do with each
    other. Never less than 0.
    """
    by_wall_clock = wall_clock_ns * sample_rate // SECOND_NS
    if by_frames >= 0 and abs(by_frames - by_wall_clock) <= sample_rate + by_wall_clock // _DRIFT:
        return by_frames, True
    return max(by_wall_clock, 0), False
