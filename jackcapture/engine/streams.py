"""The engine's streams: a recorder each, and, while there is a JACK server, ports and a ring. Main thread only."""

import functools
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from jackcapture.engine._rt import ffi, lib
from jackcapture.engine.clock import EngineClock, Observation
from jackcapture.engine.jack_client import JackClient, resolve_sources
from jackcapture.engine.recorder import Recorder
from jackcapture.engine.ring import Ring, ring_capacity
from jackcapture.engine.writer import Writer
from jackcapture.errors import ConflictError, JackCaptureError, NotFoundError, UnreachableError
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.uris import StreamUri, parse_stream_uri, port_name
from jackcapture.protocol.messages import Event, PortConnections, StreamError, StreamState

log = logging.getLogger(__name__)

RETIREMENT_CYCLES = 2
"""A stream that was taken from the core may be freed when so many cycles have ended: one was perhaps under way."""

Attached = Callable[[JackCaptureError | None], None]


@dataclass(slots=True)
class _Attachment:
    """A stream's place in the graph. `shared` is what the core reads; it must live as long as the core may look."""

    slot: int
    ports: list[Any]
    ring: Ring
    shared: Any
    port_array: Any
    is_plugged: bool = False  # the recorder has the ring
    free_at_cycle: int = 0
    connections: tuple[PortConnections, ...] = ()


@dataclass(slots=True)
class EngineStream:
    """One stream: its recorder lives on when the JACK server goes."""

    definition: StreamDefinition
    recorder: Recorder
    attachment: _Attachment | None = None
    waiting: list[Attached] = field(default_factory=list)

    @property
    def is_ready(self) -> bool:
        """Whether its ring is being filled and its recorder has it."""
        return self.attachment is not None and self.attachment.is_plugged

    def state(self) -> StreamState:
        """Give the state as the writer left it, with what only the main thread knows."""
        place = self.attachment
        if place is None:
            return self.recorder.state
        return replace(self.recorder.state, ring_fill=place.ring.fill, ports=place.connections)

    def answer_waiting(self, error: JackCaptureError | None) -> None:
        """Tell those who wait for the first JACK cycle that it has come, or why it will not."""
        waiting, self.waiting = self.waiting, []
        for attached in waiting:
            attached(error)


