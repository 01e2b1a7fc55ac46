"""Whole MIDI messages out of what a JACK port gives: an event may be any bytes, or a piece of a system exclusive.

JACK's events are messages, each with its status byte; only system exclusives may come in pieces, and real-time messages
between these or within them (MIDI 1.0, "System Real Time Messages").
"""

import enum
from collections.abc import Iterable, Iterator

from jackcapture.formats.midi_records import MidiRecord

MAX_SYSEX_BYTES = 1_000_000
"""What is joined to one system exclusive at most; mido reads no longer one."""

_SYSEX, _END, _REAL_TIME = 0xF0, 0xF7, 0xF8
_BEGIN = bytes([_SYSEX])


class SkipReason(enum.StrEnum):
    """Why something is not in a file."""

    INVALID = "invalid"  # bytes that are no MIDI message
    SYSEX_BROKEN = "sysex_broken"  # a system exclusive without its end, or longer than MAX_SYSEX_BYTES
    SYSTEM_COMMON = "system_common"  # quarter frame, song position, song select, tune request
    SYSTEM_REAL_TIME = "system_real_time"  # clock, start, continue, stop, active sensing, reset
    TIME_SIGNATURE = "time_signature"  # one that the format has no numbers for


Joined = tuple[int, bytes | SkipReason]
"""A sample position, and the message there, or why there is none."""


def join_messages(events: Iterable[MidiRecord]) -> Iterator[Joined]:
    """Give the whole messages of events, which are in the order of their positions, and what is not part of one.

    A system exclusive in pieces counts at its last piece, where it takes effect; one that is broken, at its first.
    """
    pieces = bytearray()  # of a system exclusive that is not at its end
    begun = 0
    for position, data in events:
        is_begin = data[:1] == _BEGIN
        apart = _take_apart(data[is_begin:]) if is_begin or pieces else None
        if pieces and (is_begin or apart is None):
            yield begun, SkipReason.SYSEX_BROKEN
            pieces.clear()
        if apart is None:
            yield position, bytes(data) if _is_whole(data) else SkipReason.INVALID
            continue
        real_time, piece = apart
        yield from ((position, bytes([byte])) for byte in real_time)
        if is_begin:
            begun = position
            pieces += _BEGIN
        pieces += piece
        if len(pieces) > MAX_SYSEX_BYTES:
            yield begun, SkipReason.SYSEX_BROKEN
            pieces.clear()
        elif pieces[-1] == _END:
            yield position, bytes(pieces)
            pieces.clear()
    if pieces:
        yield begun, SkipReason.SYSEX_BROKEN


def no_place_in_a_file(message: bytes) -> SkipReason | None:
    """Tell why a whole message is not written to a MIDI file, which has but channel messages and system exclusives."""
    if message[0] >= _REAL_TIME:
        return SkipReason.SYSTEM_REAL_TIME
    return SkipReason.SYSTEM_COMMON if message[0] > _SYSEX else None


def _take_apart(data: bytes) -> tuple[bytes, bytes] | None:
    """Give the real-time messages in a piece of a system exclusive, and the rest; None if it is no such piece."""
    rest = data if data.isascii() else bytes(byte for byte in data if byte < _REAL_TIME)
    if not rest.removesuffix(bytes([_END])).isascii():
        return None
    return (b"" if len(rest) == len(data) else bytes(byte for byte in data if byte >= _REAL_TIME)), rest


def _is_whole(data: bytes) -> bool:
    from mido.messages.specs import SPEC_BY_STATUS  # noqa: PLC0415 - only those who write MIDI files wait for it

    spec = SPEC_BY_STATUS.get(data[0]) if data else None
    return spec is not None and len(data) == spec["length"] and data[1:].isascii()
