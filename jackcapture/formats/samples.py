"""Samples as they lie in a chunk: little-endian, frames interleaved, without a header; and from one format to another.

What a sample becomes:

- float to integer: as the engine does it (`quantize` in rt_ring.c): times 2^23 or 2^15, to the nearest integer, from
  halfway to the even one, clipped at full scale; NaN becomes 0.
- integer to float: divided by 2^23 or 2^15, which float32 holds exactly.
- i16 to i24: times 256. i24 to i16: divided by 256, and so rounded and clipped as from float.
- f32 to f32: the same bytes, NaN and what is above full scale with them.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from jackcapture.errors import InvalidValueError
from jackcapture.model.streams import AudioFormat, SampleFormat

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

RAW_TYPE = "application/octet-stream"
"""The MIME type of samples without a header."""

Block = bytes | bytearray | memoryview
"""Contiguous bytes; blocks may end anywhere, also within a sample."""

_PIECE_SAMPLES = 1 << 16  # at once: what numpy makes in between stays in the processor's cache


def decode_samples(data: Block, audio: AudioFormat) -> "npt.NDArray[np.float32]":
    """Give the samples of whole frames: float32, shape (frames, channels), full scale 1."""
    import numpy as np  # noqa: PLC0415 - the doors must not wait for it

    if audio.sample_format is SampleFormat.F32:
        return np.frombuffer(data, "<f4").astype(np.float32).reshape(-1, audio.channels)
    full_scale = np.float32(1 << _bits(audio.sample_format) - 1)
    integers = decode_integers(data, audio.sample_format)
    return (integers.astype(np.float32) / full_scale).reshape(-1, audio.channels)


def decode_integers(data: Block, sample_format: SampleFormat) -> "npt.NDArray[np.int32]":
    """Give whole samples as integers: int32, shape (samples,); f32 becomes 24 bits, by the rules above."""
    import numpy as np  # noqa: PLC0415

    match sample_format:
        case SampleFormat.F32:
            return _quantize(np.frombuffer(data, "<f4"), SampleFormat.I24)
        case SampleFormat.I16:
            return np.frombuffer(data, "<i2").astype(np.int32)
        case SampleFormat.I24:
            upper = np.zeros((len(data) // 3, 4), np.uint8)
            upper[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            return upper.view("<i4")[:, 0].astype(np.int32) >> 8


def convert_samples(blocks: Iterable[Block], source: SampleFormat, target: SampleFormat) -> Iterator[bytes]:
    """Give the samples in another format, block by block, by the rules above; memory does not grow with their number.

    Raises `InvalidValueError` if the blocks end within a sample.
    """
    for piece in whole_samples(blocks, source.sample_bytes):
        yield piece.tobytes() if source is target else _convert(piece, source, target)


def whole_samples(blocks: Iterable[Block], unit_bytes: int) -> Iterator[memoryview]:
    """Give the same bytes in pieces of some 2^16 samples at most, each a multiple of `unit_bytes`: a sample or a frame.

    A piece is valid until the next is asked for. Raises `InvalidValueError` if the blocks end within a unit.
    """
    step = max(1, _PIECE_SAMPLES * 4 // unit_bytes) * unit_bytes
    rest = b""
    for block in blocks:
        view = memoryview(block).cast("B")
        if rest:
            missing = unit_bytes - len(rest)
            rest, view = rest + bytes(view[:missing]), view[missing:]
            if len(rest) < unit_bytes:
                continue
            yield memoryview(rest)
        end = len(view) // unit_bytes * unit_bytes
        for at in range(0, end, step):
            yield view[at : min(at + step, end)]
        rest = bytes(view[end:])
    if rest:
        raise InvalidValueError(
            f"the samples end {len(rest)} bytes after a whole one of {unit_bytes} bytes: they must be a multiple of it"
        )


def _bits(sample_format: SampleFormat) -> int:
    return 8 * sample_format.sample_bytes


def _convert(piece: memoryview, source: SampleFormat, target: SampleFormat) -> bytes:
    import numpy as np  # noqa: PLC0415

    if target is SampleFormat.F32:
        return decode_samples(piece, AudioFormat(1, 1, source)).astype("<f4").tobytes()
    if source is SampleFormat.F32:
        return _pack(_quantize(np.frombuffer(piece, "<f4"), target), target)
    integers = decode_integers(piece, source)
    if target is SampleFormat.I24:
        return _pack(integers << 8, target)
    # To the nearest, from halfway to the even one: 127 and the lowest bit that stays, before the rest is cut off.
    nearest = (integers + 127 + (integers >> 8 & 1)) >> 8
    return _pack(np.minimum(nearest, 0x7FFF), target)


def _quantize(samples: "npt.NDArray[Any]", target: SampleFormat) -> "npt.NDArray[np.int32]":
    import numpy as np  # noqa: PLC0415

    full_scale = float(1 << _bits(target) - 1)
    with np.errstate(invalid="ignore"):  # what a signalling NaN is warned of
        values = samples.astype(np.float64)
    values *= full_scale
    np.rint(values, out=values)
    np.clip(values, -full_scale, full_scale - 1, out=values)
    values[np.isnan(values)] = 0
    return values.astype(np.int32)


def _pack(integers: "npt.NDArray[np.int32]", target: SampleFormat) -> bytes:
    import numpy as np  # noqa: PLC0415

    if target is SampleFormat.I16:
        return integers.astype("<i2").tobytes()
    return integers.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
