"""Takes, chunks, gaps and clock snapshots."""

import enum
from dataclasses import dataclass

from jackcapture.model.uris import StreamUri


class GapCause(enum.StrEnum):
    """Why frames are missing."""

    XRUN = "xrun"
    RING_OVERFLOW = "ring_overflow"
    SERVER_DOWN = "server_down"
    ENGINE_DIED = "engine_died"
    MIDI_LOST = "midi_lost"


@dataclass(frozen=True, slots=True)
class Gap:
    """Frames that were lost: silence in the samples, `frames` long from sample position `position`."""

    position: int
    frames: int
    cause: GapCause


class ClockReason(enum.StrEnum):
    """What a clock snapshot was taken for, besides the regular interval."""

    SERVER = "server"  # the first cycle of a JACK server
    GAP = "gap"  # JACK's frame counter jumped
    XRUN = "xrun"  # JACK told of an xrun
    PERIOD = "period"  # another buffer size
    FREEWHEEL = "freewheel"  # entered or left
    TRANSPORT = "transport"  # another transport state
    RELOCATION = "relocation"  # the transport is not where it would be by itself
    TEMPO = "tempo"  # another tempo, or time signature
    TAKE = "take"  # a take began or ended, or a chunk of it


class TransportState(enum.StrEnum):
    """What JACK's transport does."""

    STOPPED = "stopped"
    ROLLING = "rolling"
    STARTING = "starting"  # waits for clients that are slow to get ready


TRANSPORT_FRAMES = 2**32
"""How many frames JACK's transport has: it counts them in 32 bits."""


@dataclass(frozen=True, slots=True)
class Transport:
    """JACK's transport at the start of a cycle: its frame, and its musical time where a client gives it (else bar 0).

    Bars and beats count from 1, ticks from 0; `beats_per_minute` is the tempo.
    """

    state: TransportState = TransportState.STOPPED
    frame: int = 0
    bar: int = 0
    beat: int = 0
    tick: int = 0
    beats_per_bar: float = 0.0
    beat_type: float = 0.0
    ticks_per_beat: float = 0.0
    beats_per_minute: float = 0.0


NO_TRANSPORT = Transport()


@dataclass(frozen=True, slots=True)
class MidiClock:
    """MIDI clock as a MIDI stream has received it in its take: 24 ticks make a quarter note.

    `ticks` counts them since the take began, `ticks_since_start` since the last start (0xFA) or song position, from
    which it goes on: 6 ticks are one MIDI beat of a song position (0xF2).
    """

    ticks: int = 0
    ticks_since_start: int = 0
    is_running: bool = False


NO_MIDI_CLOCK = MidiClock()


@dataclass(frozen=True, slots=True)
class ClockSnapshot:
    """One observation of every clock at once, at the start of a JACK cycle.

    `sample_position` is the stream's, `jack_frame` the 64-bit JACK frame, `monotonic_us` JACK's own microseconds at
    that frame, `wall_clock_ns` the Unix time of that moment, `period` the frames of the cycle. While JACK freewheels,
    frames do not pass at the sample rate.
    """

    sample_position: int
    jack_frame: int
    monotonic_us: int
    wall_clock_ns: int
    reasons: tuple[ClockReason, ...] = ()
    period: int = 0
    is_freewheeling: bool = False
    transport: Transport = NO_TRANSPORT
    midi_clock: MidiClock = NO_MIDI_CLOCK


@dataclass(frozen=True, slots=True)
class Chunk:
    """A finished run of samples of one take: what is in the file, and what was observed meanwhile.

    `index` counts the chunks of a take from 0; `first_sample` is a sample position of the stream.
    """

    index: int
    first_sample: int
    samples: int
    bytes: int
    wall_clock_ns: int
    gaps: tuple[Gap, ...] = ()
    clocks: tuple[ClockSnapshot, ...] = ()
    clipped_samples: int = 0

    @property
    def end_sample(self) -> int:
        """The sample position after the last one."""
        return self.first_sample + self.samples


class StreamStatus(enum.StrEnum):
    """What a stream is doing."""

    STOPPED = "stopped"
    RECORDING = "recording"
    STARVED = "starved"  # recording into the ring; no chunk to move it to
    ERROR = "error"


RUNNING = frozenset({StreamStatus.RECORDING, StreamStatus.STARVED})
"""The states in which a take runs."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Frames between what a source's hardware heard and what JACK delivered: least and most of all ways to a port."""

    min: int = 0
    max: int = 0


NO_LATENCY = Latency()


@dataclass(frozen=True, slots=True)
class Take:
    """One contiguous run of a stream. `number` counts from 1 per stream; `samples` is None while it runs.

    `latencies` are those of its ports' sources, as last seen during the take.
    """

    uri: StreamUri
    number: int
    start_frame: int
    first_sample: int
    samples: int | None
    started_at_ns: int
    ended_at_ns: int | None
    latencies: tuple[Latency, ...] = ()
