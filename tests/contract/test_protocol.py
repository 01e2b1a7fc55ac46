"""The protocol: docs/protocol.md, schemas/ and the code say the same, and any bytes are read or refused.

The golden bytes are written anew, after a change that was meant, by

    JACKCAPTURE_WRITE_GOLDEN=1 python -m pytest tests/contract/test_protocol.py -k golden

A field that was added leaves the old bytes readable: keep the old file's values readable before writing a new one.
"""

import dataclasses
import json
import os
import re
import struct
import time
import tracemalloc
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackcapture.errors import BY_CODE, InvalidValueError, JackCaptureError, NotFoundError
from jackcapture.protocol import messages, schemas
from jackcapture.protocol.codec import camel
from jackcapture.protocol.framing import (
    MAX_MESSAGE_BYTES,
    Broadcast,
    Envelope,
    decode_broadcast,
    decode_envelope,
    encode_broadcast,
    encode_envelope,
    envelope_id,
    error_payload,
    message_names,
    raised_from,
)
from jackcapture.protocol.sockets import CONTROL, CONTROL_EVENTS, ENGINE_COMMANDS, ENGINE_EVENTS, MAX_REQUEST_BYTES
from parts.messages import BROADCASTS, ENVELOPES, any_value, arm, damaged, struct_of

TESTS = Path(__file__).parents[1]
GOLDEN = TESTS / "golden" / "protocol.json"
DOCUMENT = (TESTS.parent / "docs" / "protocol.md").read_text()

PAYLOADS = typing.get_args(messages.Payload)
EVENTS = typing.get_args(messages.Event)


def encode(value: Envelope | Broadcast) -> bytes:
    return encode_envelope(value) if isinstance(value, Envelope) else encode_broadcast(value)


def decode_like(value: Envelope | Broadcast, data: bytes) -> Envelope | Broadcast:
    return decode_envelope(data) if isinstance(value, Envelope) else decode_broadcast(data)


# --- golden bytes ---

EXAMPLES: dict[str, Envelope | Broadcast] = {**ENVELOPES, **BROADCASTS}


@pytest.fixture(scope="session")
def golden() -> dict[str, bytes]:
    if os.environ.get("JACKCAPTURE_WRITE_GOLDEN"):
        written = {name: encode(value).hex() for name, value in EXAMPLES.items()}
        GOLDEN.write_text(json.dumps(written, indent=1) + "\n")
    return {name: bytes.fromhex(data) for name, data in json.loads(GOLDEN.read_text()).items()}


def test_golden_bytes_of_all_messages(golden: dict[str, bytes]) -> None:
    assert list(golden) == list(EXAMPLES)
    assert set(ENVELOPES) == {arm(kind) for kind in PAYLOADS}
    assert set(BROADCASTS) == {f"{arm(kind)} (event)" for kind in EVENTS}


@pytest.mark.parametrize("name", EXAMPLES)
def test_golden_bytes(golden: dict[str, bytes], name: str) -> None:
    assert encode(EXAMPLES[name]).hex() == golden[name].hex()
    assert decode_like(EXAMPLES[name], golden[name]) == EXAMPLES[name]


# --- round trips ---


@pytest.mark.parametrize("kind", PAYLOADS)
@given(data=st.data(), number=st.integers(0, 2**64 - 1))
@settings(max_examples=25, deadline=None)
def test_an_envelope_comes_back_as_it_was(kind: type, data: st.DataObject, number: int) -> None:
    envelope = Envelope(number, data.draw(any_value(kind)))
    encoded = encode_envelope(envelope)
    assert decode_envelope(encoded) == envelope
    assert envelope_id(encoded) == number


@pytest.mark.parametrize("kind", EVENTS)
@given(data=st.data(), sequence=st.integers(0, 2**64 - 1), publisher=st.text(max_size=20))
@settings(max_examples=25, deadline=None)
def test_a_broadcast_comes_back_as_it_was(kind: type, data: st.DataObject, sequence: int, publisher: str) -> None:
    broadcast = Broadcast(sequence, publisher, data.draw(any_value(kind)))
    assert decode_broadcast(encode_broadcast(broadcast)) == broadcast


