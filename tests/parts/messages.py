"""Messages of every kind: one fixed example each, any value at all for hypothesis, and damaged bytes for fuzzing."""

import dataclasses
import enum
import random
import typing
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from jackcapture.model.streams import AudioFormat, MidiFormat, SampleFormat, StreamDefinition
from jackcapture.model.suggestions import SuggestionReason, SuggestionStatus
from jackcapture.model.takes import (
    ClockReason,
    ClockSnapshot,
    Gap,
    GapCause,
    Latency,
    MidiClock,
    StreamStatus,
    Transport,
    TransportState,
)
from jackcapture.model.uris import parse_stream_uri
from jackcapture.protocol import messages, schemas
from jackcapture.protocol.codec import camel
from jackcapture.protocol.framing import Broadcast, Envelope, encode_broadcast, encode_envelope
from jackcapture.protocol.messages import Event, Payload

# --- one example of each; their bytes are in golden/protocol.json, so a change here is a change there ---

URI = "stream://eurorack-audio/main"
_WALL = 1_795_428_000_250_000_000
_AUDIO = StreamDefinition(
    uri=parse_stream_uri(URI),
    device_identity="usb:1234:5678",
    format=AudioFormat(96_000, 2, SampleFormat.I24),
    chunk_size_bytes=1 << 20,
    sources=("system:capture_1", "system:capture_[2-3]"),
)
_MIDI = StreamDefinition(
    parse_stream_uri("stream://keys/midi"), "Tastatur \N{LATIN SMALL LETTER U WITH DIAERESIS}", MidiFormat(48_000)
)
_GAPS = (Gap(4_800, 64, GapCause.XRUN), Gap((1 << 40) + 1, 1 << 33, GapCause.RING_OVERFLOW))
_CLOCKS = (
    ClockSnapshot(0, (1 << 32) + 100, 89_478_485_000, _WALL),
    ClockSnapshot(
        96_000, 1 << 33, 89_479_485_000, -1, (ClockReason.FREEWHEEL, ClockReason.TEMPO), 64, True,
        Transport(TransportState.ROLLING, 480_000, 6, 1, 240, 4.0, 8.0, 1920.0, 120.5), MidiClock(240, 96, True),
    ),
)  # fmt: skip
_FULL = messages.StreamChunkFull(URI, "/staging/ab12", 1_048_572, 174_762, _WALL, 3, 7, 1_223_334, _GAPS, _CLOCKS, 11)
_STATE = messages.StreamState(
    uri=URI,
    status=StreamStatus.STARVED,
    definition=_AUDIO,
    take_number=3,
    start_frame=(1 << 32) + 100,
    first_sample=12,
    head_sample=1_398_108,
    head_bytes=8_388_576,
    chunk=messages.ChunkInProgress("/staging/cd34", 8, 1_398_096, 12, 72),
    chunks_done=(_FULL,),
    spares=("/staging/ef56", "/staging/0178"),
    ring_fill=0.25,
    gaps=_GAPS[:1],
    lost_frames=64,
    ports=(messages.PortConnections("jackcapture:eurorack-audio-main_1", ("system:capture_1",), Latency(64, 128)),),
    error="no chunk came",
    clocks=_CLOCKS[:1],
    gap_count=2,
    clipped_samples=11,
    absent_sources=("synth:out_.*",),
    oldest_frame=(1 << 32) - 480_000,
)

_OUTPUT = messages.MidiOutputState(
    "out", messages.PortConnections("jackcapture:out", ("synth:midi",)), 1 << 33, 3, 2, (messages.LateEvent(1, 64),),
    1, False, "the synth has gone",
)  # fmt: skip

_TRANSPORT = messages.JackTransport(
    (1 << 32) + 64, 89_478_485_000, _WALL, 64,
    Transport(TransportState.STARTING, (1 << 32) - 1, 2, 3, 240, 4.0, 8.0, 1920.0, 120.5),
    (ClockReason.TRANSPORT, ClockReason.RELOCATION), 7,
)  # fmt: skip

