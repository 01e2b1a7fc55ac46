"""What a hostile peer sends: damaged and hostile messages, the same for the same seed.

No message here may end, delete or create anything by its valid meaning, not even when a few of its bits are others:
the operation `shutdown` is not among the bases, all name streams, paths and ports that are not there, and definitions
are of 96,000 Hz, six bits away from the 48,000 Hz of the tests' servers. The engine's `shutdown` is refused while a
stream records.
"""

import json
import random
import struct
from collections.abc import Iterator

from jackcapture.model.streams import AudioFormat, MidiFormat, StreamDefinition
from jackcapture.model.uris import parse_stream_uri
from jackcapture.protocol import messages
from jackcapture.protocol.framing import Envelope, encode_envelope

NOBODY = "stream://nobody/here"
MAX_U64 = 2**64 - 1
WORD = 8

_AUDIO = StreamDefinition(parse_stream_uri(NOBODY), "device", AudioFormat(96_000, 2), 1 << 20, ("synth:out_.*",))
_MIDI = StreamDefinition(parse_stream_uri(NOBODY), "keys", MidiFormat(96_000), 1 << 18)

_COMMANDS: tuple[messages.Payload, ...] = (
    messages.StreamAttach(_AUDIO),
    messages.StreamAttach(_MIDI),
    messages.StreamDetach(NOBODY),
    messages.StreamStart(NOBODY, _AUDIO, "/staging/ab12", 1 << 32, 3, 12),
    messages.StreamSwitchChunk(NOBODY, "/staging/ef56"),
    messages.StreamStop(NOBODY, 1 << 40),
    messages.ChunkRelease(NOBODY, "/staging/ab12"),
    messages.StateRequest(drain=True, uris=(NOBODY,)),
    messages.StateRequest(uris=(NOBODY,), hold=True, hold_frames=1 << 18),
    messages.PortsRequest("nobody:.*"),
    messages.MidiSend("out", ("nobody:.*",), messages.AT_ONCE, (messages.MidiEvent(0, b"\x90\x40\x7f"),)),
    messages.MidiCancel("nobody"),
    messages.Shutdown(),
    messages.Done(),
    messages.Error("not_found", "it is so", "{}"),
    messages.OperationResult("{}"),
    messages.PortList((messages.Port("a:b", messages.PortType.AUDIO, True, True, ("c:d",), ("e",)),)),
)

_CALLS: tuple[tuple[str, object], ...] = (
    ("status", {}),
    ("store_status", {}),
    ("ports", {"pattern": "nobody:.*"}),
    ("stream_list", {}),
    ("stream_status", {"uri": NOBODY}),
    ("stream_create", {"uri": NOBODY, "channels": 2, "sample_rate": 96000, "sources": ["synth:out_.*"]}),
    ("stream_start", {"uris": [NOBODY], "at": "now"}),
    ("stream_stop", {"uris": [NOBODY]}),
    ("stream_slice", {"uri": NOBODY, "from_place": "start", "to_place": "sample:9", "output_format": "wav"}),
    ("stream_overview", {"uri": NOBODY, "from_place": "-30s", "to_place": "head", "points": 10}),
    ("grab", {"duration": "1m30s", "uris": [NOBODY]}),
    ("artifact_list", {"kind": "slice", "tag": "x", "stream_uri": NOBODY}),
    ("artifact_show", {"artifact_id": "slice-0"}),
    ("artifact_save", {"artifact_id": "slice-0", "path": "/nowhere/x.wav"}),
    ("midi_send", {"events": [{"ms": 0, "data": "90 40 7f"}], "to": ["nobody:in"], "at": "now"}),
    ("midi_cancel", {"output": "nobody"}),
    ("session_request", {"session_id": "session-0", "notes": [{"note": 60, "ms": 0}], "to": ["nobody:in"]}),
    ("midi_list", {}),
)

_LONG = "x" * 100_000

