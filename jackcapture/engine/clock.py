"""Observes all clocks at once: JACK's frame, its microseconds and its transport, and the wall clock."""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from jackcapture.engine._rt import ffi, lib
from jackcapture.model.takes import (
    NO_TRANSPORT,
    TRANSPORT_FRAMES,
    ClockReason,
    ClockSnapshot,
    MidiClock,
    Transport,
    TransportState,
)

_PAIRINGS = 3

_KEPT_MARKS = 4096
"""At ten a second, and more where the transport moves: several times what a ring holds for a start in the past."""

_REASONS = {
    lib.JC_MARK_SERVER: ClockReason.SERVER,
    lib.JC_MARK_GAP: ClockReason.GAP,
    lib.JC_MARK_XRUN: ClockReason.XRUN,
    lib.JC_MARK_PERIOD: ClockReason.PERIOD,
    lib.JC_MARK_FREEWHEEL: ClockReason.FREEWHEEL,
    lib.JC_MARK_TRANSPORT: ClockReason.TRANSPORT,
    lib.JC_MARK_RELOCATION: ClockReason.RELOCATION,
    lib.JC_MARK_TEMPO: ClockReason.TEMPO,
}
_TRANSPORT_STATES = {0: TransportState.STOPPED, 1: TransportState.ROLLING, 2: TransportState.ROLLING}


@dataclass(frozen=True, slots=True)
class Observation:
    """The clocks at the start of a JACK cycle of `period` frames."""

    frame: int
    monotonic_us: int
    wall_clock_ns: int
    sample_rate: int
    period: int = 0
    is_freewheeling: bool = False
    transport: Transport = NO_TRANSPORT
    reasons: tuple[ClockReason, ...] = ()

    def wall_clock_of(self, frame: int) -> int:
        """Give the wall clock of a nearby frame in ns, at the nominal sample rate."""
        return self.wall_clock_ns + (frame - self.frame) * 1_000_000_000 // self.sample_rate

    def later(self, frame: int) -> "Observation | None":
        """Give the clocks at a later frame of the same cycle, as they pass in it; None if it is not of that."""
        frames = frame - self.frame
        if not 0 <= frames < self.period:
            return None
        moved = frames if self.transport.state is TransportState.ROLLING else 0
        return replace(
            self,
            frame=frame,
            monotonic_us=self.monotonic_us + frames * 1_000_000 // self.sample_rate,
            wall_clock_ns=self.wall_clock_of(frame),
            # Without bars, which are those of the cycle's beginning.
            transport=Transport(self.transport.state, (self.transport.frame + moved) % TRANSPORT_FRAMES),
        )

    def snapshot(
        self, start_frame: int, first_sample: int, midi_clock: MidiClock, *, also: Iterable[ClockReason] = ()
    ) -> ClockSnapshot:
        """Give it as a snapshot of a take that gave `start_frame` the position `first_sample`."""
        return ClockSnapshot(
            first_sample + self.frame - start_frame,
            self.frame,
            self.monotonic_us,
            self.wall_clock_ns,
            (*self.reasons, *also),
            self.period,
            self.is_freewheeling,
            self.transport,
            midi_clock,
        )


class EngineClock:
    """Reads the clocks of one JACK client. `get_time` gives JACK's microseconds now.

    `observe`: any thread but JACK's; the marks: writer thread only.
    """

    def __init__(
        self,
        core: Any,
        get_time: Callable[[], int],
        sample_rate: int,
        on_mark: Callable[[Observation], None] = lambda _: None,
    ) -> None:
        """`on_mark` is called with each mark, in order, on the writer thread."""
        self._core = core
        self._on_mark = on_mark
        self._get_time = get_time
        self._sample_rate = sample_rate
        self._marks: list[Observation] = []
        self._mark_buffer = ffi.new("jc_mark[]", lib.JC_MARK_SLOTS)

    @property
    def next_frame(self) -> int:
        """The 64-bit JACK frame after the newest finished cycle; any thread."""
        return int(lib.jc_next_frame(self._core))

    def observe(self) -> Observation | None:
        """Observe all clocks at the start of the newest cycle; None until JACK has run one."""
        mark = ffi.new("jc_mark *")
        if not lib.jc_read_now(self._core, mark):
            return None
        return self._observation(mark, *self._offset())

    def refresh(self) -> None:
        """Take the marks that the callback has made since the last call, and the wall clock of each."""
        count = lib.jc_take_marks(self._core, self._mark_buffer, lib.JC_MARK_SLOTS)
        if not count:
            return
        pair = self._offset()
        marks = [self._observation(self._mark_buffer[i], *pair) for i in range(count)]
        self._marks += marks
        del self._marks[:-_KEPT_MARKS]
        for mark in marks:
            self._on_mark(mark)

    def mark_from(self, frame: int) -> Observation | None:
        """Give the first mark at a frame or after it."""
        number = bisect_left(self._marks, frame, key=lambda mark: mark.frame)
        return self._marks[number] if number < len(self._marks) else None

    def _observation(self, mark: Any, now_us: int, now_ns: int) -> Observation:
        monotonic_us = int(mark.clock.usecs) or now_us
        return Observation(
            frame=int(mark.clock.frame),
            monotonic_us=monotonic_us,
            wall_clock_ns=now_ns - (now_us - monotonic_us) * 1000,
            sample_rate=self._sample_rate,
            period=int(mark.clock.nframes),
            is_freewheeling=bool(mark.clock.is_freewheeling),
            transport=_transport(mark),
            reasons=tuple(reason for bit, reason in _REASONS.items() if mark.reasons & bit),
        )

    def _offset(self) -> tuple[int, int]:
        """Give JACK's time in µs and the wall clock in ns of one moment: the closest of some pairs of readings."""
        _, now_us, now_ns = min(self._pair() for _ in range(_PAIRINGS))
        return now_us, now_ns

    def _pair(self) -> tuple[int, int, int]:
        """Read JACK's time on both sides of the wall clock: (how far apart, JACK's time between, wall clock)."""
        before = self._get_time()
        wall_clock_ns = time.time_ns()
        after = self._get_time()
        return after - before, (before + after) // 2, wall_clock_ns


def _transport(mark: Any) -> Transport:
    state = _TRANSPORT_STATES.get(int(mark.transport_state), TransportState.STARTING)
    frame = int(mark.transport_frame)
    if mark.bar == 0:
        return Transport(state, frame)
    return Transport(
        state,
        frame,
        int(mark.bar),
        int(mark.beat),
        int(mark.tick),
        float(mark.beats_per_bar),
        float(mark.beat_type),
        float(mark.ticks_per_beat),
        float(mark.beats_per_minute),
    )
