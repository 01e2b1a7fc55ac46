"""Peaks files: their bytes, as audiowaveform's document lays them out."""

import json
import struct

import numpy as np
import pytest

from jackcapture.errors import InvalidValueError
from jackcapture.formats.peaks import peaks_dat, peaks_json

# Two points of two channels: min, max, RMS.
POINTS = np.array([[[-0.5, 0.25, 0.1], [-1.0, 1.0, 0.9]], [[0.0, 0.0, 0.0], [-7.5, np.inf, 1.0]]])

EIGHT = bytes.fromhex(
    "02000000 01000000 80bb0000 00020000 02000000 02000000"  # version, flags, rate, samples per pixel, length, channels
    "c0 20 80 7f"
    "00 00 80 7f"
)
SIXTEEN = bytes.fromhex(
    "02000000 00000000 80bb0000 00020000 02000000 02000000"
    "00c0 0020 0080 ff7f"
    "0000 0000 0080 ff7f"
)  # fmt: skip


def test_the_bytes_of_a_file_are_these() -> None:
    assert peaks_dat(POINTS, sample_rate=48000, frames_per_point=512) == EIGHT
    assert peaks_dat(POINTS, sample_rate=48000, frames_per_point=512, bits=16) == SIXTEEN


@pytest.mark.parametrize(("bits", "data"), [(8, [-64, 32, -128, 127]), (16, [-16384, 8192, -32768, 32767])])
def test_json_says_the_same(bits: int, data: list[int]) -> None:
    full = data[2:]
    assert json.loads(peaks_json(POINTS, sample_rate=48000, frames_per_point=512, bits=bits)) == {
        "version": 2,
        "channels": 2,
        "sample_rate": 48000,
        "samples_per_pixel": 512,
        "bits": bits,
        "length": 2,
        "data": [*data, 0, 0, *full],
    }


def test_every_sample_of_16_bits_is_itself() -> None:
    samples = np.arange(-32768, 32768)
    points = np.repeat(samples[:, np.newaxis, np.newaxis] / 32768, 3, axis=2)
    data = peaks_dat(points, sample_rate=48000, frames_per_point=1, bits=16)
    assert struct.unpack_from("<I", data, 16) == (65536,)
    np.testing.assert_array_equal(np.frombuffer(data, "<i2", offset=24).reshape(-1, 2), np.stack([samples] * 2, 1))


def test_a_value_is_rounded_to_the_nearest() -> None:
    points = np.array(
        [[[level / 128, level / 128, 0.0]] for level in (-1.5, -0.51, -0.5, 0.49, 0.5, 1.5, 126.6, 127.4)]
    )
    data = json.loads(peaks_json(points, sample_rate=48000, frames_per_point=1))["data"]
    assert data[::2] == [-2, -1, 0, 0, 0, 2, 127, 127]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"bits": 12}, "12 bits"), ({"frames_per_point": 1 << 31}, "2147483648 frames"), ({"sample_rate": 0}, "0 Hz")],
)
def test_what_a_file_cannot_say_is_refused(wrong: dict[str, int], said: str) -> None:
    arguments = {"sample_rate": 48000, "frames_per_point": 512} | wrong
    for write in (peaks_dat, peaks_json):
        with pytest.raises(InvalidValueError, match=said):
            write(POINTS, **arguments)
