"""Samples as they lie in a chunk: little-endian, frames interleaved, without a header."""

from typing import TYPE_CHECKING

from jackcapture.model.streams import AudioFormat, SampleFormat

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def decode_samples(data: bytes, audio: AudioFormat) -> "npt.NDArray[np.float32]":
    """Give the samples of whole frames: float32, shape (frames, channels), full scale 1."""
    import numpy as np  # noqa: PLC0415 - the doors must not wait for it

    match audio.sample_format:
        case SampleFormat.F32:
            samples = np.frombuffer(data, "<f4").astype(np.float32)
        case SampleFormat.I16:
            samples = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(1 << 15)
        case SampleFormat.I24:
            upper = np.zeros((len(data) // 3, 4), np.uint8)
            upper[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            samples = (upper.view("<i4")[:, 0] >> 8).astype(np.float32) / np.float32(1 << 23)
    return samples.reshape(-1, audio.channels)
