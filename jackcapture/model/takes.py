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


@dataclass(frozen=True, slots=True)
class ClockSnapshot:
    """One observation of every clock at once.

    `sample_position` is the stream's, `jack_frame` the 64-bit JACK frame at the start of a JACK cycle,
    `monotonic_us` JACK's own microseconds at that frame, `wall_clock_ns` the Unix time of that moment.
    """

    sample_position: int
    jack_frame: int
    monotonic_us: int
    wall_clock_ns: int


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
class Take:
    """One contiguous run of a stream. `number` counts from 1 per stream; `samples` is None while it runs."""

    uri: StreamUri
    number: int
    start_frame: int
    first_sample: int
    samples: int | None
    started_at_ns: int
    ended_at_ns: int | None
