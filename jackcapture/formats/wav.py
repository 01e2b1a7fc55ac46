"""WAV files: the bytes before and after the samples, which lie in the store just as a WAV file holds them.

Sources: IBM and Microsoft, "Multimedia Programming Interface and Data Specifications 1.0" (1991) for RIFF and
WAVE; Microsoft, "New Multimedia Data Types and Data Techniques" (1994) for IEEE float and `fact`; EBU Tech
3306-2007, "RF64: An Extended File Format for Audio", section 3.4 and annex A for RF64 and `ds64`.
"""

import struct

from jackcapture.errors import InvalidValueError
from jackcapture.model.streams import AudioFormat, SampleFormat

TAG_PCM = 1
TAG_IEEE_FLOAT = 3
MAX_U32 = 0xFFFFFFFF
MAX_U64 = 0xFFFFFFFFFFFFFFFF
SEE_DS64 = MAX_U32  # in a 32-bit size of an RF64 file: the real one is in ds64
RIFF_CHUNK_HEAD_BYTES = 8
DS64_BYTES = RIFF_CHUNK_HEAD_BYTES + 28


def riff_chunk(name: bytes, body: bytes) -> bytes:
    """Give a RIFF chunk; the body must have an even number of bytes."""
    return name + struct.pack("<I", len(body)) + body


def is_float(audio: AudioFormat) -> bool:
    """Tell whether the samples are IEEE float."""
    return audio.sample_format is SampleFormat.F32


def _fmt(audio: AudioFormat) -> bytes:
    # The plain tags stand for any number of channels, and every reader accepts them. WAVE_FORMAT_EXTENSIBLE,
    # which Microsoft asks for above two channels, would add speaker positions, which channels of a patchbay
    # do not have, and would hide the IEEE-float tag, which a float WAV file must carry.
    tag = TAG_IEEE_FLOAT if is_float(audio) else TAG_PCM
    body = struct.pack(
        "<HHIIHH",
        tag,
        audio.channels,
        audio.sample_rate,
        audio.byte_rate,
        audio.frame_bytes,
        8 * audio.sample_format.sample_bytes,
    )
    if tag != TAG_PCM:
        body += struct.pack("<H", 0)  # cbSize: no extension follows
    return riff_chunk(b"fmt ", body)


def fact_chunk(audio: AudioFormat, frames: int) -> bytes:
    """Give the frame count again, which a file that is not PCM must carry."""
    return riff_chunk(b"fact", struct.pack("<I", frames)) if is_float(audio) else b""


def ds64_chunk(riff_size: int, data_bytes: int, frames: int) -> bytes:
    """Give the sizes in 64 bits, and a table of other long RIFF chunks, which is empty."""
    return riff_chunk(b"ds64", struct.pack("<QQQI", riff_size, data_bytes, frames, 0))


def _riff_size(audio: AudioFormat, frames: int) -> int:
    """Bytes after the first RIFF size, in a file without ds64; raises `InvalidValueError`."""
    if frames < 0:
        raise InvalidValueError(f"{frames} frames: a WAV file has 0 or more", frames=frames)
    data_bytes = frames * audio.frame_bytes
    before_data = len(b"WAVE") + len(_fmt(audio)) + len(fact_chunk(audio, 0)) + RIFF_CHUNK_HEAD_BYTES
    size = before_data + data_bytes + data_bytes % 2
    if size + DS64_BYTES > MAX_U64:
        raise InvalidValueError(f"{frames} frames: more than an RF64 file can hold", frames=frames)
    return size


def is_rf64(audio: AudioFormat, frames: int) -> bool:
    """Tell whether a WAV file of so many frames must be RF64: its sizes would not fit in 32 bits.

    Sizes are even, so the greatest RIFF size is 0xFFFFFFFE, and 0xFFFFFFFF stays free for RF64's own use.
    Raises `InvalidValueError` if `frames` is negative or more than RF64 can hold.
    """
    return _riff_size(audio, frames) > MAX_U32


def wav_header(audio: AudioFormat, frames: int) -> bytes:
    """Give the bytes that stand before the samples of a WAV file with `frames` frames.

    IEEE float (tag 3, with `fact`) for f32, PCM (tag 1) for i24 and i16; RF64 where `is_rf64`. After it come
    the samples (little-endian, frames interleaved) and `wav_padding`. Raises `InvalidValueError` if `frames`
    is negative or more than RF64 can hold.
    """
    riff_size = _riff_size(audio, frames)
    data_bytes = frames * audio.frame_bytes
    if riff_size <= MAX_U32:
        return (
            struct.pack("<4sI4s", b"RIFF", riff_size, b"WAVE")
            + _fmt(audio)
            + fact_chunk(audio, frames)
            + struct.pack("<4sI", b"data", data_bytes)
        )
    return (
        struct.pack("<4sI4s", b"RF64", SEE_DS64, b"WAVE")
        + ds64_chunk(riff_size + DS64_BYTES, data_bytes, frames)
        + _fmt(audio)
        + fact_chunk(audio, SEE_DS64)
        + struct.pack("<4sI", b"data", SEE_DS64)
    )


def wav_padding(audio: AudioFormat, frames: int) -> bytes:
    """Give the bytes that stand after the samples: one where they take an odd number of bytes, else none."""
    return bytes(frames * audio.frame_bytes % 2)
