"""Reads Standard MIDI Files into messages at frames, to be played through JACK.

By a reader of our own: mido makes two system exclusives of one that is written in two packets, and cannot read what
RP-001 calls escapes and alien chunks. Here, too, times are exact: each message is rounded to a frame from its own tick.

Source: MIDI Manufacturers Association, "Standard MIDI Files 1.0" (RP-001).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from jackcapture.errors import InvalidValueError
from jackcapture.formats.midi_records import MidiRecord
from jackcapture.formats.smf_time import MICROSECONDS, TempoMap
from jackcapture.model.midi import check_message

_SYSEX, _ESCAPE, _META = 0xF0, 0xF7, 0xFF
_SYSEX_END = 0xF7
_END_OF_TRACK, _SET_TEMPO = 0x2F, 0x51
_DATA_BYTES = {0x80: 2, 0x90: 2, 0xA0: 2, 0xB0: 2, 0xC0: 1, 0xD0: 1, 0xE0: 2}
_SMPTE = {24: (24, 1), 25: (25, 1), 29: (30_000, 1001), 30: (30, 1)}  # frames per second, as a fraction
_MAX_NUMBER_BYTES = 4


def read_smf(data: bytes, sample_rate: int, max_frames: int) -> list[MidiRecord]:
    """Give the messages of a file in the order of time, each with its frame from the file's begin.

    Channel messages, system exclusives (whole, with F0 and F7) and what is escaped come as they would over a wire; meta
    events are dropped once tempo changes are reckoned with. Messages of one tick keep the order of the tracks, and
    within a track their own. A file may have none. Raises `InvalidValueError` for bytes that are not a whole file of
    type 0 or 1, and for a message after `max_frames`.
    """
    if not data:
        raise InvalidValueError("an empty file: a MIDI file begins with MThd")
    file_type, tracks_said, division, chunks = _header(data)
    if file_type not in (0, 1):
        raise InvalidValueError(
            f"a MIDI file of type {file_type}: only types 0 and 1 can be played; the tracks of type 2 are pieces of "
            "their own, each of which must be a file"
        )
    tracks = [_Track(data, begin, end) for name, begin, end in chunks if name == b"MTrk"]
    if len(tracks) != tracks_said or (file_type == 0 and tracks_said != 1):
        wanted = "one" if file_type == 0 else f"the {tracks_said} that its header says"
        raise InvalidValueError(f"a MIDI file of type {file_type} with {len(tracks)} tracks: it must have {wanted}")
    events = sorted((event for track in tracks for event in track.events()), key=lambda event: event.tick)
    ticks = _tempo_map(division, sample_rate, events)
    records = [(ticks.frame_at(event.tick), event.message) for event in events if event.message]
    if records and records[-1][0] > max_frames:
        raise InvalidValueError(
            f"a MIDI file with a message at {records[-1][0] / sample_rate:.1f} s: it may last "
            f"{max_frames / sample_rate:.1f} s at most",
            frame=records[-1][0],
            max_frames=max_frames,
        )
    return records


@dataclass(frozen=True, slots=True)
class _Event:
    """A message, or else (`message` empty) a tempo in microseconds per quarter note."""

    tick: int
    message: bytes
    tempo: int = 0


def _header(data: bytes) -> tuple[int, int, int, list[tuple[bytes, int, int]]]:
    """Give type, number of tracks, division, and of each further chunk its name, begin and end."""
    if data[:4] != b"MThd":
        raise InvalidValueError(f"not a MIDI file: it begins with {data[:4]!r} in place of b'MThd'")
    chunks = []
    at = 0
    while at + 8 <= len(data):
        name, size = struct.unpack_from(">4sI", data, at)
        if at + 8 + size > len(data):
            raise InvalidValueError(
                f"a MIDI file of {len(data)} bytes, cut off: its chunk {name!r} ends at {at + 8 + size}"
            )
        chunks.append((name, at + 8, at + 8 + size))
        at += 8 + size
    if not chunks or chunks[0][2] - chunks[0][1] < 6:
        raise InvalidValueError(f"a MIDI file of {len(data)} bytes with no whole header: it takes 14 bytes")
    file_type, tracks, division = struct.unpack_from(">HHH", data, 8)
    return file_type, tracks, division, chunks[1:]


def _tempo_map(division: int, sample_rate: int, events: list[_Event]) -> TempoMap:
    if division & 0x8000:
        rate, per_frame = 0x100 - (division >> 8), division & 0xFF
        if rate not in _SMPTE or not per_frame:
            raise InvalidValueError(
                f"a MIDI file with {per_frame} ticks in each of {rate} SMPTE frames per second: there must be at least "
                "one, and 24, 25, 29 or 30 frames"
            )
        frames, seconds = _SMPTE[rate]
        return TempoMap(sample_rate, frames * per_frame, seconds * MICROSECONDS)  # whatever tempo the file has
    if not division:
        raise InvalidValueError("a MIDI file with 0 ticks per quarter note: it must have at least one")
    ticks = TempoMap(sample_rate, division)
    for event in events:
        if event.tempo:
            ticks.change(event.tick, event.tempo)
    return ticks


class _Track:
    """Reads a track: the bytes `[begin, end)` of a file."""

    def __init__(self, data: bytes, begin: int, end: int) -> None:
        self._data = data
        self._at = begin
        self._end = end
        self._sysex = b""  # what there is of one whose end has not come

    def events(self) -> Iterator[_Event]:
        """Give messages and tempos, up to the end of track or the last byte."""
        tick = status = 0
        while self._at < self._end:
            tick += self._number()
            byte = self._take(1)[0]
            if byte == _META:
                kind = self._take(1)[0]
                body = self._take(self._number())
                if kind == _END_OF_TRACK:
                    break
                if kind == _SET_TEMPO:
                    yield _Event(tick, b"", self._tempo(body))
            elif byte in (_SYSEX, _ESCAPE):
                for message in self._packet(byte, self._take(self._number())):
                    yield _Event(tick, message)
            else:
                if byte < 0x80:  # running status; some writers keep it over meta events and packets
                    self._at -= 1
                else:
                    status = byte
                yield _Event(tick, self._channel_message(status))
        if self._sysex:
            raise self._wrong("a system exclusive does not end (F7)")

    def _packet(self, byte: int, body: bytes) -> list[bytes]:
        """Give the messages that a packet completes: of a system exclusive, or escaped."""
        if byte == _ESCAPE and not self._sysex:
            return self._escaped(body)
        if byte == _SYSEX and self._sysex:
            raise self._wrong("a system exclusive begins before another has its end (F7)")
        self._sysex += bytes([_SYSEX]) + body if byte == _SYSEX else body
        if not self._sysex[1:].removesuffix(bytes([_SYSEX_END])).isascii():
            raise self._wrong("a system exclusive has bytes above 7F")
        if self._sysex[-1] != _SYSEX_END:
            return []
        whole, self._sysex = self._sysex, b""
        return [whole]

    def _channel_message(self, status: int) -> bytes:
        if self._sysex:
            raise self._wrong("a system exclusive does not end (F7) before the next message")
        length = _DATA_BYTES.get(status & 0xF0)
        if length is None:
            what = f"status {status:02X} has no place in a MIDI file" if status else "a message has no status byte"
            raise self._wrong(what)
        body = self._take(length)
        if not body.isascii():
            raise self._wrong(f"status {status:02X} with data bytes {body.hex(' ').upper()}: they must be 00 to 7F")
        return bytes([status]) + body

    def _escaped(self, body: bytes) -> list[bytes]:
        """Give what is to be sent as it is: real-time messages, one by one, or one message of another kind."""
        if body and all(byte >= 0xF8 for byte in body):
            return [bytes([byte]) for byte in body]
        try:
            check_message(body)
        except InvalidValueError as error:
            raise self._wrong(f"an escape: {error.message}") from error
        return [body]

    def _tempo(self, body: bytes) -> int:
        tempo = int.from_bytes(body, "big")
        if len(body) != 3 or not tempo:
            raise self._wrong(f"a tempo of {tempo} microseconds in {len(body)} bytes: it must be above 0, in 3")
        return tempo

    def _number(self) -> int:
        """Read a number of variable length."""
        number = 0
        for _ in range(_MAX_NUMBER_BYTES):
            byte = self._take(1)[0]
            number = number << 7 | byte & 0x7F
            if byte < 0x80:
                return number
        raise self._wrong(f"a number of more than {_MAX_NUMBER_BYTES} bytes")

    def _take(self, length: int) -> bytes:
        if self._at + length > self._end:
            raise self._wrong(f"the track ends within an event, {self._at + length - self._end} bytes too early")
        self._at += length
        return self._data[self._at - length : self._at]

    def _wrong(self, what: str) -> InvalidValueError:
        return InvalidValueError(f"not a sound MIDI file, before byte {self._at}: {what}", offset=self._at)
