"""Observes all clocks at once: JACK's frame, JACK's microseconds and the wall clock."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from jackcapture.engine._rt import ffi, lib
from jackcapture.model.takes import ClockSnapshot

_PAIRINGS = 3


@dataclass(frozen=True, slots=True)
class Observation:
    """The clocks at the start of the newest JACK cycle."""

    frame: int
    monotonic_us: int
    wall_clock_ns: int
    sample_rate: int

    def wall_clock_of(self, frame: int) -> int:
        """Give the wall clock of a nearby frame in ns, at the nominal sample rate."""
        return self.wall_clock_ns + (frame - self.frame) * 1_000_000_000 // self.sample_rate

    def snapshot(self, start_frame: int, first_sample: int) -> ClockSnapshot:
        """Give it as a snapshot of a take that gave `start_frame` the position `first_sample`."""
        position = first_sample + self.frame - start_frame
        return ClockSnapshot(position, self.frame, self.monotonic_us, self.wall_clock_ns)


class EngineClock:
    """Reads the clocks; any thread but JACK's. `get_time` gives JACK's microseconds now."""

    def __init__(self, core: object, get_time: Callable[[], int], sample_rate: int) -> None:
        self._core = core
        self._get_time = get_time
        self._sample_rate = sample_rate

    def observe(self) -> Observation | None:
        """Observe all clocks; None until JACK has run a cycle."""
        clock = ffi.new("jc_clock *")
        if not lib.jc_read_clock(self._core, clock):
            return None
        _, now_us, now_ns = min(self._pair() for _ in range(_PAIRINGS))
        monotonic_us = int(clock.usecs) or now_us
        return Observation(
            frame=int(clock.frame),
            monotonic_us=monotonic_us,
            wall_clock_ns=now_ns - (now_us - monotonic_us) * 1000,
            sample_rate=self._sample_rate,
        )

    def _pair(self) -> tuple[int, int, int]:
        """Read JACK's time on both sides of the wall clock: (how far apart, JACK's time between, wall clock)."""
        before = self._get_time()
        wall_clock_ns = time.time_ns()
        after = self._get_time()
        return after - before, (before + after) // 2, wall_clock_ns
