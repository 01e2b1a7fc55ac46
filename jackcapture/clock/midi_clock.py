"""Ticks of the MIDI clock that a MIDI stream received, at a sample position and back, from the snapshots of one take.

24 ticks make a quarter note. Snapshots tell how many came before them; between two they are taken to be even.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jackcapture.clock.answers import Place
from jackcapture.errors import NotFoundError
from jackcapture.model.takes import ClockSnapshot, MidiClock

TICKS_PER_QUARTER = 24
TICKS_PER_SONG_BEAT = 6
"""A MIDI beat, in which song positions count, is a sixteenth note."""


@dataclass(frozen=True, slots=True)
class MidiMoment:
    """MIDI clock at a sample position: `ticks` since the take began, `song_ticks` since the song did.

    Both are off by `error_ticks` at the most. `song_ticks` is None where a start, stop or song position came between
    the two snapshots around. `beats_per_minute` (quarter notes) is None where nothing ticked.
    """

    ticks: float
    error_ticks: float
    song_ticks: float | None
    is_running: bool
    beats_per_minute: float | None


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Sample positions `[start, end)` between two snapshots, the MIDI clock at both ends, and how even it may be."""

    start: int
    end: int
    before: MidiClock
    after: MidiClock
    error_ticks: float

    @property
    def ticks(self) -> int:
        return self.after.ticks - self.before.ticks

    @property
    def is_one_song(self) -> bool:
        """Whether the song went on all the time, or stood all the time."""
        passed = self.after.ticks_since_start - self.before.ticks_since_start
        if self.before.is_running and self.after.is_running:
            return passed == self.ticks
        return not self.before.is_running and not self.after.is_running and passed == 0

    def frames_of(self, ticks: float) -> int:
        """Give the most frames that so many ticks may be."""
        return min(math.ceil(ticks * (self.end - self.start) / self.ticks), self.end - self.start) + 1


class MidiClockHistory:
    """The MIDI clock in one take of a MIDI stream, from its first position on.

    `snapshots` are all of the take, or all near what is asked for and one more on each side. Raises `NotFoundError`
    without any. On any thread.
    """

    def __init__(
        self, snapshots: Iterable[ClockSnapshot], sample_rate: int, first_sample: int, end_sample: int
    ) -> None:
        self.first_sample = first_sample
        self.end_sample = end_sample
        self._rate = sample_rate
        known = {at.sample_position: at.midi_clock for at in snapshots}
        if not known:
            raise NotFoundError(
                f"the positions {first_sample} to {end_sample} have no clock snapshot: nothing tells of MIDI clock"
            )
        if min(known) > first_sample and known[min(known)].ticks == 0:
            known[first_sample] = known[min(known)]
        self._positions = sorted(known)
        self._clocks = [known[position] for position in self._positions]

    def at(self, position: int) -> MidiMoment:
        """Give the MIDI clock at a sample position; raises `NotFoundError` where no snapshots are around it."""
        if not self._positions[0] <= position <= self._positions[-1]:
            raise NotFoundError(
                f"MIDI clock is not known at position {position}: it is from {self._positions[0]} to "
                f"{self._positions[-1]}",
                position=position,
                first_sample=self._positions[0],
                end_sample=self._positions[-1],
            )
        number = bisect_right(self._positions, position) - 1
        clock = self._clocks[number]
        if number == len(self._positions) - 1:
            return MidiMoment(clock.ticks, 0, clock.ticks_since_start, clock.is_running, None)
        stretch = self._stretch(number)
        frames = stretch.end - stretch.start
        passed = stretch.ticks * (position - stretch.start) / frames
        song = None
        if stretch.is_one_song:
            song = clock.ticks_since_start + (passed if clock.is_running else 0)
        tempo = stretch.ticks * self._rate * 60 / (TICKS_PER_QUARTER * frames)
        error = min(stretch.error_ticks, max(passed, stretch.ticks - passed) + 1)
        return MidiMoment(clock.ticks + passed, error, song, clock.is_running, tempo or None)

    def places_of_tick(self, tick: float) -> list[Place]:
        """Give the sample positions at which so many ticks had come since the take began, newest first.

        One, unless an engine that died began to count anew; none where there were fewer ticks.
        """
        return [
            self._place(stretch, tick - stretch.before.ticks)
            for stretch in self._newest_first()
            if stretch.before.ticks <= tick < stretch.after.ticks
        ]

    def places_of_song_tick(self, tick: float) -> list[Place]:
        """Give the sample positions at which the song ran over a tick (24 to a quarter note), newest pass first.

        None where it never did. A pass between two snapshots with a start, stop or song position is not seen.
        """
        return [
            self._place(stretch, tick - stretch.before.ticks_since_start)
            for stretch in self._newest_first()
            if stretch.is_one_song
            and stretch.before.is_running
            and stretch.before.ticks_since_start <= tick < stretch.after.ticks_since_start
        ]

    def _stretch(self, number: int) -> _Stretch:
        before, after = self._clocks[number], self._clocks[number + 1]
        if after.ticks < before.ticks:  # an engine that died counted so far
            before = MidiClock(0, 0, after.is_running)
        ticks = after.ticks - before.ticks
        error = 1.0 + max((abs(ticks - expected) for expected in self._expected(number)), default=ticks)
        return _Stretch(self._positions[number], self._positions[number + 1], before, after, error)

    def _expected(self, number: int) -> Iterator[float]:
        """Give how many ticks there would be between two snapshots at the tempo before and after them."""
        frames = self._positions[number + 1] - self._positions[number]
        for near in (number - 1, number + 1):
            if 0 <= near < len(self._positions) - 1:
                ticks = self._clocks[near + 1].ticks - self._clocks[near].ticks
                if ticks >= 0:
                    yield ticks * frames / (self._positions[near + 1] - self._positions[near])

    def _newest_first(self) -> Iterator[_Stretch]:
        for number in range(len(self._positions) - 2, -1, -1):
            yield self._stretch(number)

    def _place(self, stretch: _Stretch, ticks: float) -> Place:
        frames = stretch.frames_of(stretch.error_ticks)
        position = stretch.start + round(ticks * (stretch.end - stretch.start) / stretch.ticks)
        return Place(position, frames, frames * 1_000_000_000 // self._rate)
