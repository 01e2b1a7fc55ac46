"""What the checks are told: settings, and, while control runs, the streams and the JACK server."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """A stream, and what it brings to the disk."""

    uri: str
    bytes_per_second: int


@dataclass(frozen=True, slots=True)
class JackFacts:
    """The JACK server that the engine is on: `period` in frames, `clients` the others on its graph."""

    server: str
    sample_rate: int
    period: int
    xruns: int
    clients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Where things are; the rest is None or empty while control does not run."""

    root: str
    runtime: str
    server: str
    ring_directory: str
    ring_seconds: float
    is_running: bool = False
    engine_pid: int | None = None
    jack: JackFacts | None = None
    streams: tuple[StreamFacts, ...] = ()
    warnings: tuple[str, ...] = field(default_factory=tuple)
