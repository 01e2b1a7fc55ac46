"""A simulated studio: what its clocks truly did, and the snapshots that the engine would have kept of it.

Written as a script of what happens, in order; the wall clock is slewed and stepped at times of its own. The truth is
exact (to the ns), the observations are off by up to what the simulation is told. See `rt_marks.c` for what makes a
mark, and `Recorder` for which of them become snapshots.
"""

import math
import random
from bisect import bisect_right
from dataclasses import dataclass, replace

from jackcapture.model.takes import (
    NO_TRANSPORT,
    ClockReason,
    ClockSnapshot,
    Gap,
    GapCause,
    MidiClock,
    Take,
    Transport,
    TransportState,
)
from jackcapture.model.uris import parse_stream_uri

BEGIN_NS = 1_700_000_000_000_000_000
BOOT_NS = 5_000_000_000_000
SECOND_NS = 10**9
MARK_NS = 100_000_000
SNAPSHOT_NS = 1_000_000_000
WRITER_PASS_NS = 20_000_000
WRAP = 2**32


@dataclass(frozen=True)
class Cycle:
    """A JACK cycle: where, when, and what the transport was; `ticks` counts from bar 1, as its client reckons."""

    position: int
    ns: int
    is_freewheeling: bool
    reasons: frozenset[ClockReason]
    transport: Transport
    ticks: float = 0.0


@dataclass
class Timebase:
    """A client that gives bars: in 4/4 at 120, unless told otherwise.

    It reckons ticks from the frame each time, or (`accumulates`) adds a whole number of ticks in each cycle, as JACK's
    own example client does (jack2, example-clients/transport.c), whose bars come late.
    """

    beats_per_minute: float = 120.0
    beats_per_bar: float = 4.0
    ticks_per_beat: float = 1920.0
    accumulates: bool = False

    def ticks_per_frame(self, rate: int) -> float:
        return self.ticks_per_beat * self.beats_per_minute / 60 / rate

    def said(self, transport: Transport, ticks: float) -> Transport:
        """What it says at a number of ticks since bar 1."""
        beats, tick = divmod(math.floor(ticks), int(self.ticks_per_beat))
        bar, beat = divmod(beats, int(self.beats_per_bar))
        return replace(
            transport,
            bar=bar + 1,
            beat=beat + 1,
            tick=tick,
            beats_per_bar=self.beats_per_bar,
            beat_type=4.0,
            ticks_per_beat=self.ticks_per_beat,
            beats_per_minute=self.beats_per_minute,
        )