def test_a_message_of_many_parts_may_be_read_to_its_end() -> None:
    state = ENVELOPES["engineState"].payload
    assert isinstance(state, messages.EngineState)
    many = dataclasses.replace(state, streams=state.streams * 2000, warnings=("",) * 5000)
    ports = messages.PortList(tuple(messages.Port(f"p:{n}", messages.PortType.OTHER, True, True) for n in range(5000)))
    for payload in (many, ports):
        assert decode_envelope(encode_envelope(Envelope(1, payload))).payload == payload


@pytest.mark.parametrize("code", BY_CODE)
def test_an_error_comes_back_as_it_was(code: str) -> None:
    error = BY_CODE[code]("the stream is not there", uri="stream://a/b")
    error.details |= {"message": "a detail of that name", "self": 1}
    again = raised_from(error_payload(error))
    assert type(again) is type(error)
    assert (again.message, again.details) == (error.message, error.details)


def test_errors_that_this_side_does_not_know_or_that_are_damaged() -> None:
    unknown = raised_from(messages.Error("from_the_future", "it is so", '{"a": 1, "code": 2}'))
    assert type(unknown) is JackCaptureError
    assert unknown.details == {"a": 1, "code": "from_the_future"}
    for details in ("", "{", "[1]", "3", "[" * 200_000):
        found = raised_from(messages.Error("not_found", "it is so", details))
        assert type(found) is NotFoundError
        assert (found.message, found.details) == ("it is so", {})


# --- document, schemas and code say the same ---


