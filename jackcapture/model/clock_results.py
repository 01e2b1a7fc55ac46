"""What every clock showed at a sample position, as every door shows it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MomentResult:
    """A time, and how far it may be off; `drift_ppm`: by how many millionths the sound card was fast by this clock."""

    at: str | int
    error_ms: float
    drift_ppm: float | None
    drift_error_ppm: float | None


@dataclass(frozen=True, slots=True)
class TransportResult:
    """JACK's transport: `bar` to `tick` and the tempo are None where no client gave musical time.

    Bars and beats count from 1, ticks from 0.
    """

    state: str
    frame: int
    bar: int | None
    beat: int | None
    tick: float | None
    error_ticks: float | None
    beats_per_minute: float | None


@dataclass(frozen=True, slots=True)
class MidiClockResult:
    """MIDI clock: 24 ticks are a quarter note. `song_ticks` count from the last start or song position."""

    ticks: float
    error_ticks: float
    song_ticks: float | None
    is_running: bool
    beats_per_minute: float | None


@dataclass(frozen=True, slots=True)
class ClocksResult:
    """All clocks at one sample position of a stream; None where nothing was observed.

    `jack_frame` is exact. `monotonic` is JACK's own clock in microseconds, `wall_clock` ISO 8601 in UTC. `midi_clock`
    is that which a MIDI stream received. `in_gap`: the frame was lost, and its times are bounds of the gap.
    """

    stream_uri: str
    take: int
    sample_position: int
    sample_rate: int
    jack_frame: int
    monotonic: MomentResult | None
    wall_clock: MomentResult | None
    transport: TransportResult | None
    midi_clock: MidiClockResult | None
    in_gap: bool
