"""WAV files: the bytes before and after the samples, which lie in the store just as a WAV file holds them.

Sources: IBM and Microsoft, "Multimedia Programming Interface and Data Specifications 1.0" (1991) for RIFF and
WAVE; Microsoft, "New Multimedia Data Types and Data Techniques" (1994) for IEEE float and `fact`; EBU Tech
3306-2007, "RF64: An Extended File Format for Audio", section 3.4 and annex A for RF64 and `ds64`.
"""

import struct

from jackcapture.errors import InvalidValueError
from jackcapture.model.streams import AudioFormat, SampleFormat

_TAG_PCM = 1
_TAG_IEEE_FLOAT = 3
_MAX_U32 = 0xFFFFFFFF
_MAX_U64 = 0xFFFFFFFFFFFFFFFF
_SEE_DS64 = _MAX_U32  # in a 32-bit size of an RF64 file: the real one is in ds64
_CHUNK_HEAD_BYTES = 8
_DS64_BYTES = _CHUNK_HEAD_BYTES + 28


def _riff_chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body


def _is_float(audio: AudioFormat) -> bool:
    return audio.sample_format is SampleFormat.F32


def _fmt(audio: AudioFormat) -> bytes:
    # The plain tags stand for any number of channels, and every reader accepts them. WAVE_FORMAT_EXTENSIBLE,
    # which Microsoft asks for above two channels, would add speaker positions, which channels of a patchbay
    # do not have, and would hide the IEEE-float tag, which a float WAV file must carry.
    tag = _TAG_IEEE_FLOAT if _is_float(audio) else _TAG_PCM
    body = struct.pack(
        "<HHIIHH",
        tag,
        audio.channels,
        audio.sample_rate,
        audio.byte_rate,
        audio.frame_bytes,
        8 * audio.sample_format.sample_bytes,
    )
    if tag != _TAG_PCM:
        body += struct.pack("<H", 0)  # cbSize: no extension follows
    return _riff_chunk(b"fmt ", body)


def _fact(audio: AudioFormat, frames: int) -> bytes:
    """Give the frame count again, which a file that is not PCM must carry."""
    return _riff_chunk(b"fact", struct.pack("<I", frames)) if _is_float(audio) else b""


def _riff_size(audio: AudioFormat, frames: int) -> int:
    """Bytes after the first RIFF size, in a file without ds64; raises `InvalidValueError`."""
    if frames < 0:
        raise InvalidValueError(f"{frames} frames: a WAV file has 0 or more", frames=frames)
    data_bytes = frames * audio.frame_bytes
    before_data = len(b"WAVE") + len(_fmt(audio)) + len(_fact(audio, 0)) + _CHUNK_HEAD_BYTES
    size = before_data + data_bytes + data_bytes % 2
    if size + _DS64_BYTES > _MAX_U64:
        raise InvalidValueError(f"{frames} frames: more than an RF64 file can hold", frames=frames)
    return size


def is_rf64(audio: AudioFormat, frames: int) -> bool:
    """Tell whether a WAV file of so many frames must be RF64: its sizes would not fit in 32 bits.

    Sizes are even, so the greatest RIFF size is 0xFFFFFFFE, and 0xFFFFFFFF stays free for RF64's own use.
    Raises `InvalidValueError` if `frames` is negative or more than RF64 can hold.
    """
    return _riff_size(audio, frames) > _MAX_U32


def wav_header(audio: AudioFormat, frames: int) -> bytes:
    """Give the bytes that stand before the samples of a WAV file with `frames` frames.

    IEEE float (tag 3, with `fact`) for f32, PCM (tag 1) for i24 and i16; RF64 where `is_rf64`. After it come
    the samples (little-endian, frames interleaved) and `wav_padding`. Raises `InvalidValueError` if `frames`
    is negative or more than RF64 can hold.
    """
    riff_size = _riff_size(audio, frames)
    data_bytes = frames * audio.frame_bytes
    if riff_size <= _MAX_U32:
        return (
            struct.pack("<4sI4s", b"RIFF", riff_size, b"WAVE")
            + _fmt(audio)
            + _fact(audio, frames)
            + struct.pack("<4sI", b"data", data_bytes)
        )
    # riffSize, dataSize, sampleCount in 64 bits; then the length of a table of other long RIFF chunks: none.
    ds64 = struct.pack("<QQQI", riff_size + _DS64_BYTES, data_bytes, frames, 0)
    return (
        struct.pack("<4sI4s", b"RF64", _SEE_DS64, b"WAVE")
        + _riff_chunk(b"ds64", ds64)
        + _fmt(audio)
        + _fact(audio, _SEE_DS64)
        + struct.pack("<4sI", b"data", _SEE_DS64)
    )


def wav_padding(audio: AudioFormat, frames: int) -> bytes:
    """Give the bytes that stand after the samples: one where they take an odd number of bytes, else none."""
    return bytes(frames * audio.frame_bytes % 2)
