"""What control remembers of a stream between two messages of the engine."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from jackcapture.catalog import StreamRecord
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.takes import NO_LATENCY, RUNNING, Latency, StreamStatus
from jackcapture.model.uris import StreamUri
from jackcapture.protocol.messages import PortConnections, StreamChunkFull, StreamState


@dataclass(slots=True)
class LiveTake:
    """A take that runs, or that has ended and is not all sealed."""

    number: int
    start_frame: int
    first_sample: int
    engine_id: str
    given: list[str] = field(default_factory=list)  # chunks the engine has: the one in progress, then the spares
    doubtful: set[str] = field(default_factory=set)  # given to an engine that died: the next one has them, or nobody
    pending: dict[int, StreamChunkFull] = field(default_factory=dict)  # full, not yet in the catalog; by index
    next_index: int = 0  # of the chunk in progress
    next_sample: int = 0  # where it begins
    head_sample: int = 0
    head_wall_clock_ns: int = 0
    ended_samples: int | None = None
    ended_at_ns: int = 0
    error: str = ""
    latencies: tuple[Latency, ...] = ()  # of its ports' sources, as last seen
    noted_latencies: tuple[Latency, ...] = ()  # those that the catalog has
    noting: asyncio.Lock = field(default_factory=asyncio.Lock)  # held while latencies are entered, the newest last

    def seconds_in_chunk(self, definition: StreamDefinition) -> float:
        """Give how long the chunk in progress lasts at least: of MIDI it may be full at any moment."""
        if not definition.is_audio:
            return 0.0
        return (self.next_sample + definition.chunk_frames - self.head_sample) / definition.sample_rate

    def see_ports(self, ports: Iterable[PortConnections]) -> None:
        """Take the latencies of ports that are connected; what was connected last is what a port has recorded."""
        known = dict(enumerate(self.latencies))
        found = tuple(port.latency if port.connections else known.get(i, NO_LATENCY) for i, port in enumerate(ports))
        self.latencies = found or self.latencies


@dataclass(slots=True)
class ManagedStream:
    """A stream, the take that runs, and what the engine said last."""

    record: StreamRecord
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # held while its state changes
    take: LiveTake | None = None
    engine_state: StreamState | None = None
    error: str = ""  # why the last take ended by itself, or why the stream cannot be attached
    space_error: str = ""  # why the take that runs gets no more chunks
    sealing_error: str = ""  # why full chunks wait in staging
    is_topping_up: bool = False
    has_manifest: bool = False  # of all takes that have ended; False: it has to be looked up
    is_in_trouble: bool = False  # reconciling failed the last time
    changed_at: float = 0.0  # on time.monotonic: when it was last started or stopped

    @property
    def definition(self) -> StreamDefinition:
        """The stream's definition."""
        return self.record.definition

    @property
    def uri(self) -> StreamUri:
        """The stream's URI."""
        return self.record.definition.uri

    @property
    def is_recording(self) -> bool:
        """Whether a take runs."""
        return self.take is not None and self.take.ended_samples is None

    @property
    def trouble(self) -> str:
        """Why nothing is recorded at present, although a take runs, or why the last take ended by itself."""
        if self.is_recording:
            return "" if self.engine_state is None else self.engine_state.error
        if self.take is not None and self.sealing_error:  # it has ended, and cannot be sealed
            return self.take.error or self.sealing_error
        return self.error

    @property
    def notice(self) -> str:
        """What users should know of the stream: its trouble, or what stands in the way of its storage."""
        return self.trouble or self.space_error or self.sealing_error

    @property
    def status(self) -> StreamStatus:
        """What the stream is doing, as users are told."""
        if self.is_recording:
            seen = self.engine_state
            if self.trouble:
                return StreamStatus.ERROR
            return seen.status if seen is not None and seen.status in RUNNING else StreamStatus.RECORDING
        return StreamStatus.ERROR if self.trouble else StreamStatus.STOPPED
