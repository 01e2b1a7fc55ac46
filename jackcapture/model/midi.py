"""MIDI messages as bytes: which are whole and well-formed, and which notes they leave sounding."""

from collections.abc import Iterable

from jackcapture.errors import InvalidValueError

MAX_MESSAGE_BYTES = 32_000
"""What JACK's MIDI buffer (32,768 bytes with jackd) takes in one piece, beside other events."""

_NOTE_OFF, _NOTE_ON = 0x80, 0x90
_TIME_CODE, _REAL_TIME = 0xF1, 0xF8


def is_activity(event: bytes) -> bool:
    """Tell whether somebody plays: all is that but real-time messages (clock, active sensing, ...) and time code."""
    return bool(event) and event[0] < _REAL_TIME and event[0] != _TIME_CODE


def check_message(data: bytes) -> None:
    """Raise `InvalidValueError` unless `data` is one whole MIDI message, with its status byte."""
    from mido.messages.specs import SPEC_BY_STATUS  # noqa: PLC0415 - only those who send MIDI wait for it

    spec = SPEC_BY_STATUS.get(data[0]) if data else None
    if spec is None:
        raise InvalidValueError(f"{_shown(data)} is no MIDI message: it must begin with a status byte, 80 to FF")
    if len(data) > MAX_MESSAGE_BYTES:
        raise InvalidValueError(f"a MIDI message of {len(data)} bytes: at most {MAX_MESSAGE_BYTES} can be sent at once")
    body = data[1:]
    if spec["type"] == "sysex":
        if len(data) < 2 or data[-1] != 0xF7:
            raise InvalidValueError(f"{_shown(data)} is no MIDI message: a system exclusive (F0) ends with F7")
        body = data[1:-1]
    elif len(data) != spec["length"]:
        raise InvalidValueError(
            f"{_shown(data)} is no MIDI message: status {data[0]:02X} makes {spec['length']} bytes, not {len(data)}"
        )
    if any(byte > 0x7F for byte in body):
        raise InvalidValueError(f"{_shown(data)} is no MIDI message: its data bytes must be 00 to 7F")


def sounding_notes(messages: Iterable[bytes]) -> list[bytes]:
    """Give the messages that end the notes that these messages leave sounding, in the order of their beginnings."""
    sounding: dict[tuple[int, int], None] = {}
    for message in messages:
        kind, channel = (message[0] & 0xF0, message[0] & 0x0F) if message else (0, 0)
        if kind == _NOTE_ON and message[2] > 0:
            sounding[channel, message[1]] = None
        elif kind in (_NOTE_ON, _NOTE_OFF):
            sounding.pop((channel, message[1]), None)
    return [bytes([_NOTE_OFF | channel, note, 0x40]) for channel, note in sounding]


def _shown(data: bytes) -> str:
    text = data[:16].hex(" ").upper()
    return f"'{text}{' ...' if len(data) > 16 else ''}'"
