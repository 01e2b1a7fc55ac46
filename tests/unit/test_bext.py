"""Broadcast Wave headers: read back by wavinfo, libsndfile, sox and, where it is there, ffprobe."""

import io
import json
import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from wavinfo import WavInfoReader

from jackcapture.errors import InvalidValueError
from jackcapture.formats.bext import (
    BROADCAST_HEADER_BYTES,
    MAX_CODING_HISTORY_BYTES,
    Broadcast,
    broadcast_header,
    coding_history_line,
    is_broadcast_rf64,
    samples_since_midnight,
)
from jackcapture.formats.wav import wav_padding
from jackcapture.model.streams import AudioFormat, SampleFormat
from parts.core_harness import as_stored

NS = 1_000_000_000
MOMENT = 1_790_000_123 * NS + 999_999_999  # 2026-09-21 14:15:23.999999999 UTC
AUDIO = AudioFormat(48000, 2)
BROADCAST = Broadcast(
    description="stream://studio/piano; session 'Träume'",
    originator="jackcapture",
    originator_reference="0f6e6a30c1d94c0f9f4a1d2a2b3c4d5e",
    originated_at_ns=MOMENT,
    time_reference=samples_since_midnight(MOMENT, 48000),
    coding_history=coding_history_line(AUDIO, "jackcapture, from JACK"),
)
FORMATS = [AudioFormat(48000, channels, kind) for kind in SampleFormat for channels in (1, 2, 16)]
SUBTYPES = {"f32": "FLOAT", "i24": "PCM_24", "i16": "PCM_16"}

audio_formats = st.builds(
    AudioFormat, st.integers(1, 768_000), st.integers(1, 1024), st.sampled_from(list(SampleFormat))
)
broadcasts = st.builds(
    Broadcast,
    description=st.text(max_size=300),
    originator=st.text(max_size=40),
    originator_reference=st.text(max_size=40),
    originated_at_ns=st.none() | st.integers(-2_000_000_000 * NS, 200_000_000_000 * NS),
    time_reference=st.integers(0, 2**64 - 1),
    coding_history=st.text(max_size=200) | st.text("x\n", max_size=4000),
)


def riff_chunks(header: bytes) -> list[tuple[bytes, int, bytes]]:
    """All RIFF chunks before the samples: name, offset of the body, body; `data` with an empty one."""
    found = []
    at = 12
    while at < len(header):
        name, size = struct.unpack_from("<4sI", header, at)
        assert name == b"data" or size % 2 == 0
        found.append((name, at + 8, b"" if name == b"data" else header[at + 8 : at + 8 + size]))
        at += 8 + (0 if name == b"data" else size)
    assert at == len(header)
    return found


@settings(max_examples=60)
@given(audio_formats, st.integers(0, 2**40), broadcasts)
def test_the_header_has_one_size_and_says_what_the_file_holds(
    audio: AudioFormat, frames: int, broadcast: Broadcast
) -> None:
    header = broadcast_header(audio, frames, broadcast)
    assert len(header) == BROADCAST_HEADER_BYTES == 4096
    assert header == broadcast_header(audio, frames, broadcast)
    found = riff_chunks(header)
    is_float = audio.sample_format is SampleFormat.F32
    is_rf64 = is_broadcast_rf64(audio, frames)
    names = [name for name, _, _ in found]
    assert names == [
        b"ds64" if is_rf64 else b"JUNK",
        b"bext",
        b"fmt ",
        *([b"fact"] if is_float else []),
        b"JUNK",
        b"data",
    ]
    bodies = {name: body for name, _, body in found if name != b"JUNK"}
    file_bytes = 4096 + frames * audio.frame_bytes + len(wav_padding(audio, frames))
    form, riff_size, wave = struct.unpack_from("<4sI4s", header)
    (data_bytes,) = struct.unpack_from("<I", header, 4092)
    assert wave == b"WAVE"
    assert is_rf64 == (file_bytes - 8 > 0xFFFFFFFF)
    if is_rf64:
        assert (form, riff_size, data_bytes) == (b"RF64", 0xFFFFFFFF, 0xFFFFFFFF)
        sizes = (file_bytes - 8, frames * audio.frame_bytes, frames, 0)
        assert struct.unpack("<QQQI", bodies[b"ds64"]) == sizes
    else:
        assert (form, riff_size, data_bytes) == (b"RIFF", file_bytes - 8, frames * audio.frame_bytes)
    if is_float:
        assert bodies[b"fact"] == struct.pack("<I", 0xFFFFFFFF if is_rf64 else frames)

    tag, channels, rate, byte_rate, align, bits = struct.unpack_from("<HHIIHH", bodies[b"fmt "])
    assert (channels, rate, byte_rate, align) == (
        audio.channels,
        audio.sample_rate,
        audio.byte_rate,
        audio.frame_bytes,
    )
    assert bits == 8 * audio.sample_format.sample_bytes
    assert (tag == 0xFFFE) == (not is_float and (channels > 2 or bits > 16))
    if tag == 0xFFFE:
        size, valid, speakers, real_tag = struct.unpack_from("<HHIH", bodies[b"fmt "], 16)
        assert (size, valid, speakers, real_tag) == (22, bits, 0, 3 if is_float else 1)
        assert bodies[b"fmt "][26:].hex() == "000000001000800000aa00389b71"
    else:
        assert (tag, len(bodies[b"fmt "])) == ((3, 18) if is_float else (1, 16))


