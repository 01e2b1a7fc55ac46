"""Dataclasses to Cap'n Proto structs and back, by their field names.

A field `wall_clock_ns` of a dataclass is the field `wallClock` of the struct: camel case, without the unit.
Readers of received bytes are only ever read field by field: pycapnp's `as_builder` and `total_size` end the
process on malformed input, and `to_dict` drops a damaged union arm without a word.
"""

import dataclasses
import enum
import functools
import re
import types
import typing
from collections.abc import Callable, Hashable
from typing import Any

import capnp

from jackcapture.errors import InvalidValueError
from jackcapture.model.streams import AudioFormat, MidiFormat, StreamFormat

_KJ_PLACE = re.compile(r"^\S+:\d+: failed: ")  # where in Cap'n Proto's source it was noticed

_Encoder = Callable[[Any], Any]
_Decoder = Callable[[Any], Any]

DECODE_ERRORS = (
    capnp.KjException,
    AttributeError,
    KeyError,
    OverflowError,
    RuntimeError,
    TypeError,
    UnicodeDecodeError,
    ValueError,
)
"""What reading a malformed message raises in pycapnp 2.2."""


def camel(name: str) -> str:
    """Give the schema's name of a Python field or enum value."""
    head, *rest = name.removesuffix("_ns").split("_")
    return head + "".join(part.capitalize() for part in rest)


def _same(value: Any) -> Any:
    return value


def _encode_format(stream_format: StreamFormat) -> dict[str, Any]:
    match stream_format:
        case AudioFormat():
            return {"audio": encoder(AudioFormat)(stream_format)}
        case MidiFormat():
            return {"midi": encoder(MidiFormat)(stream_format)}


def _decode_format(reader: Any) -> StreamFormat:
    match reader.which():
        case "audio":
            audio: AudioFormat = decoder(AudioFormat)(reader.audio)
            return audio
        case "midi":
            midi: MidiFormat = decoder(MidiFormat)(reader.midi)
            return midi
        case other:
            raise InvalidValueError(f"stream format {other!r}: it must be audio or midi")


def _decode_enum(what: str, members: dict[str, enum.Enum], reader: Any) -> enum.Enum:
    try:
        return members[str(reader)]
    except (KeyError, RuntimeError):
        raise InvalidValueError(f"unknown {what}: it must be one of {', '.join(members)}") from None


@functools.cache
def encoder(kind: Hashable) -> _Encoder:
    """Give the function that turns a value of type `kind` into what pycapnp's `new_message` takes."""
    if kind == StreamFormat:
        return _encode_format
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        item = encoder(arguments[0])
        return lambda values: [item(value) for value in values]
    if origin in (types.UnionType, typing.Union):
        raise TypeError(f"{kind}: a field that may be absent has no place in a message")
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return lambda value: camel(value.value)
    if dataclasses.is_dataclass(kind):
        fields = [(name, camel(name), encoder(hint)) for name, hint in _hints(kind)]
        return lambda value: {there: encode(getattr(value, here)) for here, there, encode in fields}
    return _same


@functools.cache
def decoder(kind: Hashable) -> _Decoder:
    """Give the function that turns a pycapnp reader into a value of type `kind`."""
    if kind == StreamFormat:
        return _decode_format
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        item = decoder(arguments[0])
        return lambda readers: tuple(item(reader) for reader in readers)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return functools.partial(_decode_enum, kind.__name__, {camel(member.value): member for member in kind})
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        fields = [(name, camel(name), decoder(hint)) for name, hint in _hints(kind)]
        return lambda reader: kind(**{here: decode(getattr(reader, there)) for here, there, decode in fields})
    return _same


def _hints(kind: Any) -> list[tuple[str, Any]]:
    hints = typing.get_type_hints(kind)
    return [(field.name, _plain(hints[field.name])) for field in dataclasses.fields(kind)]


def _plain(hint: Any) -> Any:
    """See through NewType: a StreamUri travels as text."""
    return _plain(hint.__supertype__) if isinstance(hint, typing.NewType) else hint


def decoding_error(what: str, error: Exception) -> InvalidValueError:
    """Name what a malformed message was meant to be."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    reason = _KJ_PLACE.sub("", reason)
    return InvalidValueError(f"not a valid {what}: {reason[:200]}")