# Each is refused, or does nothing.
_HOSTILE_ARGUMENTS: tuple[tuple[str, str], ...] = (
    ("status", "[" * 100_000),
    ("status", '{"a":' * 100_000),
    ("status", "null"),
    ("status", '{"\\u0000": 1}'),
    ("status", json.dumps({f"a{n}": n for n in range(5000)})),
    ("stream_status", '{"uri": "\\ud800"}'),
    ("stream_status", '{"uri": "stream://a/b\\u0000"}'),
    ("stream_status", json.dumps({"uri": _LONG})),
    ("stream_status", '{"uri": 1' + "0" * 4299 + "}"),
    ("stream_status", '{"uri": "stream://a/b", "uri": "stream://c/d"}'),
    ("stream_create", '{"uri": "stream://nobody/here", "channels": 9' + "9" * 4000 + "}"),
    ("stream_create", '{"uri": "stream://nobody/here", "channels": -1, "sample_rate": 96000}'),
    ("stream_create", '{"uri": "stream://nobody/here", "channels": NaN}'),
    ("stream_create", '{"uri": "stream://nobody/here", "channels": 1e400}'),
    ("stream_create", json.dumps({"uri": NOBODY, "channels": 1, "sample_rate": 2**70})),
    ("stream_create", json.dumps({"uri": NOBODY, "channels": 1, "sample_rate": 96000, "chunk_size_bytes": 2**63})),
    ("stream_create", json.dumps({"uri": NOBODY, "channels": 1, "sample_rate": 96000, "sources": ["(a+)+$"] * 1025})),
    ("stream_start", json.dumps({"uris": [NOBODY], "at": str(2**64)})),
    ("stream_start", json.dumps({"uris": [NOBODY] * 10_000})),
    ("stream_start", json.dumps({"uris": list(range(10_000))})),
    ("stream_slice", json.dumps({"uri": NOBODY, "from_place": "sample:" + "9" * 5000, "to_place": "head"})),
    ("stream_slice", json.dumps({"uri": NOBODY, "from_place": "start", "to_place": "head", "out": "/\0"})),
    ("stream_overview", json.dumps({"uri": NOBODY, "from_place": "start", "to_place": "head", "points": 2**64})),
    ("grab", json.dumps({"duration": "1" * 5000 + "s"})),
    ("grab", json.dumps({"duration": "1s", "uris": [NOBODY], "out": "/\0"})),
    ("artifact_show", json.dumps({"artifact_id": "\0"})),
    ("artifact_show", json.dumps({"artifact_id": _LONG})),
    ("artifact_list", json.dumps({"kind": "\0", "tag": _LONG})),
    ("ports", json.dumps({"pattern": "(.|.|.|.)*(.|.|.|.)*x$"})),
    ("ports", json.dumps({"pattern": "((a{999}){999}){999}"})),
    ("ports", json.dumps({"pattern": "(" * 100_000})),
    ("midi_send", '{"events": [{"ms": NaN, "data": "90 40 7f"}]}'),
    ("midi_send", '{"events": [{"ms": 1e308, "data": "90 40 7f"}]}'),
    ("midi_send", json.dumps({"events": [{"ms": 0, "data": "90"}] * 5000, "to": ["nobody:in"]})),
    ("midi_send", json.dumps({"events": [], "to": ["nobody:in"] * 5000})),
    ("midi_cancel", json.dumps({"output": _LONG})),
    ("\0", "{}"),
    (_LONG, "{}"),
)

HOSTILE_COMMANDS: tuple[messages.Payload, ...] = (
    messages.StreamDetach("\0"),
    messages.StreamDetach(_LONG),
    messages.StreamSwitchChunk(NOBODY, "a/" * 1_000_000),
    messages.StreamSwitchChunk(NOBODY, "/" * 1_000_000),
    messages.StreamSwitchChunk(NOBODY, "/dev/null"),
    messages.StreamSwitchChunk(NOBODY, "/staging/\0"),
    messages.ChunkRelease(NOBODY, _LONG),
    messages.StreamStop(NOBODY, MAX_U64 - 1),
    messages.StreamStart(NOBODY, _AUDIO, "../../etc/passwd", MAX_U64 - 1, 2**32 - 1, MAX_U64),
    messages.StateRequest(drain=False, uris=("",) * 50_000),
    messages.StateRequest(uris=(NOBODY,), hold=True, hold_frames=MAX_U64),
    messages.PortsRequest("(.|.|.|.)*(.|.|.|.)*x$"),
    messages.PortsRequest("x{99999999999}"),
    messages.PortsRequest("(" * 100_000),
    messages.PortsRequest("\0"),
    messages.MidiSend("out", (".",) * 5000, 0, (messages.MidiEvent(0, b"\x90\x40\x7f"),)),
    messages.MidiSend("out", ("nobody:in",), MAX_U64 - 1, (messages.MidiEvent(MAX_U64, b"\x90\x40\x7f"),)),
    messages.MidiSend("out", ("nobody:in",), 0, (messages.MidiEvent(0, b""),) * 5000),
    messages.MidiCancel(_LONG),
)


def hostile_calls() -> list[bytes]:
    """Operation calls that are whole, with hostile arguments."""
    return [encode_envelope(Envelope(1, messages.OperationCall(*call))) for call in _HOSTILE_ARGUMENTS]


def hostile_commands() -> list[bytes]:
    """Commands to the engine that are whole, with hostile values."""
    return [encode_envelope(Envelope(1, command)) for command in HOSTILE_COMMANDS]