@given(broadcasts)
def test_wavinfo_reads_what_was_said_as_ascii(broadcast: Broadcast) -> None:
    header = broadcast_header(AUDIO, 1, broadcast)
    found = WavInfoReader(io.BytesIO(header + bytes(8))).bext
    assert found.description == re.sub("[^ -~]", "?", broadcast.description)[:256]
    assert found.originator == re.sub("[^ -~]", "?", broadcast.originator)[:32]
    assert found.originator_ref == re.sub("[^ -~]", "?", broadcast.originator_reference)[:32]
    assert found.time_reference == broadcast.time_reference
    assert (found.version, found.umid) == (2, bytes(64))
    loudness = (found.loudness_value, found.loudness_range, found.max_true_peak)
    assert {*loudness, found.max_momentary_loudness, found.max_shortterm_loudness} == {0x7FFF / 100}
    if broadcast.originated_at_ns is None:
        assert (found.originator_date, found.originator_time) == ("", "")
    else:
        second = np.datetime64(broadcast.originated_at_ns // NS, "s")
        assert f"{found.originator_date}T{found.originator_time}" == str(second)
    lines = [re.sub("[^ -~]", "?", line) for line in broadcast.coding_history.splitlines()]
    assert len(found.coding_history) <= MAX_CODING_HISTORY_BYTES
    kept = found.coding_history.split("\r\n")
    assert kept.pop() == ""
    for written, given_line in zip(kept, lines, strict=False):
        assert written == given_line[: MAX_CODING_HISTORY_BYTES - 2]
    if len(kept) < len(lines):
        following = lines[len(kept)][: MAX_CODING_HISTORY_BYTES - 2] + "\r\n"
        assert len(found.coding_history) + len(following) > MAX_CODING_HISTORY_BYTES


def test_golden_bytes() -> None:
    header = broadcast_header(AUDIO, 3, BROADCAST)
    assert header[:48].hex(" ", -4) == (
        "52494646 10100000 57415645 4a554e4b 1c000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000"
    )
    history = b"A=PCM,F=48000,W=32,M=stereo,T=IEEE float; jackcapture from JACK\r\n\0"
    assert header[48:56] == b"bext" + struct.pack("<I", 602 + len(history))
    fields = [(56, 256), (312, 32), (344, 32), (376, 10), (386, 8)]  # the offsets that docs/formats.md names
    assert [header[at : at + size].rstrip(b"\0") for at, size in fields] == [
        b"stream://studio/piano; session 'Tr?ume'",
        b"jackcapture",
        b"0f6e6a30c1d94c0f9f4a1d2a2b3c4d5e",
        b"2026-09-21",
        b"14:15:23",
    ]
    midnight = (14 * 3600 + 15 * 60 + 23) * 48000
    assert struct.unpack_from("<QH", header, 394) == (midnight + 47_999, 2)
    assert header[404:468] == bytes(64)
    assert header[468:478] == b"\xff\x7f" * 5
    assert header[478:658] == bytes(180)
    assert header[658 : 658 + len(history)] == history
    fmt = 658 + len(history)
    assert header[fmt : fmt + 26].hex(" ", -4) == "666d7420 12000000 03000200 80bb0000 00dc0500 08002000 0000"
    assert header[fmt + 26 : fmt + 38].hex(" ", -4) == "66616374 04000000 03000000"
    junk = 4096 - 8 - (fmt + 38) - 8
    assert header[fmt + 38 : 4088] == b"JUNK" + struct.pack("<I", junk) + bytes(junk)
    assert header[4088:].hex(" ", -4) == "64617461 18000000"


@pytest.mark.parametrize("frames", [-1, 2**64, 2**62])
def test_frames_that_no_file_can_hold_are_refused(frames: int) -> None:
    with pytest.raises(InvalidValueError, match=f"{frames} frames"):
        broadcast_header(AUDIO, frames, BROADCAST)
    with pytest.raises(InvalidValueError, match=f"{frames} frames"):
        is_broadcast_rf64(AUDIO, frames)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"time_reference": -1}, "time reference of -1 samples"),
        ({"time_reference": 2**64}, "must be 0 to"),
        ({"originated_at_ns": 10**30}, "years 1 to 9999"),
        ({"originated_at_ns": -(10**20)}, "years 1 to 9999"),
    ],
)
def test_what_the_fields_cannot_hold_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        Broadcast(**fields)


