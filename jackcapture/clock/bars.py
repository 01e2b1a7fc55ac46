"""Musical time as JACK's timebase client gives it: bar, beat and tick of a frame, and how far it is to another.

The arithmetic is that of JACK's example client (jack2, `example-clients/transport.c`, `timebase`): in a cycle
`frames * ticks_per_beat * beats_per_minute / (rate * 60)` ticks pass, `ticks_per_beat` of them make a beat, and after
the last beat that is not more than `beats_per_bar` comes the next bar. That client drops the part of a tick that is
left over in each cycle, so its bars come late; where two snapshots tell how many ticks it counted, those are taken.
"""

import math
from dataclasses import dataclass

from jackcapture.model.takes import Transport


@dataclass(frozen=True, slots=True)
class BarTime:
    """Musical time: bar and beat from 1, `tick` from 0 with its fraction, off by `error_ticks` at the most."""

    bar: int
    beat: int
    tick: float
    error_ticks: float
    beats_per_minute: float
    beats_per_bar: float
    ticks_per_beat: float


def has_bars(transport: Transport) -> bool:
    """Whether a client gave musical time that can be reckoned with."""
    return transport.bar > 0 and transport.ticks_per_beat > 0 and transport.beats_per_minute > 0


def beats_in_bar(transport: Transport) -> int:
    """Give how many beats a bar has: as many as are not more than `beats_per_bar`."""
    return max(1, math.floor(transport.beats_per_bar))


def ticks_in(transport: Transport, frames: int, sample_rate: int) -> float:
    """Give the ticks that pass in some frames at the tempo of a moment."""
    return frames * transport.ticks_per_beat * transport.beats_per_minute / (60 * sample_rate)


def ticks_to(transport: Transport, bar: int, beat: int, tick: float) -> float:
    """Give the ticks from a moment to a bar, beat and tick, in the measure of that moment; negative if it is over."""
    beats = (bar - transport.bar) * beats_in_bar(transport) + beat - transport.beat
    return beats * transport.ticks_per_beat + tick - transport.tick


def ticks_counted(before: Transport, after: Transport) -> float:
    """Give the ticks that passed between two moments, as their client counted."""
    tick = after.tick * before.ticks_per_beat / after.ticks_per_beat
    return ticks_to(before, after.bar, after.beat, tick)


def bar_time_after(transport: Transport, ticks: float, error_ticks: float) -> BarTime:
    """Give the musical time some ticks after a moment."""
    beats, tick = divmod(transport.tick + ticks, transport.ticks_per_beat)
    bars, beat = divmod(transport.beat - 1 + int(beats), beats_in_bar(transport))
    return BarTime(
        transport.bar + bars,
        beat + 1,
        tick,
        error_ticks,
        transport.beats_per_minute,
        transport.beats_per_bar,
        transport.ticks_per_beat,
    )
