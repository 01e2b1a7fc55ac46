"""Standard MIDI Files in which a tick is a frame: what is read from one is what was written, to the frame.

Written by ourselves: system exclusives in one piece and, as escapes, all that has no place of its own in a file, which
mido cannot write.

Source: MIDI Manufacturers Association, "Standard MIDI Files 1.0" (RP-001).
"""

import struct
from collections.abc import Sequence

from jackcapture.errors import InvalidValueError
from jackcapture.formats.midi_records import MidiRecord
from jackcapture.formats.smf_time import MICROSECONDS

_MAX_TICKS_PER_QUARTER = 0x7FFF
_MAX_TEMPO = 0xFFFFFF
_MAX_DELTA = 0xFFFFFFF
_END_OF_TRACK = b"\xff\x2f\x00"
_NOTHING = b"\xff\x01\x00"  # an empty text: time goes by


def write_exact_smf(messages: Sequence[MidiRecord], sample_rate: int) -> bytes:
    """Make a file of whole messages in the order of their frames, which count from the file's begin.

    Raises `InvalidValueError` for a sample rate of which no tick can be a frame (those in use all can).
    """
    ticks_per_quarter, tempo = _division(sample_rate)
    track = bytearray(_number(0) + b"\xff\x51\x03" + tempo.to_bytes(3, "big"))
    now = 0
    for frame, message in messages:
        while frame - now > _MAX_DELTA:
            track += _number(_MAX_DELTA) + _NOTHING
            now += _MAX_DELTA
        track += _number(frame - now) + _event(message)
        now = frame
    track += _number(0) + _END_OF_TRACK
    header = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, ticks_per_quarter)
    return header + struct.pack(">4sI", b"MTrk", len(track)) + track


def _division(sample_rate: int) -> tuple[int, int]:
    """Give ticks per quarter note, and the tempo by which there are as many ticks a second as frames."""
    for parts in range(1, sample_rate + 1):
        tempo, rest = divmod(MICROSECONDS, parts)
        ticks = sample_rate // parts
        if not rest and sample_rate % parts == 0 and ticks <= _MAX_TICKS_PER_QUARTER and tempo <= _MAX_TEMPO:
            return ticks, tempo
        if not tempo:
            break
    raise InvalidValueError(f"no tick of a MIDI file lasts a frame at {sample_rate} Hz", sample_rate=sample_rate)


def _event(message: bytes) -> bytes:
    if message[0] == 0xF0:
        return b"\xf0" + _number(len(message) - 1) + message[1:]
    if message[0] > 0xF0:
        return b"\xf7" + _number(len(message)) + message
    return message


def _number(value: int) -> bytes:
    """Give a number of variable length."""
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F | 0x80)
    return bytes(reversed(groups))