def test_a_line_of_coding_history_says_what_the_samples_are() -> None:
    assert coding_history_line(AudioFormat(44100, 1, SampleFormat.I24), "a,b\r\nc") == (
        "A=PCM,F=44100,W=24,M=mono,T=a b c\r\n"
    )
    assert coding_history_line(AudioFormat(96000, 7, SampleFormat.I16), "x") == "A=PCM,F=96000,W=16,T=x\r\n"


@given(st.integers(0, 10**10), st.sampled_from([44100, 48000, 192000]), st.integers(0, 10**9))
def test_samples_are_counted_from_midnight(second: int, rate: int, nanosecond: int) -> None:
    count = samples_since_midnight(second * NS + nanosecond % NS, rate)
    assert 0 <= count < 86400 * rate
    assert count // rate == second % 86400
    assert count % rate == nanosecond % NS * rate // NS


def noise(audio: AudioFormat, frames: int) -> tuple[bytes, Any]:
    """Samples of 16 bits in any format, with full scale: their bytes, and as float64."""
    random = np.random.default_rng(frames)
    values = random.integers(-(2**15), 2**15, (frames, audio.channels)) / 2**15
    values[0] = -1
    return as_stored(values, audio.sample_format), values


@pytest.mark.parametrize("audio", FORMATS, ids=str)
def test_all_judges_read_the_file(tmp_path: Path, audio: AudioFormat) -> None:
    frames = 999
    data, values = noise(audio, frames)
    path = tmp_path / "file.wav"
    path.write_bytes(broadcast_header(audio, frames, BROADCAST) + data + wav_padding(audio, frames))

    found = WavInfoReader(path)
    assert found.bext.description == "stream://studio/piano; session 'Tr?ume'"
    assert found.bext.time_reference == BROADCAST.time_reference
    assert (found.fmt.channel_count, found.fmt.sample_rate) == (audio.channels, 48000)
    assert (found.data.byte_count, found.data.frame_count) == (len(data), frames)

    with soundfile.SoundFile(path) as sound:
        is_extensible = audio.sample_format is SampleFormat.I24 or (
            audio.channels > 2 and audio.sample_format is SampleFormat.I16
        )
        assert (sound.format, sound.subtype) == ("WAVEX" if is_extensible else "WAV", SUBTYPES[audio.sample_format])
        assert (sound.samplerate, sound.channels, sound.frames) == (48000, audio.channels, frames)
        assert np.array_equal(sound.read(always_2d=True), values)

    if shutil.which("sox"):
        raw = subprocess.run(["sox", "-D", path, "-t", "raw", "-"], check=True, capture_output=True)
        assert raw.stdout == data
        # sox looks for a second extension, which float has only without the first
        assert raw.stderr == b""
    if shutil.which("ffprobe"):
        shown = ffprobe(path)
        (stream,) = shown["streams"]
        codecs = {"f32": "pcm_f32le", "i24": "pcm_s24le", "i16": "pcm_s16le"}
        assert stream["codec_name"] == codecs[audio.sample_format]
        assert (stream["channels"], stream["sample_rate"]) == (audio.channels, "48000")
        assert stream["duration_ts"] == frames
        tags = shown["format"]["tags"]
        assert tags["time_reference"] == str(BROADCAST.time_reference)
        assert (tags["date"], tags["creation_time"]) == ("2026-09-21", "14:15:23")
        assert tags["coding_history"].startswith("A=PCM,F=48000,W=32")


def ffprobe(path: Path) -> Any:
    """What ffprobe says of a file."""
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", path],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.parametrize("audio", FORMATS, ids=str)
@pytest.mark.parametrize("extra_frames", [0, 1])
def test_all_judges_read_both_sides_of_4_gib(tmp_path: Path, audio: AudioFormat, extra_frames: int) -> None:
    frames = (0xFFFFFFFF - 4088) // audio.frame_bytes + extra_frames
    if not extra_frames and is_broadcast_rf64(audio, frames):
        frames -= 1  # the pad byte is the one too many
    path = tmp_path / "long.wav"
    last = as_stored(np.full(audio.channels, 0.5), audio.sample_format)
    with path.open("wb") as file:
        file.write(broadcast_header(audio, frames, BROADCAST))
        file.seek(BROADCAST_HEADER_BYTES + (frames - 1) * audio.frame_bytes)
        file.write(last + wav_padding(audio, frames))
    assert path.stat().st_size > (1 << 32) - 2 * audio.frame_bytes - 8
    assert is_broadcast_rf64(audio, frames) == bool(extra_frames)

    with soundfile.SoundFile(path) as sound:
        assert (sound.format == "RF64") == bool(extra_frames)
        assert (sound.frames, sound.channels, sound.samplerate) == (frames, audio.channels, 48000)
        sound.seek(frames - 2)
        assert sound.read(always_2d=True).tolist() == [[0.0] * audio.channels, [0.5] * audio.channels]
    found = WavInfoReader(path)
    assert found.bext.time_reference == BROADCAST.time_reference
    assert found.data.frame_count == frames
    if shutil.which("ffprobe"):
        (stream,) = ffprobe(path)["streams"]
        assert stream["duration_ts"] == frames