_PAYLOADS: tuple[Payload, ...] = (
    messages.Error("not_found", f"{URI} is not attached to the engine", '{"uri": "stream://eurorack-audio/main"}'),
    messages.Done(),
    messages.StreamAttach(_MIDI),
    messages.StreamDetach(URI),
    messages.StreamStart(URI, _AUDIO, "/staging/ab12", (1 << 32) + 100, 3, 12),
    messages.StreamSwitchChunk(URI, "/staging/ef56"),
    messages.StreamStop(URI),
    messages.ChunkRelease(URI, "/staging/ab12"),
    messages.StateRequest(drain=True, uris=(URI, "stream://keys/midi"), hold=True, hold_frames=240_000),
    messages.PortsRequest("system:.*"),
    messages.MidiSend("out", ("synth:.*",), 1 << 33, (messages.MidiEvent(0, b"\x90\x40\x7f"),)),
    messages.MidiCancel("out"),
    messages.Shutdown(),
    _STATE,
    messages.EngineState(
        engine_id="0123456789abcdef",
        pid=4711,
        since_ns=_WALL,
        version="0.1.0",
        server="default",
        connected=True,
        client_name="jackcapture",
        sample_rate=96_000,
        period=64,
        xruns=2,
        frame=(1 << 32) + 1_398_196,
        wall_clock_ns=_WALL + 1,
        streams=(_STATE, messages.StreamState("stream://keys/midi", StreamStatus.STOPPED, _MIDI)),
        warnings=("could not lock memory",),
        midi_outputs=(_OUTPUT,),
        transport=messages.JackTransport(frame=1 << 33, number=7),
        transport_changes=(_TRANSPORT,),
    ),
    messages.PortList(
        (
            messages.Port("system:capture_1", messages.PortType.AUDIO, True, True, (), ("in left",)),
            messages.Port("synth:midi", messages.PortType.MIDI, False, False, ("keys:out",)),
        )
    ),
    messages.OperationCall("stream_slice", '{"uri": "stream://eurorack-audio/main", "from": "-30s"}'),
    messages.OperationProgress(1, 3, "chunks"),
    messages.OperationResult('{"artifact_id": 1}'),
    _OUTPUT,
    messages.OperationCancel(1 << 33),
    messages.TransportStart(),
    messages.TransportStop(),
    messages.TransportLocate((1 << 32) - 1),
    messages.TransportOutcome(_TRANSPORT, is_reached=True),
)

_EVENTS: tuple[Event, ...] = (
    messages.StreamHeadPosition(URI, 1_398_108, 8_388_576, _WALL, (1 << 32) + 1_398_196, 0.5),
    _FULL,
    messages.StreamError(URI, "the JACK server has gone", recoverable=False),
    messages.StreamGap(URI, _GAPS[0]),
    messages.JackState("default", connected=False, reason="it has gone"),
    _OUTPUT,
    messages.DiskLow(is_low=True, path="/srv/tape/content/blake3", seconds_left=599.5, free_bytes=1 << 33),
    messages.SessionSuggestion(
        "session-0123456789ab",
        "suggestion-ba9876543210",
        3,
        SuggestionStatus.PENDING,
        SuggestionReason.LEVEL,
        "stream://desk/main",
        0.125,
        (1 << 33) + 48_000,
        (1 << 33) + 96_000,
        1 << 33,
        (1 << 33) + 120_000,
        1_700_000_000_123_456_789,
        "the disk is full",
    ),
    _TRANSPORT,
)


def arm(kind: type) -> str:
    """The name that a message has in the unions of the schemas."""
    return kind.__name__[0].lower() + kind.__name__[1:]


