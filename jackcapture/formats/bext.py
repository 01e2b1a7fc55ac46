"""WAV files that say where and when they were recorded: the header of a Broadcast Wave file, with a `bext` chunk.

The header always has BROADCAST_HEADER_BYTES, whatever it says and however long the file is, RIFF or RF64: a row of
RIFF chunks before `data`, filled up by a JUNK chunk, so that the first sample lies at the beginning of a page.
docs/formats.md has its layout, byte for byte. The same values give the same bytes.

Sources: EBU Tech 3285 version 2 (2011) for `bext`; EBU R 98 (1999) for the coding history; EBU Tech 3306 (2007) for
RF64; Microsoft, "Multiple Channel Audio Data and WAVE Files" (2001) for WAVE_FORMAT_EXTENSIBLE.
"""

import datetime
import re
import struct
from dataclasses import dataclass

from jackcapture.errors import InvalidValueError
from jackcapture.formats.wav import (
    DS64_BYTES,
    MAX_U32,
    MAX_U64,
    RIFF_CHUNK_HEAD_BYTES,
    SEE_DS64,
    TAG_IEEE_FLOAT,
    TAG_PCM,
    ds64_chunk,
    fact_chunk,
    is_float,
    riff_chunk,
)
from jackcapture.model.streams import AudioFormat

BROADCAST_HEADER_BYTES = 4096
"""A page, and the block of the file systems that can share blocks between files (reflinks)."""

MAX_CODING_HISTORY_BYTES = 3072  # what fits into the header, with room to spare

_TAG_EXTENSIBLE = 0xFFFE
_SUBFORMAT = bytes.fromhex("000000001000800000aa00389b71")  # what follows the tag in Microsoft's GUIDs of formats
_NO_SPEAKERS = 0  # the channels of a patchbay have no speaker positions
_VERSION = 2
_NO_LOUDNESS = 0x7FFF  # "not given", in each of the five fields
_BEXT = struct.Struct("<256s32s32s10s8sQH64s5h180s")
_NS = 1_000_000_000
_DAY_NS = 86_400 * _NS


@dataclass(frozen=True, slots=True)
class Broadcast:
    """What a `bext` chunk says.

    Text may be any; what is written of it is ASCII, with a question mark in place of each other character, and cut to
    its field: 256, 32 and 32 bytes, and the coding history to whole lines of at most MAX_CODING_HISTORY_BYTES.
    `originated_at_ns` is the moment of the first frame, in ns since the Unix epoch: date and time are written in UTC,
    to the second below, or left empty for None. `time_reference` is the first frame's number since midnight, see
    `samples_since_midnight`. Raises `InvalidValueError` for a moment or a number that the fields cannot hold.
    """

    description: str = ""
    originator: str = "jackcapture"
    originator_reference: str = ""
    originated_at_ns: int | None = None
    time_reference: int = 0
    coding_history: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.time_reference <= MAX_U64:
            raise InvalidValueError(
                f"a time reference of {self.time_reference} samples: it must be 0 to 2^64 - 1",
                time_reference=self.time_reference,
            )
        _date_and_time(self.originated_at_ns)


def samples_since_midnight(ns: int, sample_rate: int) -> int:
    """Give the number of the sample at a moment (ns since the Unix epoch), counted from midnight, UTC; rounded down."""
    return ns % _DAY_NS * sample_rate // _NS


def coding_history_line(audio: AudioFormat, text: str) -> str:
    """Give the line of a coding history, as of R 98, for what these samples went through, `text` telling it."""
    mode = {1: ",M=mono", 2: ",M=stereo"}.get(audio.channels, "")  # there is no word for more
    words = re.sub(r"[,\s]+", " ", f"IEEE float; {text}" if is_float(audio) else text)
    bits = 8 * audio.sample_format.sample_bytes
    return f"A=PCM,F={audio.sample_rate},W={bits}{mode},T={words}\r\n"


def is_broadcast_rf64(audio: AudioFormat, frames: int) -> bool:
    """Tell whether a file of so many frames must be RF64; raises `InvalidValueError` as `broadcast_header` does."""
    return _riff_size(audio, frames) > MAX_U32


