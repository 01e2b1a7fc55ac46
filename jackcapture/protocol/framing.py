"""Envelopes and broadcasts to bytes and back. Any bytes may come in: what is malformed raises InvalidValueError."""

import contextlib
import json
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jackcapture.errors import InvalidValueError, JackCaptureError, from_code
from jackcapture.protocol import messages, schemas
from jackcapture.protocol.codec import DECODE_ERRORS, decoder, decoding_error, encoder

MAX_MESSAGE_BYTES = 64 << 20
MAX_ERROR_TEXT = 4096
"""Characters of an error's message: what was wrong is shown, but a value of megabytes is not sent back whole."""
MAX_ERROR_DETAILS = 16 << 10
"""Characters of an error's details; where they are more, they are left out."""
_MIN_MESSAGE_BYTES = 16  # a segment table and a root pointer

_EMPTY = (messages.Done, messages.Shutdown, messages.TransportStart, messages.TransportStop)


def _arm(kind: type) -> str:
    return kind.__name__[0].lower() + kind.__name__[1:]


_PAYLOADS: dict[str, type] = {_arm(kind): kind for kind in typing.get_args(messages.Payload)}
_EVENTS: dict[str, type] = {_arm(kind): kind for kind in typing.get_args(messages.Event)}


@dataclass(frozen=True, slots=True)
class Envelope:
    """One request or reply."""

    id: int
    payload: messages.Payload
    version: int = schemas.PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class Broadcast:
    """One event of a publisher; `sequence` counts from 1."""

    sequence: int
    publisher: str
    event: messages.Event


def encode_envelope(envelope: Envelope) -> bytes:
    """Give the bytes of an envelope."""
    payload = envelope.payload
    kind: type = type(payload)
    value = None if kind in _EMPTY else encoder(kind)(payload)
    data: bytes = schemas.envelope.Envelope.new_message(
        id=envelope.id, version=envelope.version, payload={_arm(kind): value}
    ).to_bytes()
    return data


def decode_envelope(data: bytes, accepted: Any = messages.Payload) -> Envelope:
    """Read an envelope; raises `InvalidValueError` for anything malformed and for another protocol version.

    `accepted` is the union of the payloads that this side takes: no other is read, however long it is.
    """
    with _reader(schemas.envelope.Envelope, data, "envelope") as reader:
        if reader.version != schemas.PROTOCOL_VERSION:
            raise InvalidValueError(
                f"protocol version {reader.version}: this side speaks {schemas.PROTOCOL_VERSION}; "
                "run the same version of jackcapture on both sides",
                id=reader.id,
            )
        payload = _decode_arm(reader.payload, _PAYLOADS, "payload", typing.get_args(accepted) or (accepted,))
        return Envelope(reader.id, payload, reader.version)


def envelope_id(data: bytes) -> int:
    """Give the id of an envelope that may be malformed in other parts, so that an error can be answered; else 0."""
    try:
        with _reader(schemas.envelope.Envelope, data, "envelope") as reader:
            number: int = reader.id
            return number
    except JackCaptureError:
        return 0


def envelope_kind(data: bytes) -> type | None:
    """Give the kind of message that an envelope holds, without reading it; None where that is not to be seen."""
    try:
        with _reader(schemas.envelope.Envelope, data, "envelope") as reader:
            return _PAYLOADS[reader.payload.which()]
    except JackCaptureError:
        return None


def encode_broadcast(broadcast: Broadcast) -> bytes:
    """Give the bytes of a broadcast."""
    kind: type = type(broadcast.event)
    data: bytes = schemas.broadcast.Broadcast.new_message(
        sequence=broadcast.sequence,
        publisher=broadcast.publisher,
        event={_arm(kind): encoder(kind)(broadcast.event)},
    ).to_bytes()
    return data


def decode_broadcast(data: bytes) -> Broadcast:
    """Read a broadcast; raises `InvalidValueError` for anything malformed."""
    with _reader(schemas.broadcast.Broadcast, data, "broadcast") as reader:
        return Broadcast(reader.sequence, reader.publisher, _decode_arm(reader.event, _EVENTS, "event", ()))


def error_payload(error: JackCaptureError) -> messages.Error:
    """Turn an error into its message, cut to a bounded length; any thread."""
    message = error.message.encode(errors="backslashreplace").decode()  # a file's name may be no UTF-8
    if len(message) > MAX_ERROR_TEXT:
        message = f"{message[:MAX_ERROR_TEXT]}... ({len(message)} characters)"
    details = json.dumps(error.details, default=str)
    return messages.Error(error.code, message, details if len(details) <= MAX_ERROR_DETAILS else "{}")


def raised_from(payload: messages.Error) -> JackCaptureError:
    """Turn an error message into the error to raise."""
    try:
        details = json.loads(payload.details or "{}")
    except (ValueError, RecursionError):
        details = {}
    error = from_code(payload.code, payload.message, {})
    # Not as keyword arguments: `details` may have any names.
    error.details = {**(details if isinstance(details, dict) else {}), **error.details}
    return error


def message_names() -> tuple[frozenset[str], frozenset[str]]:
    """Give the names of all payloads and of all events, as the schemas spell them."""
    return frozenset(_PAYLOADS), frozenset(_EVENTS)


def _decode_arm(union: Any, kinds: dict[str, type], what: str, accepted: tuple[type, ...]) -> Any:
    try:
        name = union.which()
    except DECODE_ERRORS:  # pycapnp's words for a tag that the schema does not have would lead nobody there
        raise InvalidValueError(f"unknown {what}: it must be one of {', '.join(kinds)}") from None
    kind = kinds[name]
    if accepted and kind not in accepted:
        raise InvalidValueError(f"{kind.__name__} is no message that this side takes: see docs/protocol.md for those")
    return kind() if kind in _EMPTY else decoder(kind)(getattr(union, name))


@contextlib.contextmanager
def _reader(struct: Any, data: bytes, what: str) -> Iterator[Any]:
    """Open a message for reading; all that goes wrong until the end of the block is an `InvalidValueError`."""
    if not _MIN_MESSAGE_BYTES <= len(data) <= MAX_MESSAGE_BYTES or len(data) % 8:
        raise InvalidValueError(
            f"a message of {len(data)} bytes is no {what}: it must have {_MIN_MESSAGE_BYTES} to "
            f"{MAX_MESSAGE_BYTES} bytes, a multiple of 8"
        )
    try:
        # We read everything once. The limit stops a short message that unfolds to gigabytes, by pointing at the
        # same list again and again or by a list of many elements without size.
        with struct.from_bytes(data, traversal_limit_in_words=len(data) // 8 + 64) as reader:
            yield reader
    except DECODE_ERRORS as error:
        raise decoding_error(what, error) from error
