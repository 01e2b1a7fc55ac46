"""FLAC files: read back by libsndfile and, where they are there, tested by flac and read by sox."""

import errno
import os
import shutil
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from jackcapture.errors import InvalidValueError, StorageError, StorageFullError
from jackcapture.formats.flac import FlacTags, flac_sample_format, write_flac
from jackcapture.formats.samples import Block, convert_samples
from jackcapture.model.streams import AudioFormat, SampleFormat
from parts.core_harness import as_stored

F32, I24, I16 = SampleFormat.F32, SampleFormat.I24, SampleFormat.I16
TAGS = FlacTags(title="stream://studio/piano", date="2026-09-21T14:15:23Z", comment="Träume")


def noise(audio: AudioFormat, frames: int) -> bytes:
    """Random samples, f32 up to twice full scale, and not a number now and then."""
    random = np.random.default_rng(frames)
    values = random.uniform(-2, 2, (frames, audio.channels)).astype(np.float32)
    values[::97] = np.nan
    return as_stored(values, audio.sample_format)


def expected(data: bytes, audio: AudioFormat) -> Any:
    """What libsndfile must give as int32: the samples in the upper bits."""
    kind = flac_sample_format(audio)
    width = kind.sample_bytes
    packed = np.frombuffer(b"".join(convert_samples([data], audio.sample_format, kind)), np.uint8)
    upper = np.zeros((len(packed) // width, 4), np.uint8)
    upper[:, 4 - width :] = packed.reshape(-1, width)
    return upper.view("<i4").reshape(-1, audio.channels)


@settings(max_examples=40)
@given(
    st.builds(
        AudioFormat,
        st.sampled_from([1, 8000, 44100, 48000, 65535, 65540, 192000, 655350]),
        st.integers(1, 8),
        st.sampled_from(list(SampleFormat)),
    ),
    st.integers(1, 9000),
    st.integers(1, 5000),
)
def test_every_sample_comes_back(
    tmp_path_factory: pytest.TempPathFactory, audio: AudioFormat, frames: int, block_bytes: int
) -> None:
    data = noise(audio, frames)
    path = tmp_path_factory.getbasetemp() / "file.flac"
    blocks = (data[at : at + block_bytes] for at in range(0, len(data), block_bytes))
    assert write_flac(str(path), audio, blocks) == frames
    with soundfile.SoundFile(path) as sound:
        assert (sound.format, sound.subtype) == ("FLAC", "PCM_16" if audio.sample_format is I16 else "PCM_24")
        assert (sound.samplerate, sound.channels, sound.frames) == (audio.sample_rate, audio.channels, frames)
        assert np.array_equal(sound.read(dtype="int32", always_2d=True), expected(data, audio))


@pytest.mark.parametrize("kind", list(SampleFormat))
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_other_judges_find_it_sound(tmp_path: Path, kind: SampleFormat, channels: int) -> None:
    audio = AudioFormat(48000, channels, kind)
    data = noise(audio, 10_000)
    path = tmp_path / "file.flac"
    write_flac(str(path), audio, [data], TAGS)
    with soundfile.SoundFile(path) as sound:
        assert (sound.title, sound.date, sound.comment) == (TAGS.title, TAGS.date, TAGS.comment)
        assert set(sound.copy_metadata()) == {"title", "date", "comment"}
    target = flac_sample_format(audio)
    raw = b"".join(convert_samples([data], kind, target))
    if shutil.which("flac"):
        done = subprocess.run(["flac", "-t", "-s", path], check=False, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    if shutil.which("sox"):
        read = subprocess.run(["sox", "-D", path, "-t", "raw", "-"], check=True, capture_output=True)
        assert read.stdout == raw


def test_the_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    audio = AudioFormat(48000, 2, F32)
    data = noise(audio, 20_000)
    paths = [tmp_path / name for name in ("a.flac", "b.flac", "c.flac")]
    write_flac(str(paths[0]), audio, [data], TAGS)
    write_flac(str(paths[1]), audio, (data[at : at + 701] for at in range(0, len(data), 701)), TAGS)
    descriptor = os.open(paths[2], os.O_RDWR | os.O_CREAT)
    try:
        os.write(descriptor, bytes(1 << 20))  # what was there before goes
        write_flac(descriptor, audio, [data], TAGS)
    finally:
        os.close(descriptor)
    contents = [path.read_bytes() for path in paths]
    assert contents[0] == contents[1] == contents[2]
    assert metadata_blocks(contents[0]) == [0, 4], "stream info and Vorbis comments, with nothing that tells the time"


def metadata_blocks(data: bytes) -> list[int]:
    """The types of the metadata blocks of a FLAC file (RFC 9639, section 8)."""
    types, at, is_last = [], 4, False
    while not is_last:
        types.append(data[at] & 0x7F)
        is_last = data[at] > 0x7F
        at += 4 + int.from_bytes(data[at + 1 : at + 4], "big")
    return types


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path: Path) -> None:
    audio = AudioFormat(48000, 2, I16)
    block = bytes(1 << 20)

    def blocks() -> Iterator[Block]:
        for _ in range(16):
            yield block

    tracemalloc.start()
    try:
        frames = write_flac(str(tmp_path / "file.flac"), audio, blocks())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert frames == 16 * len(block) // 4
    assert peak < 4 << 20


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (AudioFormat(48000, 9), "9 channels: a FLAC file has 1 to 8"),
        (AudioFormat(65_536, 1), "65536 Hz: a FLAC file has 1 to 65535, or a multiple of 10"),
        (AudioFormat(655_360, 1), "655360 Hz: .* up to 655350"),
    ],
)
def test_what_flac_cannot_hold_is_refused(tmp_path: Path, audio: AudioFormat, message: str) -> None:
    path = tmp_path / "file.flac"
    with pytest.raises(InvalidValueError, match=message):
        write_flac(str(path), audio, [bytes(audio.frame_bytes)])
    assert not path.exists()


@pytest.mark.parametrize(("blocks", "message"), [([], "no frames"), ([b"abc"], "3 bytes after a whole one of 4 bytes")])
def test_no_whole_frames_are_refused(tmp_path: Path, blocks: list[Block], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        write_flac(str(tmp_path / "file.flac"), AudioFormat(48000, 1), blocks)


@pytest.mark.parametrize("frames", [1, 5000, 100_000])
def test_a_full_disk_is_told(frames: int) -> None:
    audio = AudioFormat(48000, 2, I24)
    with pytest.raises(StorageFullError, match="/dev/full cannot be written: No space left"):
        write_flac("/dev/full", audio, [noise(audio, frames)])


@pytest.mark.parametrize("room", [0, 10, 5_000, 30_000, 60_000])
def test_a_disk_that_fills_up_is_told_at_any_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    audio = AudioFormat(48000, 2, I24)
    data = noise(audio, 12_000)
    real_write = os.write
    left = room

    def write(descriptor: int, part: Any) -> int:
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = real_write(descriptor, part[:left])
        left -= done
        return done

    path = str(tmp_path / "file.flac")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(StorageFullError, match=r"file.flac cannot be written: No space left"):
            write_flac(path, audio, [data])
    assert write_flac(path, audio, [data]) == 12_000


def test_a_path_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"none/file.flac cannot be written: No such file"):
        write_flac(str(tmp_path / "none" / "file.flac"), AudioFormat(48000, 1), [bytes(4)])
