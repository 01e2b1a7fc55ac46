"""Ticks of a Standard MIDI File and frames: exact, by whole numbers, as a reader of the file reckons."""

from bisect import bisect_right

MICROSECONDS = 1_000_000
DEFAULT_TEMPO = 500_000
"""Microseconds per quarter note where a file says nothing: 120 quarter notes per minute."""


def nearest(numerator: int, denominator: int) -> int:
    """Divide and round to the nearest integer, from halfway to the even one; the denominator is above 0."""
    whole, rest = divmod(numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole % 2))


class TempoMap:
    """Which tick is at which frame; both count from the file's begin.

    A tick lasts `tempo` (microseconds per quarter note) divided by the ticks per quarter note. Time is counted in
    units of a microsecond divided by the ticks per quarter note, of which a tick has `tempo`: a whole number.
    """

    def __init__(self, sample_rate: int, ticks_per_quarter: int, tempo: int = DEFAULT_TEMPO) -> None:
        self._rate = sample_rate
        self._units_per_second = MICROSECONDS * ticks_per_quarter
        self._ticks = [0]
        self._times = [0]  # of these ticks, in units times the sample rate
        self._tempos = [tempo]

    def change(self, tick: int, tempo: int) -> None:
        """Let another tempo begin at a tick, which is not before that of the last one."""
        self._times.append(self._time_at(tick))
        self._ticks.append(tick)
        self._tempos.append(tempo)

    def tick_at(self, frame: int) -> int:
        """Give the tick nearest to a frame; of a later frame it is not an earlier one."""
        time = frame * self._units_per_second
        at = bisect_right(self._times, time) - 1
        return self._ticks[at] + nearest(time - self._times[at], self._tempos[at] * self._rate)

    def frame_at(self, tick: int) -> int:
        """Give the frame nearest to a tick."""
        return nearest(self._time_at(tick), self._units_per_second)

    def _time_at(self, tick: int) -> int:
        at = bisect_right(self._ticks, tick) - 1
        return self._times[at] + (tick - self._ticks[at]) * self._tempos[at] * self._rate