def sections() -> dict[str, str]:
    """The document's fourth-level sections, by their headings."""
    parts = re.split(r"^#### (.+)$", DOCUMENT, flags=re.MULTILINE)
    return {heading.strip("`"): text for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


def named_structs() -> dict[str, type]:
    """Every dataclass that travels, messages and their parts, by name."""
    found: dict[str, type] = {}

    def visit(hint: Any) -> None:
        for argument in typing.get_args(hint):
            visit(argument)
        if isinstance(hint, type) and dataclasses.is_dataclass(hint) and hint.__name__ not in found:
            found[hint.__name__] = hint
            for field in typing.get_type_hints(hint).values():
                visit(field)

    for kind in (*PAYLOADS, *EVENTS):
        visit(kind)
    return found


EMPTY = {"Done", "Shutdown", "TransportStart", "TransportStop"}
STRUCTS = {name: kind for name, kind in named_structs().items() if name not in EMPTY}


def test_the_document_states_the_protocol_version() -> None:
    assert re.findall(r"^Protocol version: (\d+)$", DOCUMENT, re.MULTILINE) == [str(schemas.PROTOCOL_VERSION)]
    assert Envelope(1, messages.Done()).version == schemas.PROTOCOL_VERSION


def test_all_name_the_same_messages() -> None:
    payloads = frozenset(schemas.envelope.Envelope.schema.fields["payload"].schema.union_fields)
    events = frozenset(schemas.broadcast.Broadcast.schema.fields["event"].schema.union_fields)
    assert (payloads, events) == message_names()
    assert payloads == {arm(kind) for kind in PAYLOADS}
    assert events == {arm(kind) for kind in EVENTS}
    documented = re.findall(r"^#### `(\w+)`$", DOCUMENT, re.MULTILINE)
    assert len(documented) == len(set(documented))
    assert set(documented) == payloads | events


@pytest.mark.parametrize("name", STRUCTS)
def test_all_name_the_same_fields(name: str) -> None:
    fields = [camel(field.name) for field in dataclasses.fields(STRUCTS[name])]
    assert set(fields) == set(struct_of(STRUCTS[name]).fieldnames)
    text = sections().get(arm(STRUCTS[name])) or sections().get(name)
    assert text is not None, f"{name} has no section"
    documented = re.findall(r"^\| `(\w+)` \|", text.partition("\n#")[0], re.MULTILINE)
    assert documented == fields


def test_the_document_names_every_enum_value() -> None:
    for name in ("SampleFormat", "GapCause", "StreamStatus", "PortType", "ClockReason", "TransportState"):
        module = schemas.common if hasattr(schemas.common, name) else schemas.streams
        row = re.search(rf"^\| `{name}` \| (.+) \|$", DOCUMENT, re.MULTILINE)
        assert row is not None, name
        assert re.findall(r"`(\w+)` (\d+)", row[1]) == [
            (k, str(v)) for k, v in module.__dict__[name].schema.enumerants.items()
        ]


def test_the_document_states_sockets_and_limits() -> None:
    for name in (ENGINE_COMMANDS, ENGINE_EVENTS, CONTROL, CONTROL_EVENTS):
        assert f"`{name}`" in DOCUMENT
    for limit in (MAX_MESSAGE_BYTES, MAX_REQUEST_BYTES):
        assert f"{limit:,}" in DOCUMENT


# --- what is malformed ---


def words(*values: int) -> bytes:
    return struct.pack("<II", 0, len(values)) + b"".join(struct.pack("<Q", value) for value in values)


def struct_pointer(offset: int, data: int, pointers: int) -> int:
    return (offset & 0x3FFFFFFF) << 2 | data << 32 | pointers << 48


def list_pointer(offset: int, kind: int, count: int) -> int:
    return (offset & 0x3FFFFFFF) << 2 | 1 | kind << 32 | count << 35


DONE = encode_envelope(Envelope(5, messages.Done()))
GAP = encode_broadcast(BROADCASTS["streamGap (event)"])
VERSION_AT, ARM_AT = 24, 26  # after segment table, root pointer and id


def changed(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + struct.pack("<H", value) + data[at + 2 :]


def with_enum(data: bytes, before: bytes, value: int) -> bytes:
    """Change the 16-bit enum that follows some bytes."""
    return changed(data, data.index(before) + len(before), value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "a message of 0 bytes is no envelope: it must have 16 to 67108864 bytes, a multiple of 8"),
        (DONE[:8], "a message of 8 bytes is no envelope"),
        (DONE + b"\0", f"a message of {len(DONE) + 1} bytes is no envelope: .* a multiple of 8"),
        (DONE[:-8], "not a valid envelope: .*"),
        (DONE[:16], "not a valid envelope: .*"),
        (words(0), "protocol version 0: this side speaks 1"),
        (b"\xff" * 64, "not a valid envelope: .*"),
        (changed(DONE, VERSION_AT, 2), "protocol version 2: this side speaks 1; run the same version of jackcapture"),
        (changed(DONE, ARM_AT, 99), "unknown payload: it must be one of .*streamAttach.*operationResult"),
    ],
)
def test_a_malformed_envelope_is_refused_in_plain_words(data: bytes, says: str) -> None:
    with pytest.raises(InvalidValueError, match=says):
        decode_envelope(data)


def test_a_malformed_broadcast_is_refused_in_plain_words() -> None:
    with pytest.raises(InvalidValueError, match="a message of 12 bytes is no broadcast"):
        decode_broadcast(GAP[:12])
    with pytest.raises(InvalidValueError, match="not a valid broadcast"):
        decode_broadcast(GAP[:-8])
    with pytest.raises(InvalidValueError, match=r"unknown event: it must be one of streamHeadPosition, .*jackState"):
        decode_broadcast(changed(GAP, 24, 99))
    causes = "xrun, ringOverflow, serverDown, engineDied, midiLost"
    with pytest.raises(InvalidValueError, match=f"unknown GapCause: it must be one of {causes}"):
        decode_broadcast(with_enum(GAP, struct.pack("<QQ", 4_800, 64), 5))


