"""Sample position to JACK's own time and back, from the clock snapshots of one take.

Between two snapshots a straight line; which line, and how far it may be off, depends on what happened between them.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from jackcapture.clock.answers import Drift
from jackcapture.model.takes import ClockReason, ClockSnapshot, Gap, GapCause

READING_ERROR_NS = 100_000
"""How far JACK's own time of a cycle may be from when the cycle's frames were there: what JACK's filter leaves over."""

MAX_DRIFT_PPM = 500
"""How far a sound card's rate may be from its nominal one: several times what is seen of cards."""

XRUN_DELAY_NS = 200_000_000
"""How long after an xrun JACK may tell of it."""

DRIFT_WINDOW_NS = 60_000_000_000
"""How far from a position snapshots still tell of its drift."""

_NS = 1_000_000_000
_ROUNDING_NS = 2
_GAPS_OF_TIME = frozenset({GapCause.XRUN, GapCause.SERVER_DOWN, GapCause.ENGINE_DIED})
"""Gaps over which JACK's counter and its time may have gone apart; in the others the callback ran."""
_UNSTEADY = frozenset({ClockReason.SERVER, ClockReason.GAP, ClockReason.XRUN, ClockReason.FREEWHEEL})
"""What may have come between a snapshot that tells of it and the one before, besides the sound card's own pace."""


