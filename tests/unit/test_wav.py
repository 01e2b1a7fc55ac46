"""WAV headers: read back by a parser of our own, by libsndfile and by sox."""

import io
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from jackcapture.errors import InvalidValueError
from jackcapture.formats.wav import is_rf64, wav_header, wav_padding
from jackcapture.model.streams import AudioFormat, SampleFormat

MONO = AudioFormat(48000, 1)
GIB4 = 1 << 32


@dataclass
class Parsed:
    """What a header says, and where its samples begin."""

    form: bytes
    riff_size: int
    chunks: dict[bytes, bytes]
    order: list[bytes]
    data_bytes: int
    data_at: int


def parse(header: bytes) -> Parsed:
    """Read a header up to `data`, by the RIFF rules alone."""
    form, riff_size, wave = struct.unpack_from("<4sI4s", header)
    assert wave == b"WAVE"
    chunks: dict[bytes, bytes] = {}
    order: list[bytes] = []
    at = 12
    while True:
        name, size = struct.unpack_from("<4sI", header, at)
        at += 8
        if name == b"data":
            return Parsed(form, riff_size, chunks, order, size, at)
        assert size % 2 == 0
        chunks[name] = header[at : at + size]
        order.append(name)
        at += size


audio_formats = st.builds(
    AudioFormat, st.integers(1, 768_000), st.integers(1, 1024), st.sampled_from(list(SampleFormat))
)
FMT = struct.Struct("<HHIIHH")


@given(audio_formats, st.integers(0, 2**40))
def test_the_header_says_what_the_file_holds(audio: AudioFormat, frames: int) -> None:
    header = wav_header(audio, frames)
    found = parse(header)
    assert found.data_at == len(header)
    file_bytes = len(header) + frames * audio.frame_bytes + len(wav_padding(audio, frames))
    assert file_bytes % 2 == 0

    is_float = audio.sample_format is SampleFormat.F32
    tag, channels, rate, byte_rate, align, bits = FMT.unpack_from(found.chunks[b"fmt "])
    assert (tag, channels, rate) == (3 if is_float else 1, audio.channels, audio.sample_rate)
    assert (byte_rate, align) == (audio.byte_rate, audio.frame_bytes)
    assert bits == {"f32": 32, "i24": 24, "i16": 16}[audio.sample_format]
    assert found.chunks[b"fmt "][FMT.size :] == (b"\0\0" if is_float else b"")
    assert (b"fact" in found.chunks) == is_float

    names = [b"fmt ", b"fact"] if is_float else [b"fmt "]
    if is_rf64(audio, frames):
        assert found.form == b"RF64"
        assert found.order == [b"ds64", *names]
        assert struct.unpack("<QQQI", found.chunks[b"ds64"]) == (
            file_bytes - 8,
            frames * audio.frame_bytes,
            frames,
            0,
        )
        assert found.riff_size == found.data_bytes == 0xFFFFFFFF
        assert found.chunks.get(b"fact", b"\xff" * 4) == b"\xff" * 4
        assert file_bytes - 8 - 36 > 0xFFFFFFFF
    else:
        assert found.form == b"RIFF"
        assert found.order == names
        assert (found.riff_size, found.data_bytes) == (file_bytes - 8, frames * audio.frame_bytes)
        assert found.chunks.get(b"fact", struct.pack("<I", frames)) == struct.pack("<I", frames)