def broadcast_header(audio: AudioFormat, frames: int, broadcast: Broadcast) -> bytes:
    """Give the BROADCAST_HEADER_BYTES before the samples of a Broadcast Wave file with `frames` frames.

    After it come the samples (little-endian, frames interleaved) and `wav_padding`. Raises `InvalidValueError` if
    `frames` is negative or more than RF64 can hold.
    """
    riff_size = _riff_size(audio, frames)
    data_bytes = frames * audio.frame_bytes
    chunks = riff_chunk(b"bext", _bext(broadcast)) + _fmt(audio)
    if riff_size <= MAX_U32:
        # Tech 3306 has the room for ds64 reserved so; here it keeps all offsets the same.
        begin = struct.pack("<4sI4s", b"RIFF", riff_size, b"WAVE") + _junk(DS64_BYTES)
        chunks += fact_chunk(audio, frames)
        data = struct.pack("<4sI", b"data", data_bytes)
    else:
        begin = struct.pack("<4sI4s", b"RF64", SEE_DS64, b"WAVE") + ds64_chunk(riff_size, data_bytes, frames)
        chunks += fact_chunk(audio, SEE_DS64)
        data = struct.pack("<4sI", b"data", SEE_DS64)
    return begin + chunks + _junk(BROADCAST_HEADER_BYTES - len(begin) - len(chunks) - len(data)) + data


def _riff_size(audio: AudioFormat, frames: int) -> int:
    """Bytes after the RIFF size."""
    if frames < 0:
        raise InvalidValueError(f"{frames} frames: a WAV file has 0 or more", frames=frames)
    data_bytes = frames * audio.frame_bytes
    size = BROADCAST_HEADER_BYTES - RIFF_CHUNK_HEAD_BYTES + data_bytes + data_bytes % 2
    if size > MAX_U64:
        raise InvalidValueError(f"{frames} frames: more than an RF64 file can hold", frames=frames)
    return size


def _junk(whole_bytes: int) -> bytes:
    return riff_chunk(b"JUNK", bytes(whole_bytes - RIFF_CHUNK_HEAD_BYTES))


def _fmt(audio: AudioFormat) -> bytes:
    bits = 8 * audio.sample_format.sample_bytes
    tag = TAG_IEEE_FLOAT if is_float(audio) else TAG_PCM
    # A float file must show its tag, which the extension would hide; readers take it for any number of channels.
    is_extensible = tag == TAG_PCM and (audio.channels > 2 or bits > 16)
    body = struct.pack(
        "<HHIIHH",
        _TAG_EXTENSIBLE if is_extensible else tag,
        audio.channels,
        audio.sample_rate,
        audio.byte_rate,
        audio.frame_bytes,
        bits,
    )
    if is_extensible:
        extension = struct.pack("<HIH14s", bits, _NO_SPEAKERS, tag, _SUBFORMAT)
        body += struct.pack("<H", len(extension)) + extension
    elif tag != TAG_PCM:
        body += struct.pack("<H", 0)  # no extension follows
    return riff_chunk(b"fmt ", body)


def _bext(broadcast: Broadcast) -> bytes:
    date, time = _date_and_time(broadcast.originated_at_ns)
    return _BEXT.pack(
        _ascii(broadcast.description)[:256],
        _ascii(broadcast.originator)[:32],
        _ascii(broadcast.originator_reference)[:32],
        date,
        time,
        broadcast.time_reference,
        _VERSION,
        bytes(64),  # no UMID
        *[_NO_LOUDNESS] * 5,
        bytes(180),
    ) + _coding_history(broadcast.coding_history)


def _date_and_time(ns: int | None) -> tuple[bytes, bytes]:
    if ns is None:
        return b"", b""
    try:
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=ns // _NS)
    except OverflowError:
        raise InvalidValueError(
            f"{ns} ns since 1970 is no moment that a date can name: it must lie in the years 1 to 9999", ns=ns
        ) from None
    return moment.date().isoformat().encode(), moment.time().isoformat().encode()


def _ascii(text: str) -> bytes:
    """Give the text, one byte a character: what is not printable ASCII becomes a question mark."""
    return re.sub(r"[^ -~]", "?", text).encode("ascii")


def _coding_history(text: str) -> bytes:
    history = b""
    for line in text.splitlines():
        ended = _ascii(line)[: MAX_CODING_HISTORY_BYTES - 2] + b"\r\n"
        if len(history) + len(ended) > MAX_CODING_HISTORY_BYTES:
            break
        history += ended
    return history + bytes(len(history) % 2)  # libsndfile loses its way in RF64 after a RIFF chunk of an odd size