class EngineStreams:
    """All streams of the engine."""

    def __init__(
        self, writer: Writer, ring_directory: str, ring_seconds: float, publish: Callable[[Event], None]
    ) -> None:
        self._writer = writer
        self._ring_directory = ring_directory
        self._ring_seconds = ring_seconds
        self._publish = publish
        self._client: JackClient | None = None
        self._clock: EngineClock | None = None
        self._streams: dict[StreamUri, EngineStream] = {}
        self._retired: list[_Attachment] = []
        self._graph_seen = -1
        self._rings_made = 0
        self.warnings: list[str] = []

    # --- the server comes and goes ---

    def connect(self, client: JackClient) -> None:
        """Take all streams into the graph of a server."""
        self._client = client
        self._clock = EngineClock(client.core, client.get_time, client.sample_rate)
        self._graph_seen = -1
        for stream in self._streams.values():
            try:
                self._attach(stream, client)
            except JackCaptureError as error:
                log.error("%s", error)
                self._publish(StreamError(stream.definition.uri, error.message, recoverable=True))

    def disconnect(self, reason: str) -> None:
        """Let go of a server whose callbacks run no more; takes end with what they have."""
        self._client = self._clock = None
        for stream in self._streams.values():
            stream.answer_waiting(UnreachableError(reason))
            place, stream.attachment = stream.attachment, None
            if place is not None:
                if place.is_plugged:
                    self._writer.call(functools.partial(stream.recorder.unplug, reason))
                place.ring.close()
        for place in self._retired:
            place.ring.close()
        self._retired.clear()

    def observe(self) -> Observation | None:
        """Observe all clocks; None while there is no server or it has run no cycle."""
        return None if self._clock is None else self._clock.observe()

    # --- streams ---

    def find(self, uri: str) -> EngineStream:
        """Give a stream; raises `NotFoundError`."""
        stream = self._streams.get(parse_stream_uri(uri))
        if stream is None:
            raise NotFoundError(f"{uri} is not attached to the engine", uri=uri)
        return stream

    def all(self) -> Iterable[EngineStream]:
        """Give all streams."""
        return list(self._streams.values())

    def attach(self, definition: StreamDefinition, client: JackClient, attached: Attached) -> None:
        """Register a stream's ports and begin to fill its ring; `attached` is called after its first JACK cycle."""
        stream = self._streams.get(definition.uri)
        if stream is None:
            stream = EngineStream(definition, Recorder(definition, self._publish))
            self._attach(stream, client)
            self._streams[definition.uri] = stream
            self._writer.submit(lambda: self._writer.add(stream.recorder), _ignore)
        elif stream.definition != definition:
            raise ConflictError(f"{definition.uri} is attached with another definition", uri=definition.uri)
        elif stream.attachment is None:
            self._attach(stream, client)
        stream.waiting.append(attached)
        if stream.is_ready:
            stream.answer_waiting(None)

    def detach(self, uri: str) -> None:
        """Take a stream out of the graph; it must neither record nor keep chunks that control has not sealed."""
        stream = self.find(uri)
        self._writer.call(lambda: self._writer.remove(stream.recorder))  # refuses if a start came in before us
        del self._streams[stream.definition.uri]
        stream.answer_waiting(NotFoundError(f"{uri} was detached"))
        if stream.attachment is not None and self._client is not None:
            self._retire(stream.attachment, self._client)

    # --- once in a while ---

    def tick(self) -> None:
        """Do what has become possible: greet new streams, connect sources, free what was retired."""
        client = self._client
        if client is None:
            return
        for stream in self._streams.values():
            place = stream.attachment
            if place is not None and not place.is_plugged and place.ring.cycles > 0:
                self._plug(stream, place, client)
        changes = client.graph_changes
        if changes != self._graph_seen:
            self._graph_seen = changes
            for stream in self._streams.values():
                if stream.attachment is not None:
                    _connect_sources(client, stream.definition, stream.attachment)
        for place in [place for place in self._retired if client.cycles >= place.free_at_cycle]:
            self._retired.remove(place)
            for port in place.ports:
                client.unregister(port)
            place.ring.close()

    def awaits_cycle(self) -> bool:
        """Whether something waits for JACK's next cycle."""
        places = [stream.attachment for stream in self._streams.values()]
        return bool(self._retired) or any(place is not None and not place.is_plugged for place in places)

    def _plug(self, stream: EngineStream, place: _Attachment, client: JackClient) -> None:
        clock = self._clock
        assert clock is not None
        place.is_plugged = True
        _connect_sources(client, stream.definition, place)
        self._writer.submit(lambda: stream.recorder.plug(place.ring, clock), _ignore)
        stream.answer_waiting(None)

    def _attach(self, stream: EngineStream, client: JackClient) -> None:
        definition = stream.definition
        audio = definition.audio
        if audio.sample_rate != client.sample_rate:
            raise ConflictError(
                f"{definition.uri} is defined at {audio.sample_rate} Hz, but JACK server {client.server!r} runs at "
                f"{client.sample_rate} Hz; run JACK at {audio.sample_rate} Hz or create a stream for this rate",
                sample_rate=audio.sample_rate,
                jack_sample_rate=client.sample_rate,
            )
        slot = self._free_slot()
        ring = self._make_ring(audio.channels, audio.sample_rate)
        ports: list[Any] = []
        try:
            for channel in range(audio.channels):
                pretty_name = f"{definition.uri.removeprefix('stream://')} {channel + 1}"
                name = port_name(definition.uri, channel)
                ports.append(client.register_input(name, pretty_name, channel + 1))
        except JackCaptureError:
            for port in ports:
                client.unregister(port)
            ring.close()
            raise
        port_array = ffi.new("void *[]", [client.pointer_of(port) for port in ports])
        shared = ffi.new("jc_stream *", {"ring": ring.pointer, "ports": port_array})
        stream.attachment = _Attachment(slot, ports, ring, shared, port_array)
        lib.jc_set_stream(client.core, slot, shared)

    def _retire(self, place: _Attachment, client: JackClient) -> None:
        lib.jc_set_stream(client.core, place.slot, ffi.NULL)
        place.free_at_cycle = client.cycles + RETIREMENT_CYCLES
        self._retired.append(place)

    def _free_slot(self) -> int:
        places = [stream.attachment for stream in self._streams.values()]
        taken = {place.slot for place in [*places, *self._retired] if place is not None}
        slot = next((free for free in range(lib.JC_MAX_STREAMS) if free not in taken), None)
        if slot is None:
            raise ConflictError(f"an engine holds at most {lib.JC_MAX_STREAMS} streams")
        return slot

    def _make_ring(self, channels: int, sample_rate: int) -> Ring:
        self._rings_made += 1
        path = os.path.join(self._ring_directory, f"{os.getpid()}-{self._rings_made}.ring")
        ring = Ring(path, channels, ring_capacity(self._ring_seconds, sample_rate), sample_rate)
        warning = ring.lock_memory()
        if warning is not None and not self.warnings:  # one such is enough to act on
            log.warning("%s", warning)
            self.warnings.append(warning)
        return ring


def _connect_sources(client: JackClient, definition: StreamDefinition, place: _Attachment) -> None:
    """Make the connections that the definition asks for and that the graph now allows; note what is connected."""
    if definition.sources:
        available = client.audio_outputs()
        for source, port in zip(resolve_sources(definition.sources, available), place.ports, strict=False):
            if source in available:
                client.connect(source, port)
    place.connections = tuple(PortConnections(port.name, client.connections(port)) for port in place.ports)


def _ignore(_: Any) -> None:
    """Nobody waits for this."""