def test_values_that_the_model_forbids_are_refused() -> None:
    attach = encode_envelope(Envelope(1, ENVELOPES["streamAttach"].payload))
    with pytest.raises(InvalidValueError, match="'strexm://keys/midi' is not a stream URI"):
        decode_envelope(attach.replace(b"stream:", b"strexm:"))
    with pytest.raises(InvalidValueError, match="a chunk size of 0 bytes"):
        decode_envelope(attach.replace(struct.pack("<I", 8 << 20), bytes(4)))
    with pytest.raises(InvalidValueError, match=r"not a valid envelope: .*utf-8"):
        decode_envelope(attach.replace(b"keys/midi", b"keys/\xff\xfe\xfd\xfc"))


def test_a_message_that_is_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(InvalidValueError, match=f"must have 16 to {MAX_MESSAGE_BYTES} bytes"):
        decode_envelope(bytes(MAX_MESSAGE_BYTES + 8))


def test_the_id_is_known_also_of_what_is_refused() -> None:
    assert envelope_id(changed(DONE, ARM_AT, 99)) == envelope_id(changed(DONE, VERSION_AT, 2)) == 5
    assert envelope_id(b"") == envelope_id(b"\xff" * 64) == envelope_id(DONE[:20]) == 0


def test_damaged_messages_give_a_value_or_an_error() -> None:
    read = refused = 0
    longest, slowest = 0, 0.0
    for data in damaged(22_000, seed=20261122):
        began = time.thread_time()
        for decode in (decode_envelope, decode_broadcast):
            try:
                value = decode(data)
            except InvalidValueError as error:
                longest = max(longest, len(error.message))
                refused += 1
            else:
                assert isinstance(value, Envelope | Broadcast)
                read += 1
        assert 0 <= envelope_id(data) < 2**64
        slowest = max(slowest, time.thread_time() - began)
    assert read > 1000
    assert refused > 20_000
    assert longest < 2000
    assert slowest < 1.0


def overlapping(ports: int, text: int) -> bytes:
    """A portList whose ports all have the same long name."""
    body = [struct_pointer(0, 2, 1), 1, 1 | 13 << 16, struct_pointer(0, 0, 1), list_pointer(0, 7, ports * 4)]
    body.append(ports << 2 | 1 << 32 | 3 << 48)
    for port in range(ports):
        to_name = 4 * (ports - port) - 2
        body += [0, list_pointer(to_name, 2, text * 8), 0, 0]
    return words(*body, *[0x6161616161616161] * (text - 1), 0x0061616161616161)


def without_size(elements: int, padding: int) -> bytes:
    """A portList of very many ports that take no bytes."""
    body = [struct_pointer(0, 2, 1), 1, 1 | 13 << 16, struct_pointer(0, 0, 1), list_pointer(0, 7, 0), elements << 2]
    return words(*body, *[0] * padding)


@pytest.mark.parametrize(
    "data",
    [overlapping(2000, 1000), overlapping(10, 50_000), without_size((1 << 29) - 1, 0), without_size(30_000, 8000)],
    ids=["many", "long", "2^29 - 1 elements", "30,000 elements"],
)
def test_a_short_message_does_not_unfold_into_a_long_one(data: bytes) -> None:
    tracemalloc.start()
    try:
        began = time.thread_time()
        with pytest.raises(InvalidValueError, match="not a valid envelope"):
            decode_envelope(data)
        assert time.thread_time() - began < 2
        assert tracemalloc.get_traced_memory()[1] < 10_000_000 + 50 * len(data)
    finally:
        tracemalloc.stop()


def test_the_same_without_the_overlap_is_read() -> None:
    found = decode_envelope(overlapping(1, 1000)).payload
    assert isinstance(found, messages.PortList)
    assert found.ports[0].name == "a" * 7999
    assert isinstance(decode_envelope(without_size(40, 0)).payload, messages.PortList)
