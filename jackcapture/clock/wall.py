"""How far the wall clock is from JACK's time, from the pairs that clock snapshots hold.

The wall clock is slewed, a little all the time, and stepped, rarely and at once. A step shows as a difference that no
slewing explains; when it came between two snapshots is not known, so either side's clock may hold there.
"""

from dataclasses import dataclass

from jackcapture.clock.card import CardClock, share_ns

PAIRING_ERROR_NS = 20_000
"""How far apart the two readings of a pair may lie, unseen."""

MAX_SLEW_PPM = 500
"""How fast the kernel slews the wall clock at the most (adjtime, NTP), in millionths."""

READING_DELAY_NS = 100_000_000
"""How long after its cycle the wall clock of a snapshot may have been read: a step meanwhile is dated too early."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Wall clock less JACK's time between two snapshots: `start` and `end`, all in ns."""

    start_ns: int
    end_ns: int
    start: int
    end: int

    @property
    def change(self) -> int:
        """By how much it changed."""
        return self.end - self.start

    @property
    def slew_ns(self) -> int:
        """What slewing changes at the most meanwhile."""
        return share_ns(self.end_ns - self.start_ns, MAX_SLEW_PPM)

    @property
    def is_step(self) -> bool:
        """Whether slewing does not explain the change."""
        return abs(self.change) > 2 * PAIRING_ERROR_NS + self.slew_ns


class WallClock:
    """Wall clock over JACK's time, beside a `CardClock`, whose intervals it uses."""

    def __init__(self, card: CardClock) -> None:
        self._card = card

    def offset_at(self, number: int, ns: int) -> tuple[int, int]:
        """Give wall clock less JACK's time at a time in an interval, and how far that may be off, in ns."""
        last = len(self._card.snapshots) - 1
        late = self._late_steps(number, ns)
        if number < 0 or number == last:
            away = ns - self._card.ns_of(max(number, 0))
            return self._offset(max(number, 0)), PAIRING_ERROR_NS + share_ns(away, MAX_SLEW_PPM) + late
        stretch = self._stretch(number)
        if stretch.is_step:
            nearest = stretch.start if 2 * ns < stretch.start_ns + stretch.end_ns else stretch.end
            return nearest, PAIRING_ERROR_NS + abs(stretch.change) + stretch.slew_ns + late
        elapsed = max(1, stretch.end_ns - stretch.start_ns)
        passed = min(max(0, ns - stretch.start_ns), elapsed)
        unseen = -(-(stretch.slew_ns + abs(stretch.change)) * min(passed, elapsed - passed) // elapsed)
        error = PAIRING_ERROR_NS + max(abs(stretch.change), unseen) + 1
        return stretch.start + stretch.change * passed // elapsed, error + late

    def positions_in(self, number: int, wall_ns: int) -> list[int]:
        """Give the positions of an interval at which the wall clock may have shown a time.

        One, or none; where a step lies in the interval, also one that lies a little after it.
        """
        last = len(self._card.snapshots) - 1
        if number < 0 or number == last:
            found = self._card.position_in(number, wall_ns - self._offset(max(number, 0)))
            return [] if found is None else [found]
        stretch = self._stretch(number)
        if stretch.is_step:
            return self._positions_at_step(number, stretch, wall_ns)
        start, end = stretch.start_ns + stretch.start, stretch.end_ns + stretch.end
        if not start <= wall_ns < end:
            return []
        ns = stretch.start_ns + (wall_ns - start) * (stretch.end_ns - stretch.start_ns) // (end - start)
        found = self._card.position_in(number, ns)
        return [] if found is None else [found]

    def skipped_in(self, number: int, wall_ns: int) -> int | None:
        """Give the middle of an interval in which the wall clock stepped over a time, else None."""
        if number < 0 or number == len(self._card.snapshots) - 1:
            return None
        stretch = self._stretch(number)
        if not stretch.is_step or not stretch.end_ns + stretch.start <= wall_ns < stretch.start_ns + stretch.end:
            return None
        start, end = (self._card.snapshots[at].sample_position for at in (number, number + 1))
        return (start + end) // 2

    def is_step(self, number: int) -> bool:
        """Whether the wall clock was stepped in an interval between two snapshots."""
        return self._stretch(number).is_step

    def _offset(self, number: int) -> int:
        return self._card.snapshots[number].wall_clock_ns - self._card.ns_of(number)

    def _stretch(self, number: int) -> _Stretch:
        ends = number, number + 1
        return _Stretch(*(self._card.ns_of(at) for at in ends), *(self._offset(at) for at in ends))

    def _late_steps(self, number: int, ns: int) -> int:
        """Sum up the steps shortly before: they may in truth have come after."""
        steps = 0
        number = min(number, len(self._card.snapshots) - 1)
        while number > 0 and 0 <= ns - self._card.ns_of(number) <= READING_DELAY_NS:
            number -= 1
            stretch = self._stretch(number)
            steps += abs(stretch.change) if stretch.is_step else 0
        return steps

    def _positions_at_step(self, number: int, stretch: _Stretch, wall_ns: int) -> list[int]:
        slack = 2 * PAIRING_ERROR_NS + stretch.slew_ns
        old, new = wall_ns - stretch.start, wall_ns - stretch.end
        found: list[int] = []
        if stretch.end_ns <= old <= stretch.end_ns + READING_DELAY_NS:
            found += self._from(number + 1, old)
        times = [ns for ns in (new, old) if stretch.start_ns - slack <= ns < stretch.end_ns]
        if times:
            # As forwards: before the middle the old clock, after it the new one, else what there is.
            middle = (stretch.start_ns + stretch.end_ns) // 2
            fitting = [ns for ns in times if (ns < middle) == (ns == old)]
            position = self._card.position_in(number, max(stretch.start_ns, (fitting or times)[0]))
            found += [] if position is None else [position]
        return found

    def _from(self, number: int, ns: int) -> list[int]:
        for later in range(number, len(self._card.snapshots)):
            position = self._card.position_in(later, ns)
            if position is not None:
                return [position]
        return []