# The last number of frames that fits RIFF, worked out by hand: 0xFFFFFFFF less "WAVE" (4), fmt (8 + 18 or
# 8 + 16), fact (8 + 4, floats only) and data's head (8), less the pad byte where the data are odd.
@pytest.mark.parametrize(
    ("sample_format", "channels", "last_riff"),
    [
        (SampleFormat.F32, 1, (0xFFFFFFFF - 50) // 4),
        (SampleFormat.F32, 32, (0xFFFFFFFF - 50) // 128),
        (SampleFormat.I16, 1, (0xFFFFFFFF - 36) // 2),
        (SampleFormat.I16, 5, (0xFFFFFFFF - 36) // 10),
        (SampleFormat.I24, 1, (0xFFFFFFFF - 36) // 3),
        (SampleFormat.I24, 7, (0xFFFFFFFF - 36) // 21),
    ],
)
def test_rf64_begins_exactly_where_riff_ends(sample_format: SampleFormat, channels: int, last_riff: int) -> None:
    audio = AudioFormat(48000, channels, sample_format)
    if (last_riff * audio.frame_bytes) % 2 and last_riff * audio.frame_bytes + 36 == 0xFFFFFFFF:
        last_riff -= 1  # the pad byte is the one too many
    assert not is_rf64(audio, last_riff)
    assert is_rf64(audio, last_riff + 1)
    assert wav_header(audio, last_riff)[:4] == b"RIFF"
    assert wav_header(audio, last_riff + 1)[:4] == b"RF64"
    assert parse(wav_header(audio, last_riff)).riff_size > 0xFFFFFFFF - audio.frame_bytes - 1


def test_the_pad_byte_counts_at_the_boundary() -> None:
    audio = AudioFormat(48000, 1, SampleFormat.I24)
    frames = (0xFFFFFFFF - 36) // 3
    assert 36 + 3 * frames == 0xFFFFFFFF  # fits without the pad byte, which the odd data need
    assert wav_padding(audio, frames) == b"\0"
    assert is_rf64(audio, frames)
    assert not is_rf64(audio, frames - 1)


@pytest.mark.parametrize("frames", [-1, -(2**70), 2**64, 2**62])
def test_frames_that_no_file_can_hold_are_refused(frames: int) -> None:
    for function in (wav_header, is_rf64):
        with pytest.raises(InvalidValueError, match=f"{frames} frames"):
            function(MONO, frames)


def test_golden_bytes() -> None:
    assert wav_header(AudioFormat(48000, 2, SampleFormat.F32), 3).hex(" ", -4) == (
        "52494646 4a000000 57415645 666d7420 12000000 03000200 80bb0000 00dc0500 08002000 00006661 63740400 "
        "00000300 00006461 74611800 0000"
    )
    assert wav_header(AudioFormat(44100, 1, SampleFormat.I24), 1).hex(" ", -4) == (
        "52494646 28000000 57415645 666d7420 10000000 01000100 44ac0000 cc040200 03001800 64617461 03000000"
    )
    assert wav_header(AudioFormat(48000, 2, SampleFormat.I16), 2**31).hex(" ", -4) == (
        "52463634 ffffffff 57415645 64733634 1c000000 48000000 02000000 00000000 02000000 00000080 00000000 "
        "00000000 666d7420 10000000 01000200 80bb0000 00ee0200 04001000 64617461 ffffffff"
    )


def samples(audio: AudioFormat, frames: int, seed: int) -> tuple[bytes, Any, str]:
    """Make random samples: their bytes in the file, and as what and which dtype soundfile must give them."""
    random = np.random.default_rng(seed)
    shape = (frames, audio.channels)
    if audio.sample_format is SampleFormat.F32:
        values = random.uniform(-4, 4, shape).astype("<f4")
        return values.tobytes(), values, "float32"
    if audio.sample_format is SampleFormat.I16:
        integers = random.integers(-(2**15), 2**15, shape).astype("<i2")
        return integers.tobytes(), integers, "int16"
    integers = random.integers(-(2**23), 2**23, shape).astype("<i4")
    low_three = integers.reshape(-1, 1).view(np.uint8)[:, :3]
    return low_three.tobytes(), integers * 256, "int32"


SUBTYPES = {"f32": "FLOAT", "i24": "PCM_24", "i16": "PCM_16"}


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(list(SampleFormat)),
    st.integers(1, 32),
    st.integers(0, 2000),
    st.sampled_from([8000, 44100, 48000, 96000, 192000]),
    st.integers(0, 2**32),
)
def test_libsndfile_reads_every_sample_back(
    sample_format: SampleFormat, channels: int, frames: int, rate: int, seed: int
) -> None:
    audio = AudioFormat(rate, channels, sample_format)
    data, expected, dtype = samples(audio, frames, seed)
    file = io.BytesIO(wav_header(audio, frames) + data + wav_padding(audio, frames))
    with soundfile.SoundFile(file) as sound:
        assert (sound.format, sound.subtype) == ("WAV", SUBTYPES[sample_format])
        assert (sound.samplerate, sound.channels, sound.frames) == (rate, channels, frames)
        assert np.array_equal(sound.read(dtype=dtype, always_2d=True), expected)


@pytest.mark.skipif(shutil.which("soxi") is None, reason="needs sox")
@pytest.mark.parametrize("sample_format", list(SampleFormat))
@pytest.mark.parametrize(("channels", "frames"), [(1, 1), (1, 999), (2, 1000), (5, 333), (32, 17)])
def test_sox_reads_every_sample_back(tmp_path: Path, sample_format: SampleFormat, channels: int, frames: int) -> None:
    audio = AudioFormat(48000, channels, sample_format)
    data, _, _ = samples(audio, frames, seed=1)
    if sample_format is SampleFormat.F32:
        # sox reckons in 32-bit integers: full scale and 24 bits go through exactly
        whole = (np.frombuffer(data, "<f4") / 4 * 2**23).round().clip(-(2**23), 2**23 - 1)
        data = (whole / 2**23).astype("<f4").tobytes()
    path = tmp_path / "file.wav"
    path.write_bytes(wav_header(audio, frames) + data + wav_padding(audio, frames))

    def soxi(option: str) -> str:
        return subprocess.run(["soxi", option, path], check=True, capture_output=True, text=True).stdout.strip()

    assert (soxi("-r"), soxi("-c"), soxi("-s")) == ("48000", str(channels), str(frames))
    encoding = {"f32": ("Floating Point PCM", "32"), "i24": ("Signed Integer PCM", "24")}
    assert (soxi("-e"), soxi("-b")) == encoding.get(sample_format, ("Signed Integer PCM", "16"))
    raw = subprocess.run(["sox", "-D", path, "-t", "raw", "-"], check=True, capture_output=True)
    assert raw.stdout == data
    assert raw.stderr == b""


def sparse_wav(path: Path, audio: AudioFormat, frames: int) -> None:
    """Write a file of silence with 0.5 in each channel of the last frame, a hole for all but the ends."""
    header = wav_header(audio, frames)
    last = {"f32": struct.pack("<f", 0.5), "i24": b"\0\0\x40", "i16": b"\0\x40"}[audio.sample_format]
    with path.open("wb") as file:
        file.write(header)
        file.seek(len(header) + (frames - 1) * audio.frame_bytes)
        file.write(last * audio.channels + wav_padding(audio, frames))


@pytest.mark.parametrize("sample_format", list(SampleFormat))
@pytest.mark.parametrize("channels", [1, 7])
@pytest.mark.parametrize("extra_frames", [0, 1, 12345])
def test_libsndfile_reads_both_sides_of_4_gib(
    tmp_path: Path, sample_format: SampleFormat, channels: int, extra_frames: int
) -> None:
    audio = AudioFormat(48000, channels, sample_format)
    low, high = 0, GIB4
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_rf64(audio, middle) else (middle, high)
    frames = low + extra_frames
    path = tmp_path / "long.wav"
    sparse_wav(path, audio, frames)
    assert path.stat().st_size > GIB4 - audio.frame_bytes
    with soundfile.SoundFile(path) as sound:
        assert sound.format == ("RF64" if extra_frames else "WAV")
        assert (sound.frames, sound.channels, sound.samplerate) == (frames, channels, 48000)
        sound.seek(frames - 2)
        assert sound.read(always_2d=True).tolist() == [[0.0] * channels, [0.5] * channels]
