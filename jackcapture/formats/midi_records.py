"""The records of a MIDI stream, as they lie in chunks and raw slices: `u64 sample position, u32 length, bytes`.

Little-endian, in the order of their positions, without a header (docs/store.md).
"""

import struct
from collections.abc import Iterator

from jackcapture.errors import StorageDamagedError

MIDI_RECORDS_TYPE = "application/vnd.jackcapture.midi-records"

HEAD = struct.Struct("<QI")

MidiRecord = tuple[int, bytes]
"""A sample position and the bytes of one event."""


def iterate_records(data: memoryview | bytes) -> Iterator[MidiRecord]:
    """Give all records; raises `StorageDamagedError` where they do not fill `data`."""
    for at, position, length in _heads(data):
        yield position, bytes(data[at + HEAD.size : at + HEAD.size + length])


def find_record(data: memoryview | bytes, position: int) -> int:
    """Give the offset of the first record at a sample position or after it: the length of `data` if there is none."""
    return next((at for at, found, _ in _heads(data) if found >= position), len(data))


def count_records(data: memoryview | bytes) -> int:
    """Count the records."""
    return sum(1 for _ in _heads(data))


def _heads(data: memoryview | bytes) -> Iterator[tuple[int, int, int]]:
    """Give (offset, sample position, length) of each record."""
    at = 0
    while at < len(data):
        position, length = HEAD.unpack_from(data, at) if at + HEAD.size <= len(data) else (0, len(data))
        if at + HEAD.size + length > len(data):
            raise StorageDamagedError(
                f"MIDI records end within the record at byte {at} of {len(data)}", offset=at, bytes=len(data)
            )
        yield at, position, length
        at += HEAD.size + length
