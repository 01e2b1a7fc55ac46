"""Every message as a typed value; the fields are those of schemas/*.capnp, in Python's spelling.

Units: positions and frames in frames, `*_ns` in nanoseconds since the Unix epoch.
"""

import enum
from dataclasses import dataclass

from jackcapture.model.streams import StreamDefinition
from jackcapture.model.suggestions import SuggestionReason, SuggestionStatus
from jackcapture.model.takes import (
    NO_LATENCY,
    NO_TRANSPORT,
    ClockReason,
    ClockSnapshot,
    Gap,
    Latency,
    StreamStatus,
    Transport,
)

AT_ONCE = 0xFFFFFFFFFFFFFFFF
"""The start or stop frame that means: now."""


# --- commands: control to engine ---


@dataclass(frozen=True, slots=True)
class StreamAttach:
    """Register a stream's ports; its ring begins to fill. Reply: StreamState."""

    definition: StreamDefinition


@dataclass(frozen=True, slots=True)
class StreamDetach:
    """Remove a stream's ports and ring; refused while it records. Reply: Done."""

    uri: str


@dataclass(frozen=True, slots=True)
class StreamStart:
    """Begin a take, at the latest when the reply comes. Reply: StreamState."""

    uri: str
    definition: StreamDefinition
    chunk_path: str
    start_frame: int = AT_ONCE
    take_number: int = 0
    first_sample: int = 0


@dataclass(frozen=True, slots=True)
class StreamSwitchChunk:
    """Give the stream one more spare chunk. Reply: Done."""

    uri: str
    new_chunk_path: str


@dataclass(frozen=True, slots=True)
class StreamStop:
    """End the take. The reply, a StreamState, comes when the last sample is in its chunk."""

    uri: str
    stop_frame: int = AT_ONCE


@dataclass(frozen=True, slots=True)
class ChunkRelease:
    """Control has sealed this chunk. Reply: Done."""

    uri: str
    path: str


@dataclass(frozen=True, slots=True)
class StateRequest:
    """Ask for the state of the engine and of the named streams (none named: all). Reply: EngineState.

    `hold`: a start follows, of those that do not record, at the answer's frame or up to `hold_frames` before it; or a
    stop, of those that do, after the answer's frame.
    """

    drain: bool = False
    uris: tuple[str, ...] = ()
    hold: bool = False
    hold_frames: int = 0


@dataclass(frozen=True, slots=True)
class PortsRequest:
    """Ask what stands in the JACK graph. Reply: PortList."""

    pattern: str = ""


@dataclass(frozen=True, slots=True)
class MidiEvent:
    """One whole MIDI message, `frame` frames after the first of its send."""

    frame: int
    data: bytes


@dataclass(frozen=True, slots=True)
class MidiSend:
    """Send events from an output port of ours, each at its frame. Reply: MidiOutputState, before they are sent."""

    output: str
    destinations: tuple[str, ...]
    start_frame: int
    events: tuple[MidiEvent, ...]


@dataclass(frozen=True, slots=True)
class MidiCancel:
    """Send nothing more of what an output has left, and end the notes that sound. Reply: MidiOutputState."""

    output: str


@dataclass(frozen=True, slots=True)
class TransportStart:
    """Let JACK's transport roll. Reply: TransportOutcome, when it does so, or has not come to it for a while."""


@dataclass(frozen=True, slots=True)
class TransportStop:
    """Stop JACK's transport. Reply: TransportOutcome."""


@dataclass(frozen=True, slots=True)
class TransportLocate:
    """Relocate JACK's transport to one of its frames (32 bits). Reply: TransportOutcome."""

    frame: int


@dataclass(frozen=True, slots=True)
class Shutdown:
    """End the engine; refused while a stream records. Reply: Done."""


# --- operations: clients to control ---