class SimulatedClock:
    """One take. Times are in ns; `drift_ppm` is by how much the card is fast, until it is changed.

    `reading_ns` is how far JACK's time is off at a snapshot, `pairing_ns` how far the two readings of a pair lie apart.
    """

    def __init__(
        self,
        rate: int = 48_000,
        period: int = 1024,
        drift_ppm: float = 0.0,
        reading_ns: int = 0,
        pairing_ns: int = 0,
        seed: int = 0,
        start_frame: int = 1_000_000,
        first_sample: int = 0,
    ) -> None:
        self.rate, self.period, self.drift_ppm = rate, period, drift_ppm
        self.reading_ns, self.pairing_ns, self.seed = reading_ns, pairing_ns, seed
        self.start_frame, self.first_sample = start_frame, first_sample
        self.position, self.ns = first_sample, BOOT_NS
        self.cycles: list[Cycle] = []
        self.gaps: list[Gap] = []
        self.wall_steps: list[tuple[int, int]] = []  # (JACK's time, ns forwards)
        self.wall_slews: list[tuple[int, int, float]] = []  # (from, to, ppm)
        self.midi_ticks: list[int] = []  # positions
        self.midi_starts: list[int] = []
        self.transport = NO_TRANSPORT
        self.timebase: Timebase | None = None
        self._random = random.Random(seed)
        self._knots: list[tuple[int, int]] = []  # (position, JACK's time): straight lines between
        self._reasons: set[ClockReason] = set()
        self._late: list[tuple[int, ClockReason]] = []
        self._ticks: float | None = None
        self._midi_due = 0.0
        self._knot()

    def __repr__(self) -> str:
        """What a failing test shows: without the cycles."""
        shown = {name: value for name, value in vars(self).items() if name[0] != "_" and name != "cycles"}
        marked = [(at.position, at.ns, [str(reason) for reason in at.reasons]) for at in self.cycles if at.reasons]
        return f"SimulatedClock({shown}, marked={marked}, knots={len(self._knots)})"

    # --- what happens

    def play(self, seconds: float) -> None:
        """The card plays on."""
        for _ in range(max(1, round(seconds * self.rate / self.period))):
            self._cycle(round(self.period * SECOND_NS / (self.rate * (1 + self.drift_ppm / 1e6))))

    def freewheel(self, seconds: float, pace: float, pause_ns: int) -> None:
        """So many seconds of frames, `pace` times as fast, with a pause before and after."""
        for is_freewheeling, wait in ((True, pause_ns), (False, pause_ns)):
            self.ns += wait
            self._knot()
            self._reasons.add(ClockReason.FREEWHEEL)
            if is_freewheeling:
                for _ in range(round(seconds * self.rate / self.period)):
                    jitter = self._random.uniform(0.2, 1.0)
                    self._cycle(round(jitter * self.period * SECOND_NS / self.rate / pace), is_freewheeling=True)

    def lose(self, frames: int, ns: int, cause: GapCause = GapCause.XRUN) -> None:
        """JACK's counter goes on by `frames` in a time of `ns`, and nobody is called."""
        self.gaps.append(Gap(self.position, frames, cause))
        self.position, self.ns = self.position + frames, self.ns + ns
        self._knot()
        self._reasons.add(ClockReason.GAP)

    def restart_server(self, seconds: float) -> None:
        """The server is away; the frame goes on by the time, at the nominal rate."""
        frames = round(seconds * self.rate)
        self.lose(frames, frames * SECOND_NS // self.rate, GapCause.SERVER_DOWN)
        self._reasons = {ClockReason.SERVER}
        self.transport, self._ticks = NO_TRANSPORT, None

    def stall(self, ns: int, heard_after: int) -> None:
        """Time passes that frames do not show, as of jack2's ALSA driver; the xrun is heard of some cycles later."""
        self.ns += ns
        self._knot()
        self._late.append((len(self.cycles) + heard_after, ClockReason.XRUN))

    def roll(self) -> None:
        self.transport = replace(self.transport, state=TransportState.ROLLING)

    def stop(self) -> None:
        self.transport = replace(self.transport, state=TransportState.STOPPED)

    def locate(self, frame: int) -> None:
        if frame % WRAP != self.transport.frame:
            self.transport, self._ticks = replace(self.transport, frame=frame % WRAP), None

    def give_bars(self, timebase: Timebase) -> None:
        """From now on a client gives bars; another tempo is another timebase."""
        self.timebase, self._ticks = timebase, None

    def play_midi_clock(self, seconds: float, beats_per_minute: float, *, starts: bool = False) -> None:
        """The card plays on, and somebody sends MIDI clock, which begins with a start where asked to."""
        if starts:
            self.midi_starts.append(self.position)
        self._midi_due = max(self._midi_due, float(self.position))
        self.play(seconds)
        while self._midi_due < self.position:
            self.midi_ticks.append(int(self._midi_due))
            self._midi_due += self.rate * 60 / (24 * beats_per_minute)

    def step_wall_clock(self, ns: int) -> None:
        """Set the wall clock forwards, now."""
        self.wall_steps.append((self.ns, ns))

    # --- the truth

    def ns_at(self, position: int) -> int:
        """JACK's time of a position; where time jumped, that after it."""
        after = bisect_right(self._knots, (position, math.inf))
        before, later = self._knots[after - 1], self._knots[min(after, len(self._knots) - 1)]
        if later[0] == before[0]:
            return before[1]
        return before[1] + (later[1] - before[1]) * (position - before[0]) // (later[0] - before[0])

    def offset_at(self, ns: int) -> int:
        """Wall clock less JACK's time."""
        stepped = sum(step for at, step in self.wall_steps if at <= ns)
        slewed = sum((min(ns, end) - start) * ppm / 1e6 for start, end, ppm in self.wall_slews if start <= ns)
        return BEGIN_NS - BOOT_NS + stepped + round(slewed)

    def wall_ns_at(self, position: int) -> int:
        """The wall clock when a position was there."""
        ns = self.ns_at(position)
        return ns + self.offset_at(ns)

    def ticks_at(self, position: int) -> float:
        """Ticks of MIDI clock before a position, with the part of the next one that has passed."""
        passed = bisect_right(self.midi_ticks, position)
        if not 0 < passed < len(self.midi_ticks):
            return passed
        before, after = self.midi_ticks[passed - 1 : passed + 1]
        return passed + (position - before) / (after - before) - 1 if after > before else passed

    def cycle_at(self, position: int) -> Cycle:
        """The cycle in which a position lies."""
        return self.cycles[bisect_right(self.cycles, position, key=lambda cycle: cycle.position) - 1]

    @property
    def take(self) -> Take:
        uri = parse_stream_uri("stream://desk/main")
        frames = self.position - self.first_sample
        return Take(uri, 1, self.start_frame, self.first_sample, frames, self.wall_ns_at(self.first_sample), None)

    # --- what is kept

    def snapshots(self) -> list[ClockSnapshot]:
        """What the engine keeps: the last one is of the take's end."""
        self._random.seed(self.seed)
        kept: list[ClockSnapshot] = []
        mark_due = snapshot_due = 0
        for cycle in self.cycles[:-1]:
            if not cycle.reasons and cycle.ns < mark_due:
                continue
            mark_due = cycle.ns + MARK_NS
            if cycle.reasons or cycle.ns >= snapshot_due:
                snapshot_due = cycle.ns + SNAPSHOT_NS
                kept.append(self._observed(cycle))
        last = self.cycles[-1]
        return [*kept, self._observed(replace(last, reasons=last.reasons | {ClockReason.TAKE}))]

    def _observed(self, cycle: Cycle) -> ClockSnapshot:
        us = (cycle.ns + self._random.randint(-self.reading_ns, self.reading_ns)) // 1000
        offset = self.offset_at(cycle.ns + self._random.randint(0, WRITER_PASS_NS))
        offset += self._random.randint(-self.pairing_ns, self.pairing_ns)
        frame = cycle.position - self.first_sample + self.start_frame
        return ClockSnapshot(
            cycle.position,
            frame,
            us,
            us * 1000 + offset,
            tuple(reason for reason in ClockReason if reason in cycle.reasons),
            self.period,
            cycle.is_freewheeling,
            cycle.transport,
            self._midi_clock(cycle.position),
        )

    def _midi_clock(self, position: int) -> MidiClock:
        started = max((at for at in self.midi_starts if at < position), default=None)
        since = 0 if started is None else sum(started <= at < position for at in self.midi_ticks)
        return MidiClock(sum(at < position for at in self.midi_ticks), since, started is not None)

    def _knot(self) -> None:
        self._knots.append((self.position, self.ns))

    def _cycle(self, ns: int, *, is_freewheeling: bool = False) -> None:
        timebase = self.timebase
        if timebase is not None:
            if self._ticks is None:
                self._ticks = self.transport.frame * timebase.ticks_per_frame(self.rate)
            self.transport = timebase.said(self.transport, self._ticks)
        self._reasons |= {reason for due, reason in self._late if due <= len(self.cycles)}
        self._late = [late for late in self._late if late[0] > len(self.cycles)]
        self._note_changes()
        reasons, self._reasons = frozenset(self._reasons), set()
        ticks = self._ticks or 0.0
        self.cycles.append(Cycle(self.position, self.ns, is_freewheeling, reasons, self.transport, ticks))
        self.position, self.ns = self.position + self.period, self.ns + ns
        self._knot()
        if self.transport.state is TransportState.ROLLING:
            self.transport = replace(self.transport, frame=(self.transport.frame + self.period) % WRAP)
            if timebase is not None:
                more = self.period * timebase.ticks_per_frame(self.rate)
                self._ticks = ticks + (math.floor(more) if timebase.accumulates else more)

    def _note_changes(self) -> None:
        if not self.cycles or ClockReason.SERVER in self._reasons:
            self._reasons |= {ClockReason.TAKE} if not self.cycles else set()
            return
        last, now = self.cycles[-1].transport, self.transport
        moved = self.period if last.state is TransportState.ROLLING else 0
        if now.state is not last.state:
            self._reasons.add(ClockReason.TRANSPORT)
        if now.frame != (last.frame + moved) % WRAP:
            self._reasons.add(ClockReason.RELOCATION)
        if (now.bar == 0, now.beats_per_minute, now.beats_per_bar) != (
            last.bar == 0,
            last.beats_per_minute,
            last.beats_per_bar,
        ):
            self._reasons.add(ClockReason.TEMPO)