ENVELOPES = {arm(type(payload)): Envelope(7 + n, payload) for n, payload in enumerate(_PAYLOADS)}
BROADCASTS = {
    f"{arm(type(event))} (event)": Broadcast(100 + n, "0123456789abcdef", event) for n, event in enumerate(_EVENTS)
}


# --- any value ---

_INTEGERS = {
    "uint16": (0, 2**16 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
}
_PARTS = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)
_TEXT = st.text(max_size=40)  # any character: hypothesis gives no lone surrogates as UTF-8 has none

_audio_formats = st.builds(
    AudioFormat,
    sample_rate=st.integers(1, 768_000),
    channels=st.integers(1, 1024),
    sample_format=st.sampled_from(SampleFormat),
)
_definitions = st.builds(
    StreamDefinition,
    uri=st.builds("stream://{}/{}".format, _PARTS, _PARTS).map(parse_stream_uri),
    device_identity=st.text(min_size=1, max_size=256),
    format=_audio_formats | st.builds(MidiFormat, sample_rate=st.integers(1, 768_000)),
    chunk_size_bytes=st.integers(65536, 1 << 30),
    sources=st.lists(st.text(min_size=1, max_size=320), max_size=3).map(tuple),
)


def struct_of(kind: type) -> Any:
    """The schema of the struct that a dataclass travels as."""
    modules = (schemas.common, schemas.streams, schemas.envelope, schemas.broadcast)
    return next(getattr(module, kind.__name__).schema for module in modules if hasattr(module, kind.__name__))


def any_value(kind: type) -> st.SearchStrategy[Any]:
    """Any value of a message's dataclass, by its type hints and the integers' sizes in the schema."""
    if kind is StreamDefinition:
        return _definitions
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    types = {name: struct_of(kind).fields[camel(name)].proto.slot.type.which() for name in names}
    return st.builds(kind, **{name: _any_field(hints[name], types[name]) for name in names})


def _any_field(hint: Any, schema_type: str) -> st.SearchStrategy[Any]:
    if typing.get_origin(hint) is tuple:
        return st.lists(_any_field(typing.get_args(hint)[0], "text"), max_size=3).map(tuple)
    if dataclasses.is_dataclass(hint):
        return any_value(typing.cast(type, hint))
    if issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    plain: dict[type, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        str: _TEXT,
        bytes: st.binary(max_size=40),
        float: st.floats(width=32, allow_nan=False),
    }
    return st.integers(*_INTEGERS[schema_type]) if hint is int else plain[hint]


# --- damaged bytes ---


def damaged(count: int, seed: int) -> Iterator[bytes]:
    """`count` messages, most of them malformed: bits flipped, words overwritten, cut off, spliced, or random."""
    chance = random.Random(seed)
    whole = [encode_envelope(envelope) for envelope in ENVELOPES.values()]
    whole += [encode_broadcast(broadcast) for broadcast in BROADCASTS.values()]
    for _ in range(count):
        data = bytearray(chance.choice(whole))
        match chance.randrange(8):
            case 0 | 1:
                for _ in range(chance.randint(1, 4)):
                    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            case 2:
                for _ in range(chance.randint(1, 3)):
                    data[chance.randrange(len(data))] = chance.choice((0, 1, 2, 127, 128, 255, chance.randrange(256)))
            case 3:  # where the pointers are
                word = 8 * chance.randrange(len(data) // 8)
                data[word : word + 8] = chance.randbytes(8)
            case 4:
                word = 8 * chance.randrange(len(data) // 8)
                other = 8 * chance.randrange(len(data) // 8)
                data[word : word + 8] = data[other : other + 8]
            case 5:
                del data[chance.randrange(len(data)) :]
            case 6:
                other_message = chance.choice(whole)
                at = 8 * chance.randrange(len(data) // 8)
                data[at:] = other_message[8 * chance.randrange(len(other_message) // 8) :]
            case _:
                data = bytearray(chance.randbytes(chance.randrange(0, 400)))
        yield bytes(data)
