"""Peaks as web players and editors read them: the data files of audiowaveform, version 2, binary and JSON.

Source: BBC, audiowaveform, doc/DataFormat.md, "Waveform data file format". All values are little-endian. A header of
24 bytes: int32 version (2), uint32 flags (bit 0 set: 8 bits a value, else 16), int32 sample rate in Hz, int32 samples
per pixel, uint32 length in points, int32 channels. Then point after point, in each channel after channel, min and max.
The JSON says the same.

Full scale 1 is 128 of 8 bits and 32768 of 16, as in the samples of an integer format, which 16 bits hold as they are.
A value is rounded to the nearest (half: to the even one) and cut to what the bits can say: -128 to 127, or -32768 to
32767; so is infinity, and all that lies beyond full scale.
"""

import json
import struct
from typing import TYPE_CHECKING, Any

from jackcapture.errors import InvalidValueError
from jackcapture.formats.overview import MAX, MIN

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from jackcapture.formats.overview import Blocks

PEAK_BITS = (8, 16)

_VERSION = 2
_EIGHT_BITS = 1
_MOST = (1 << 31) - 1  # of an int32


def peaks_dat(points: "Blocks", *, sample_rate: int, frames_per_point: int, bits: int = 8) -> bytes:
    """Give the binary file of points, shape (points, channels, 3): min, max, RMS; full scale is 1; NaN is not allowed.

    The file has no RMS. Raises `InvalidValueError` for what it cannot say.
    """
    _check(sample_rate, frames_per_point, bits)
    length, channels = points.shape[:2]
    flags = _EIGHT_BITS if bits == 8 else 0
    header = struct.pack("<iIiiIi", _VERSION, flags, sample_rate, frames_per_point, length, channels)
    return header + _whole_numbers(points, bits).tobytes()


def peaks_json(points: "Blocks", *, sample_rate: int, frames_per_point: int, bits: int = 8) -> bytes:
    """Give the JSON file of points; arguments and errors are those of `peaks_dat`."""
    _check(sample_rate, frames_per_point, bits)
    length, channels = points.shape[:2]
    document = {
        "version": _VERSION,
        "channels": channels,
        "sample_rate": sample_rate,
        "samples_per_pixel": frames_per_point,
        "bits": bits,
        "length": length,
        "data": _whole_numbers(points, bits).ravel().tolist(),
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _whole_numbers(points: "Blocks", bits: int) -> "npt.NDArray[np.signedinteger[Any]]":
    """Give min and max as numbers of the format, shape (points, channels, 2)."""
    import numpy as np  # noqa: PLC0415 - the doors must not wait for it

    full = 1 << (bits - 1)
    rounded = np.clip(np.rint(points[..., [MIN, MAX]] * float(full)), -full, full - 1)
    numbers: npt.NDArray[np.signedinteger[Any]] = rounded.astype("<i1" if bits == 8 else "<i2")
    return numbers


def _check(sample_rate: int, frames_per_point: int, bits: int) -> None:
    if bits not in PEAK_BITS:
        raise InvalidValueError(f"{bits} bits: a value of a peaks file has 8 or 16", bits=bits)
    for value, what in ((sample_rate, "Hz"), (frames_per_point, "frames per point")):
        if not 1 <= value <= _MOST:
            raise InvalidValueError(f"{value} {what}: a peaks file can say 1 to {_MOST}", value=value)
