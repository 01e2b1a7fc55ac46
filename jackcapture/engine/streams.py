"""The engine's streams: a recorder each, and, while there is a JACK server, ports and a ring. Main thread only."""

import contextlib
import functools
import logging
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from jackcapture.engine._rt import ffi, lib
from jackcapture.engine.clock import EngineClock, Observation
from jackcapture.engine.connections import Connections, DoomedPorts, Look
from jackcapture.engine.feeds import make_feed
from jackcapture.engine.jack_client import JackClient
from jackcapture.engine.journal import Journal
from jackcapture.engine.recorder import Recorder
from jackcapture.engine.ring import MIDI_RING_BYTES, Anchor, Ring, ring_capacity
from jackcapture.engine.transport import TransportChanges
from jackcapture.engine.writer import Writer
from jackcapture.errors import (
    ConflictError,
    JackCaptureError,
    NotFoundError,
    StorageDamagedError,
    UnreachableError,
)
from jackcapture.model.streams import AudioFormat, StreamDefinition
from jackcapture.model.uris import StreamUri, parse_stream_uri, port_name
from jackcapture.protocol.messages import Event, StreamState

log = logging.getLogger(__name__)

RETIREMENT_CYCLES = 2
"""A stream that was taken from the core may be freed when so many cycles have ended: one was perhaps under way."""

RETRY_SECONDS = 2.0

MAX_ATTACHING = 64
"""Callers that may wait for a stream's first JACK cycle."""

RING_SUFFIX = ".ring"

Attached = Callable[[JackCaptureError | None], None]