def calls(count: int, seed: int) -> Iterator[list[bytes]]:
    """`count` messages to control's socket, each as its frames."""
    bases = [encode_envelope(Envelope(1, messages.OperationCall(name, json.dumps(given)))) for name, given in _CALLS]
    bases += [encode_envelope(Envelope(1, command)) for command in (*_COMMANDS, messages.OperationCancel(1))]
    return _messages(bases, hostile_calls(), random.Random(seed), count)


def commands(count: int, seed: int) -> Iterator[list[bytes]]:
    """`count` messages to the engine's socket, each as its frames."""
    bases = [encode_envelope(Envelope(1, command)) for command in _COMMANDS]
    others = (messages.OperationCall("status", "{}"), messages.OperationCancel(1))
    bases += [encode_envelope(Envelope(1, other)) for other in others]
    return _messages(bases, hostile_commands(), random.Random(seed), count)


def _messages(bases: list[bytes], hostile: list[bytes], chance: random.Random, count: int) -> Iterator[list[bytes]]:
    for number in range(count):
        if number % 100 == 0:  # they take longer
            yield [hostile[number // 100 % len(hostile)]]
            continue
        data = damage(bases, chance)
        match chance.randrange(50):
            case 0:
                yield [data, b""]
            case 1:
                yield [b"", data]
            case 2:
                yield [b""] * chance.randint(1, 50)
            case 3:
                at = chance.randrange(len(data) + 1)
                yield [data[:at], data[at:]]
            case _:
                yield [data]


def damage(bases: list[bytes], chance: random.Random) -> bytes:
    """One of some messages with something wrong, mostly: bits, bytes, words, lengths, counts, or its end."""
    data = bytearray(chance.choice(bases))
    word = WORD * chance.randrange(len(data) // WORD)
    match chance.randrange(11):
        case 0 | 1:
            for _ in range(chance.randint(1, 4)):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        case 2:
            data[chance.randrange(len(data))] = chance.randrange(256)
        case 3:
            data[word : word + WORD] = chance.randbytes(WORD)
        case 4:  # a list of very many elements, or a far pointer
            data[word + 4 : word + WORD] = struct.pack(
                "<I", chance.choice((0xFFFFFFFF, 0xFFFFFFF8, 0x7FFFFFF9, 1 << 28))
            )
        case 5:  # a pointer that points back: the same again and again, nested without end
            data[word : word + 4] = struct.pack("<i", -4 * chance.randrange(1, 40))
        case 6:
            del data[chance.randrange(len(data)) :]
        case 7:
            data[word:word] = chance.randbytes(WORD * chance.randint(1, 8))
        case 8:  # swapped parts
            other = WORD * chance.randrange(len(data) // WORD)
            data[word : word + WORD], data[other : other + WORD] = data[other : other + WORD], data[word : word + WORD]
        case 9:  # the segment table
            data[:WORD] = struct.pack("<II", chance.choice((0, 1, 511, 0xFFFFFFFF)), chance.choice((0, 1, 0xFFFFFFFF)))
        case _:
            data = bytearray(chance.randbytes(WORD * chance.randrange(0, 60)))
    return bytes(data)


# --- ZMTP by hand (rfc.zeromq.org/spec/23): what no ZeroMQ library would send

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)


def ready(socket_type: bytes) -> bytes:
    """The command that ends a handshake."""
    body = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(socket_type)) + socket_type
    return bytes((4, len(body))) + body


def frame(data: bytes, *, more: bool = False) -> bytes:
    """A frame of a message."""
    return bytes((2 | more,)) + struct.pack(">Q", len(data)) + data


def raw_greeting(socket_type: bytes, chance: random.Random) -> bytes:
    """What a peer sends first on a connection that is no ZeroMQ, or not quite."""
    whole = GREETING + ready(socket_type)
    match chance.randrange(3):
        case 0:
            return chance.randbytes(chance.randrange(1, 300))
        case 1:
            return whole[: chance.randrange(len(whole))]
        case _:
            damaged = bytearray(whole + frame(b"\x01" + chance.randbytes(12)))
            for _ in range(chance.randint(1, 6)):
                damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
            return bytes(damaged)


def raw_frames(chance: random.Random) -> bytes:
    """What a peer sends after its handshake, and no ZeroMQ library would."""
    match chance.randrange(5):
        case 0:  # a frame that is said to be longer than anything
            return b"\x02" + struct.pack(">Q", chance.choice((MAX_U64, 1 << 63, 1 << 40, 5 << 20))) + b"x" * 100
        case 1:
            return bytes((chance.randrange(256), chance.randrange(256))) + chance.randbytes(64)
        case 2:  # the beginning of a message without end
            return frame(chance.randbytes(30), more=True) * 20
        case 3:  # subscriptions and their ends
            return b"".join(frame(bytes((chance.randrange(3),)) + chance.randbytes(8)) for _ in range(20))
        case _:
            return frame(chance.randbytes(chance.randrange(600)))