def share_ns(ns: int, ppm: int) -> int:
    """Give so many millionths of a time, rounded up."""
    return -(-abs(ns) * ppm // 1_000_000)


@dataclass(frozen=True, slots=True)
class _Line:
    """A straight line between two points: sample positions `[start, end]`, times in ns."""

    start: int
    end: int
    start_ns: int
    end_ns: int

    def ns_at(self, position: int) -> int:
        """Give the time of a position on it."""
        if self.end == self.start:
            return self.end_ns
        return self.start_ns + (self.end_ns - self.start_ns) * (position - self.start) // (self.end - self.start)

    def position_at(self, ns: int) -> int | None:
        """Give the position nearest to a time; None where the line does not come to it."""
        if not self.start_ns <= ns < self.end_ns:
            return None
        elapsed = self.end_ns - self.start_ns
        return self.start + (2 * (self.end - self.start) * (ns - self.start_ns) + elapsed) // (2 * elapsed)


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is known of the frames between two snapshots, or outside of them.

    `lost_ns` is the time that passed more than the frames say; what of it is not explained by drift came at once, at an
    unknown moment if `is_broken`, else inside of `[break_start, break_end]`, if these are given.
    """

    lines: tuple[_Line, ...]
    nominal_ns: int
    lost_ns: int = 0
    is_broken: bool = False
    is_freewheeling: bool = False
    break_start: int | None = None
    break_end: int = 0

    @property
    def is_steady(self) -> bool:
        """Whether the sound card alone made the pace."""
        return not (self.is_broken or self.is_freewheeling or self.break_start is not None)

    def line_at(self, position: int) -> _Line:
        """Give the line on which a position lies."""
        return next((line for line in self.lines if position < line.end), self.lines[-1])

    def ns_at(self, position: int) -> int:
        """Give the time of a position."""
        return self.line_at(position).ns_at(position)

    def error_ns(self, position: int) -> int:
        """Give how far that time may be off."""
        start, end = self.lines[0], self.lines[-1]
        if self.is_freewheeling:
            ns = self.ns_at(position)
            return READING_ERROR_NS + _ROUNDING_NS + max(ns - start.start_ns, end.end_ns - ns)
        error = READING_ERROR_NS + _ROUNDING_NS
        drift = share_ns(self.nominal_ns, MAX_DRIFT_PPM)
        if self.is_broken:
            return error + drift + abs(self.lost_ns)
        frames = end.end - start.start
        if self.break_start is None:
            nearest = min(position - start.start, end.end - position)
            return error + max(abs(self.lost_ns), -(-(drift + abs(self.lost_ns)) * nearest // frames))
        if position <= self.break_start:
            return error - (-drift * (position - start.start) // frames)
        if position >= self.break_end:
            return error - (-drift * (end.end - position) // frames)
        line = self.line_at(position)
        return error + drift + abs(line.end_ns - line.start_ns)

    def timeless_frames(self, position: int, slack: int) -> int:
        """Give how many frames near a position, by `slack`, may have taken any time: in freewheel, and at a break."""
        start, end = self.lines[0].start, self.lines[-1].end
        frames = end - start
        if self.break_start is not None:
            start, end = self.break_start, self.break_end
            frames = end - start
        elif self.is_broken:
            frames = frames * abs(self.lost_ns) // self.nominal_ns
        elif not self.is_freewheeling:
            return 0
        return frames if start - slack <= position <= end + slack else 0


class CardClock:
    """Position and JACK's time. `snapshots` are of one take, in any order; `gaps` are those among them.

    Interval `i` lies between snapshots `i` and `i + 1`; interval -1 before the first, the last one after the last.
    At least one snapshot is needed.
    """

    def __init__(self, snapshots: Iterable[ClockSnapshot], sample_rate: int, gaps: Iterable[Gap] = ()) -> None:
        by_position = {at.sample_position: at for at in snapshots}
        self.snapshots = [by_position[position] for position in sorted(by_position)]
        self._positions = [at.sample_position for at in self.snapshots]
        self._rate = sample_rate
        self._judged: dict[int, _Piece] = {}
        self._gaps = sorted((gap.position, gap.position + gap.frames) for gap in gaps if gap.cause in _GAPS_OF_TIME)

    def interval(self, position: int) -> int:
        """Give the interval in which a position lies."""
        return bisect_right(self._positions, position) - 1

    def ns_of(self, number: int) -> int:
        """Give JACK's time of a snapshot, in ns."""
        return self.snapshots[number].monotonic_us * 1000

    def time_at(self, position: int) -> tuple[int, int]:
        """Give JACK's time of a position and how far it may be off, in ns."""
        number = self.interval(position)
        if number < 0 or number == len(self.snapshots) - 1:
            return self._time_outside(max(number, 0), position)
        piece = self._piece(number)
        return piece.ns_at(position), piece.error_ns(position)

    def position_in(self, number: int, ns: int) -> int | None:
        """Give the position in an interval at which it is a time; None if it is not that in it."""
        if number < 0 or number == len(self.snapshots) - 1:
            return self._position_outside(number, ns)
        found = (line.position_at(ns) for line in self._piece(number).lines)
        return next((position for position in found if position is not None), None)

    def timeless_frames(self, position: int, slack: int) -> int:
        """Give by how many frames a position for a time may be off besides `slack`, what the time may be off."""
        number, last = self.interval(position), len(self.snapshots) - 1
        pieces = (self._piece(near) for near in range(max(0, number - 1), min(number + 2, last)))
        frames = sum(piece.timeless_frames(position, slack) for piece in pieces)
        if number < 0 or number == last:
            at = self.snapshots[max(number, 0)]
            frames += abs(position - at.sample_position) if at.is_freewheeling else 0
        return frames

    def is_steady(self, number: int) -> bool:
        """Whether between two snapshots the sound card alone made the pace; not in the outer intervals."""
        if not 0 <= number < len(self.snapshots) - 1 or not _UNSTEADY.isdisjoint(self.snapshots[number + 1].reasons):
            return False
        return self._piece(number).is_steady and not self._has_xrun(number)

    def drift(self, first: int, last: int, elapsed_ns: int, error_ns: int) -> Drift | None:
        """Give the drift over snapshots `first` to `last`, between which `elapsed_ns` passed, off by `error_ns`."""
        if elapsed_ns <= 2 * error_ns:
            return None
        nominal = self._nominal(self._positions[last] - self._positions[first])
        return Drift((nominal - elapsed_ns) / elapsed_ns * 1e6, (error_ns + 1) / (elapsed_ns - error_ns) * 1.001e6)

    def _nominal(self, frames: int) -> int:
        return frames * _NS // self._rate

    def _time_outside(self, number: int, position: int) -> tuple[int, int]:
        at = self.snapshots[number]
        away = self._nominal(position - at.sample_position)
        error = READING_ERROR_NS + _ROUNDING_NS
        if at.is_freewheeling:  # which is not slower than the sound card: half way, give or take a half
            return at.monotonic_us * 1000 + away // 2, error + abs(away) // 2 + 1
        return at.monotonic_us * 1000 + away, error + share_ns(away, MAX_DRIFT_PPM)

    def _position_outside(self, number: int, ns: int) -> int | None:
        at = self.snapshots[max(number, 0)]
        away = ns - at.monotonic_us * 1000
        if (away >= 0) == (number < 0):
            return None
        frames = (2 * away * self._rate + _NS) // (2 * _NS)
        return at.sample_position + (2 * frames if at.is_freewheeling else frames)

    def _piece(self, number: int) -> _Piece:
        if number not in self._judged:
            self._judged[number] = self._judge(number)
        return self._judged[number]

    def _judge(self, number: int) -> _Piece:
        """Judge what happened between two snapshots."""
        before, after = self.snapshots[number], self.snapshots[number + 1]
        start, end = before.sample_position, after.sample_position
        start_ns, end_ns = before.monotonic_us * 1000, after.monotonic_us * 1000
        nominal = self._nominal(end - start)
        lost = end_ns - start_ns - nominal
        whole = (_Line(start, end, start_ns, end_ns),)
        if before.is_freewheeling:
            return _Piece(whole, nominal, lost, is_freewheeling=True)
        has_xrun = self._has_xrun(number)
        if not after.is_freewheeling and abs(lost) <= 2 * READING_ERROR_NS + share_ns(nominal, MAX_DRIFT_PPM):
            return _Piece(whole, nominal, lost, is_broken=has_xrun)
        where = None if has_xrun else self._break(before, after, lost)
        if where is None:
            return _Piece(whole, nominal, lost, is_broken=True)
        left_ns = start_ns + self._nominal(where[0] - start)
        right_ns = end_ns - self._nominal(end - where[1])
        lines = (
            _Line(start, where[0], start_ns, left_ns),
            _Line(where[0], where[1], left_ns, right_ns),
            _Line(where[1], end, right_ns, end_ns),
        )
        return _Piece(lines, nominal, lost, break_start=where[0], break_end=where[1])

    def _has_xrun(self, number: int) -> bool:
        """Whether JACK told of an xrun in an interval, or so soon after it that it may have been there."""
        heard_until = self.ns_of(number + 1) + XRUN_DELAY_NS
        for later in range(number + 1, len(self.snapshots)):
            if later > number + 1 and self.ns_of(later) > heard_until:
                return False
            if ClockReason.XRUN in self.snapshots[later].reasons:
                return True
        return False

    def _break(self, before: ClockSnapshot, after: ClockSnapshot, lost_ns: int) -> tuple[int, int] | None:
        """Give the positions between which time and frames went apart, if that is known."""
        start, end = before.sample_position, after.sample_position
        if after.is_freewheeling and ClockReason.FREEWHEEL in after.reasons and lost_ns > -READING_ERROR_NS:
            return end, end  # JACK paused before its first cycle
        from_number = max(0, bisect_right(self._gaps, (start, start)) - 1)
        inside: list[tuple[int, int]] = []
        for gap in self._gaps[from_number:]:
            if gap[0] >= end:
                break
            if gap[1] > start:
                inside.append(gap)
        if not inside:
            return None
        return max(start, inside[0][0]), min(end, max(gap[1] for gap in inside))