@dataclass(frozen=True, slots=True)
class OperationCall:
    """Do one operation; `arguments` is a JSON object. Reply: OperationProgress..., then OperationResult or Error."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class OperationProgress:
    """How far an operation has come; `total` is 0 while unknown."""

    done: int
    total: int
    unit: str


@dataclass(frozen=True, slots=True)
class OperationResult:
    """What an operation gave: a JSON value."""

    result: str


@dataclass(frozen=True, slots=True)
class OperationCancel:
    """End a call of the same client that is under way; `call` is its id. Reply: Done; the call has its own reply."""

    call: int


# --- replies ---


@dataclass(frozen=True, slots=True)
class Done:
    """The command was carried out."""


@dataclass(frozen=True, slots=True)
class Error:
    """The command or operation failed; `code` is one of jackcapture.errors, `details` a JSON object."""

    code: str
    message: str
    details: str


@dataclass(frozen=True, slots=True)
class PortConnections:
    """A port of ours, what is connected to it, and the capture latency of that, as far as its clients tell."""

    port: str
    connections: tuple[str, ...] = ()
    latency: Latency = NO_LATENCY


@dataclass(frozen=True, slots=True)
class ChunkInProgress:
    """The chunk that is being written; an empty path means none."""

    path: str = ""
    index: int = 0
    first_sample: int = 0
    samples: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class StreamChunkFull:
    """A chunk is finished; also the form in which unreleased chunks are listed in a StreamState."""

    stream_uri: str
    path: str
    bytes_written: int
    samples_written: int
    wall_clock_ns: int
    take_number: int
    chunk_index: int
    first_sample: int
    gaps: tuple[Gap, ...] = ()
    clocks: tuple[ClockSnapshot, ...] = ()
    clipped_samples: int = 0


@dataclass(frozen=True, slots=True)
class StreamState:
    """All that control needs to go on with a stream; see schemas/streams.capnp for each field."""

    uri: str
    status: StreamStatus
    definition: StreamDefinition
    take_number: int = 0
    start_frame: int = 0
    first_sample: int = 0
    head_sample: int = 0
    head_bytes: int = 0
    chunk: ChunkInProgress = ChunkInProgress()
    chunks_done: tuple[StreamChunkFull, ...] = ()
    spares: tuple[str, ...] = ()
    ring_fill: float = 0.0
    gaps: tuple[Gap, ...] = ()
    lost_frames: int = 0
    ports: tuple[PortConnections, ...] = ()
    error: str = ""
    clocks: tuple[ClockSnapshot, ...] = ()
    gap_count: int = 0
    clipped_samples: int = 0
    absent_sources: tuple[str, ...] = ()
    oldest_frame: int = 0


@dataclass(frozen=True, slots=True)
class LateEvent:
    """An event that was sent `frames` frames after its own."""

    index: int
    frames: int


@dataclass(frozen=True, slots=True)
class MidiOutputState:
    """A MIDI output port of ours, and how far it is with the events that it was given last; also an event, when done.

    `error` says why not all were sent.
    """

    output: str
    port: PortConnections
    start_frame: int = 0
    events: int = 0
    sent: int = 0
    late: tuple[LateEvent, ...] = ()
    late_count: int = 0
    is_done: bool = True
    error: str = ""


@dataclass(frozen=True, slots=True)
class JackTransport:
    """JACK's transport at the start of a cycle, `frame`; as an event: it changed there, for `reasons`.

    `number` counts an engine's changes from 1; where no reason is given it is that of the newest change known.
    """

    frame: int = 0
    monotonic_us: int = 0
    wall_clock_ns: int = 0
    period: int = 0
    transport: Transport = NO_TRANSPORT
    reasons: tuple[ClockReason, ...] = ()
    number: int = 0


NO_JACK_TRANSPORT = JackTransport()


@dataclass(frozen=True, slots=True)
class TransportOutcome:
    """What came of a command to the transport: what it does now, and whether that is what was asked."""

    now: JackTransport
    is_reached: bool


@dataclass(frozen=True, slots=True)
class EngineState:
    """The engine, its JACK server and its streams."""

    engine_id: str
    pid: int
    since_ns: int
    version: str
    server: str
    connected: bool
    client_name: str
    sample_rate: int
    period: int
    xruns: int
    frame: int
    wall_clock_ns: int
    streams: tuple[StreamState, ...] = ()
    warnings: tuple[str, ...] = ()
    midi_outputs: tuple[MidiOutputState, ...] = ()
    transport: JackTransport = NO_JACK_TRANSPORT
    transport_changes: tuple[JackTransport, ...] = ()


class PortType(enum.StrEnum):
    """What a port carries."""

    AUDIO = "audio"
    MIDI = "midi"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Port:
    """One port of the JACK graph."""

    name: str
    type: PortType
    is_output: bool
    is_physical: bool
    connections: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PortList:
    """Ports of the JACK graph."""

    ports: tuple[Port, ...]


# --- events: engine to everyone ---


@dataclass(frozen=True, slots=True)
class StreamHeadPosition:
    """How far a recording stream has come; about ten a second."""

    stream_uri: str
    sample_position: int
    byte_position: int
    wall_clock_ns: int
    jack_frame: int
    ring_fill: float


@dataclass(frozen=True, slots=True)
class StreamError:
    """Something is wrong with a stream; if not `recoverable`, its take has ended with all that it had."""

    stream_uri: str
    error: str
    recoverable: bool


@dataclass(frozen=True, slots=True)
class StreamGap:
    """Frames were lost."""

    stream_uri: str
    gap: Gap


@dataclass(frozen=True, slots=True)
class JackState:
    """The engine has gained or lost its JACK server."""

    server: str
    connected: bool
    reason: str


# --- events: control to everyone ---


@dataclass(frozen=True, slots=True)
class DiskLow:
    """The space of a disk lasts for less than is set (`is_low`), or for long enough again.

    `seconds_left` until its reserve is all that is left, at the present rate; 0 also if that is not known.
    """

    is_low: bool
    path: str
    seconds_left: float
    free_bytes: int


@dataclass(frozen=True, slots=True)
class SessionSuggestion:
    """A suggestion of a triggered session has come, has ended, was decided, or could not be accepted by itself.

    Frames are 64-bit JACK frames; `to_frame` is 0 while it is open, `peak` 0 if only MIDI stood out.
    """

    session_id: str
    suggestion_id: str
    segment: int
    status: SuggestionStatus
    reason: SuggestionReason
    stream_uri: str
    peak: float
    begin_frame: int
    end_frame: int
    from_frame: int
    to_frame: int
    found_at_ns: int
    problem: str = ""


Command = (
    StreamAttach
    | StreamDetach
    | StreamStart
    | StreamSwitchChunk
    | StreamStop
    | ChunkRelease
    | StateRequest
    | PortsRequest
    | MidiSend
    | MidiCancel
    | TransportStart
    | TransportStop
    | TransportLocate
    | Shutdown
)
Reply = Error | Done | StreamState | EngineState | PortList | MidiOutputState | TransportOutcome
OperationMessage = OperationCall | OperationProgress | OperationResult | OperationCancel
Payload = Command | Reply | OperationMessage
EngineEvent = (
    StreamHeadPosition | StreamChunkFull | StreamError | StreamGap | JackState | MidiOutputState | JackTransport
)
ControlEvent = DiskLow | SessionSuggestion
Event = EngineEvent | ControlEvent
