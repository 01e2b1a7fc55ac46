"""What operations on JACK's transport give back; the field names are those that every door shows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TransportResult:
    """JACK's transport at the start of a JACK cycle, and, after a command, what was asked of it.

    `state` is stopped, rolling, or starting (it waits for clients that are slow to get ready). `frame` is the
    transport's own, `seconds` that frame as time, `jack_frame` the 64-bit JACK frame of the cycle, `wall_clock` its
    ISO 8601 time. `bar` to `ticks_per_beat` are None where no client gives musical time. `asked` is `rolling`,
    `stopped` or `frame N`, and `is_reached` says whether it came to that.
    """

    state: str
    frame: int
    seconds: float
    sample_rate: int
    jack_frame: int
    wall_clock: str
    bar: int | None
    beat: int | None
    tick: int | None
    beats_per_minute: float | None
    beats_per_bar: float | None
    beat_type: float | None
    ticks_per_beat: float | None
    asked: str | None = None
    is_reached: bool | None = None