@dataclass(slots=True)
class _Attachment:
    """A stream's place in the graph. `shared` is what the core reads; it must live as long as the core may look."""

    slot: int
    ports: list[Any]
    ring: Ring
    journal: Journal
    shared: Any
    connections: Connections
    port_array: Any = None
    is_plugged: bool = False  # the recorder has the ring
    is_running: bool = False  # this server's cycles have reached the ring
    cycles_before: int = 0  # of earlier servers
    free_at_cycle: int = 0

    def keep(self, state: StreamState) -> None:
        """Leave a state for the next engine, should this one die; writer thread. That it cannot be ends no take."""
        try:
            self.journal.write(replace(state, ports=self.connections.ports))
        except OSError as error:
            log.error("%s: its journal cannot be written, an engine that dies now ends its take: %s", state.uri, error)

    def close(self) -> None:
        """Let go of the ring; the callback and the recorder have."""
        self.ring.close()
        self.journal.remove()


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
        return self.attachment is not None and self.attachment.is_running

    @property
    def is_in_graph(self) -> bool:
        """Whether it has ports on the present server."""
        return self.attachment is not None and bool(self.attachment.ports)

    def state(self) -> StreamState:
        """Give the state as the writer left it, with what only the main thread knows."""
        place = self.attachment
        if place is None:
            return replace(self.recorder.state, absent_sources=self.definition.sources)
        return replace(
            self.recorder.state,
            ring_fill=place.ring.fill,
            ports=place.connections.ports,
            absent_sources=place.connections.absent,
        )

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
        self.transport_changes = TransportChanges(publish)
        self._client: JackClient | None = None
        self._clock: EngineClock | None = None
        self._streams: dict[StreamUri, EngineStream] = {}
        self._retired: list[_Attachment] = []
        self._ports_seen = self._connections_seen = -1
        self._was_freewheeling = False
        self._doomed = DoomedPorts()
        self._next_retry = 0.0
        self._rings_made = 0
        self.warnings: list[str] = []

    # --- the server comes and goes ---

    def connect(self, client: JackClient) -> None:
        """Take all streams into the graph of a server."""
        self._client = client
        self._clock = EngineClock(client.core, client.get_time, client.sample_rate, self.transport_changes.note)
        self._writer.submit(functools.partial(self._writer.watch, self._clock), _ignore)
        self._ports_seen = self._connections_seen = -1
        self._was_freewheeling = False
        self._doomed = DoomedPorts()
        for stream in self._streams.values():
            try:
                self._attach(stream, client)
            except JackCaptureError as error:
                log.error("%s", error)
                self._writer.submit(functools.partial(stream.recorder.suspend, error.message), _ignore)
        self._next_retry = time.monotonic() + RETRY_SECONDS

    def disconnect(self, reason: str) -> None:
        """Let go of a server whose callbacks run no more; takes wait, with their rings, for the next one."""
        self._client = self._clock = None
        self._writer.call(functools.partial(self._writer.watch, None))
        for stream in self._streams.values():
            stream.answer_waiting(UnreachableError(reason))
            place = stream.attachment
            if place is None:
                continue
            if not place.is_plugged:
                stream.attachment = None
                place.close()
                continue
            place.connections.suspend()
            place.ports, place.is_running = [], False
            self._writer.call(functools.partial(stream.recorder.suspend, reason))
        for place in self._retired:
            place.close()
        self._retired.clear()

    def close(self, reason: str) -> None:
        """End all takes with what the rings hold, after `disconnect`; for the end of the engine."""
        for stream in self._streams.values():
            place, stream.attachment = stream.attachment, None
            if place is not None:
                self._writer.call(functools.partial(stream.recorder.unplug, reason))
                place.close()

    def observe(self) -> Observation | None:
        """Observe all clocks; None while there is no server or it has run no cycle."""
        return None if self._clock is None else self._clock.observe()

    def adopt(self) -> dict[int, Anchor]:
        """Take up what an engine that died has left; before the writer runs.

        Gives where the frames of each sample rate go on.
        """
        anchors: dict[int, Anchor] = {}
        for name in sorted(os.listdir(self._ring_directory)):
            path = os.path.join(self._ring_directory, name)
            if name.endswith(RING_SUFFIX):
                try:
                    ring = self._adopt(path)
                except JackCaptureError as error:
                    log.error("what an engine left is lost: %s", error)
                    continue
                newest = anchors.get(rate := int(ring.pointer.sample_rate))
                if newest is None or newest.monotonic_us < ring.anchor.monotonic_us:
                    anchors[rate] = ring.anchor
        self._remove_leavings()
        return anchors

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
        elif not stream.is_in_graph:
            self._attach(stream, client)
        elif stream.attachment is not None and stream.is_ready:  # a take is about to begin
            self._look(client, [stream.attachment], everything=True)
        if len(stream.waiting) >= MAX_ATTACHING:
            raise ConflictError(f"{MAX_ATTACHING} callers wait for the first JACK cycle of {definition.uri} already")
        stream.waiting.append(attached)
        if stream.is_ready:
            stream.answer_waiting(None)

    def detach(self, uri: str) -> None:
        """Take a stream out of the graph; it must neither record nor keep chunks that control has not sealed."""
        stream = self.find(uri)
        self._writer.call(lambda: self._writer.remove(stream.recorder))  # refuses if a start came in before us
        del self._streams[stream.definition.uri]
        stream.answer_waiting(NotFoundError(f"{uri} was detached"))
        if stream.attachment is not None:
            if self._client is not None and stream.is_in_graph:
                self._retire(stream.attachment, self._client)
            else:
                stream.attachment.close()

    # --- once in a while ---

    def tick(self) -> None:
        """Do what has become possible: greet new streams, connect sources, free what was retired."""
        client = self._client
        if client is None:
            return
        self._retry(client)
        for stream in self._streams.values():
            place = stream.attachment
            if place is not None and place.ports and not place.is_running and place.ring.cycles > place.cycles_before:
                self._greet(stream, place, client)
        self._look_at_changes(client)
        for place in [place for place in self._retired if client.cycles >= place.free_at_cycle]:
            self._retired.remove(place)
            for port in place.ports:
                client.unregister(port)
            place.close()

    def awaits_cycle(self) -> bool:
        """Whether something waits for JACK's next cycle."""
        places = [stream.attachment for stream in self._streams.values()]
        return bool(self._retired) or any(
            place is not None and bool(place.ports) and not place.is_running for place in places
        )

    def _greet(self, stream: EngineStream, place: _Attachment, client: JackClient) -> None:
        """Go on with a stream that a server's first cycle has reached."""
        clock = self._clock
        assert clock is not None
        self._look(client, [place], everything=True)
        if place.is_plugged:
            self._writer.submit(lambda: stream.recorder.resume(clock), _ignore)
        else:
            feed = make_feed(place.ring, stream.definition, self._ring_seconds)
            self._writer.submit(lambda: stream.recorder.plug(feed, clock, place.keep), _ignore)
        place.is_plugged = place.is_running = True
        stream.answer_waiting(None)

    def _look_at_changes(self, client: JackClient) -> None:
        """Look at the graph if something has changed in it since the last time."""
        ports, connections, is_freewheeling = client.port_changes, client.connection_changes, client.is_freewheeling
        # After freewheeling jackd goes back to the connections from before it, and tells nobody.
        is_restored, self._was_freewheeling = self._was_freewheeling and not is_freewheeling, is_freewheeling
        if (ports, connections) != (self._ports_seen, self._connections_seen) or is_restored:
            places = [stream.attachment for stream in self._streams.values()]
            running = [place for place in places if place is not None and place.is_running]
            self._look(client, running, everything=is_restored)
            self._ports_seen, self._connections_seen = ports, connections

    def _look(self, client: JackClient, places: Iterable[_Attachment], *, everything: bool) -> None:
        look = Look(client, self._ports_seen, self._doomed)
        for place in places:
            place.connections.update(look, place.ports, everything=everything)

    def _retry(self, client: JackClient) -> None:
        """Try again with streams that the server refused when it came."""
        if time.monotonic() < self._next_retry:
            return
        self._next_retry = time.monotonic() + RETRY_SECONDS
        for stream in self._streams.values():
            if not stream.is_in_graph:
                with contextlib.suppress(JackCaptureError):  # its take's error tells since the first try
                    self._attach(stream, client)

    def _attach(self, stream: EngineStream, client: JackClient) -> None:
        definition = stream.definition
        rate = definition.sample_rate
        if rate != client.sample_rate:
            raise ConflictError(
                f"{definition.uri} is defined at {rate} Hz, but JACK server {client.server!r} runs at "
                f"{client.sample_rate} Hz; run JACK at {rate} Hz or create a stream for this rate",
                sample_rate=rate,
                jack_sample_rate=client.sample_rate,
            )
        if client.is_freewheeling and client.forgets_ports:  # and a connection to one would end the server
            raise ConflictError(
                f"{definition.uri} cannot come into the graph while JACK freewheels: jackd forgets ports that are "
                "registered meanwhile; try again when the freewheel is over"
            )
        slot = self._free_slot()
        ports: list[Any] = []
        try:
            for channel in range(definition.ports):
                pretty_name = f"{definition.uri.removeprefix('stream://')} {channel + 1}"
                name = port_name(definition.uri, channel)
                ports.append(client.register_input(name, pretty_name, channel + 1, is_audio=definition.is_audio))
        except JackCaptureError:
            for port in ports:
                client.unregister(port)
            raise
        place = stream.attachment
        if place is None:
            try:
                ring = self._make_ring(definition)
            except JackCaptureError:
                for port in ports:
                    client.unregister(port)
                raise
            shared = ffi.new("jc_stream *", {"ring": ring.pointer})
            place = stream.attachment = _Attachment(slot, [], ring, Journal(ring.path), shared, Connections(definition))
        place.slot, place.ports, place.cycles_before = slot, ports, place.ring.cycles
        place.port_array = ffi.new("void *[]", [client.pointer_of(port) for port in ports])
        place.shared.ports = place.port_array
        if place.is_plugged and place.shared.skip_cause == lib.JC_GAP_XRUN:  # else an engine died, too
            place.shared.skip_cause = lib.JC_GAP_SERVER_DOWN
        lib.jc_set_stream(client.core, slot, place.shared)

    def _adopt(self, path: str) -> Ring:
        """Go on with a stream that an engine left; raises `StorageDamagedError` if that cannot be."""
        ring, journal = Ring.open(path), Journal(path)
        try:
            state = journal.read()
            definition = state.definition
            channels = definition.ports if definition.is_audio else 0
            if (ring.channels, int(ring.pointer.sample_rate)) != (channels, definition.sample_rate) or not ring.cycles:
                raise StorageDamagedError(f"the ring {path} is not that of {definition.uri}", path=path)
            shared = ffi.new("jc_stream *")
            ring.adopt(shared)
            place = _Attachment(0, [], ring, journal, shared, Connections(definition, state.ports), is_plugged=True)
            place.connections.suspend()
            stream = EngineStream(definition, Recorder(definition, self._publish), place)
            feed = make_feed(ring, definition, self._ring_seconds, adopted=True)
            stream.recorder.adopt(feed, place.keep, state)
        except JackCaptureError:
            ring.close(unlink=False)
            raise
        self._streams[definition.uri] = stream
        self._writer.add(stream.recorder)
        log.warning("%s goes on where an engine that died left off", definition.uri)
        return ring

    def _remove_leavings(self) -> None:
        """Remove what of an engine that died could not be taken up."""
        places = [stream.attachment for stream in self._streams.values()]
        ours = {path for place in places if place is not None for path in (place.ring.path, place.journal.path)}
        for name in os.listdir(self._ring_directory):
            path = os.path.join(self._ring_directory, name)
            if path not in ours:
                os.unlink(path)

    def _retire(self, place: _Attachment, client: JackClient) -> None:
        lib.jc_set_stream(client.core, place.slot, ffi.NULL)
        place.free_at_cycle = client.cycles + RETIREMENT_CYCLES
        self._retired.append(place)

    def _free_slot(self) -> int:
        places = [stream.attachment for stream in self._streams.values()]
        taken = {place.slot for place in [*places, *self._retired] if place is not None and place.ports}
        slot = next((free for free in range(lib.JC_MAX_STREAMS) if free not in taken), None)
        if slot is None:
            raise ConflictError(f"an engine holds at most {lib.JC_MAX_STREAMS} streams")
        return slot

    def _make_ring(self, definition: StreamDefinition) -> Ring:
        self._rings_made += 1
        channels, capacity = 0, MIDI_RING_BYTES
        if isinstance(definition.format, AudioFormat):
            channels = definition.format.channels
            capacity = ring_capacity(self._ring_seconds, definition.sample_rate)
        path = os.path.join(self._ring_directory, f"{os.getpid()}-{time.time_ns()}-{self._rings_made}{RING_SUFFIX}")
        ring = Ring(path, channels, capacity, definition.sample_rate)
        warning = ring.lock_memory()
        if warning is not None and not self.warnings:  # one such is enough to act on
            log.warning("%s", warning)
            self.warnings.append(warning)
        return ring


def _ignore(_: Any) -> None:
    """Nobody waits for this."""
