"""Overviews of chunks: what the engine writes is what numpy says, and so is what they are combined to."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackcapture.engine import _rt
from jackcapture.engine import feeds as feeds_module
from jackcapture.engine.chunks import ChunkFile
from jackcapture.engine.overview import OverviewWriter
from jackcapture.errors import InvalidValueError, StorageDamagedError
from jackcapture.formats.overview import blocks_of, combine, read_blocks
from jackcapture.formats.samples import decode_samples
from jackcapture.model import overviews
from jackcapture.model.streams import AudioFormat, MidiFormat, SampleFormat, StreamDefinition
from jackcapture.model.uris import parse_stream_uri
from jackcapture.protocol.messages import AT_ONCE
from parts.core_harness import RATE, CoreHarness, as_stored, samples_at
from parts.overviews import check_overview, check_overview_bytes, overview_truth
from parts.recorder_rig import MARGIN, Rig

ffi, lib = _rt.ffi, _rt.lib
GUARD = b"\xa5" * 64
STRANGE = [0.0, -0.0, 1.0, -1.0, 1e-20, -3e38, 3e38, float("inf"), float("-inf"), float("nan")]


class Written:
    """An overview in memory, with a guard behind it."""

    def __init__(self, frames: int, channels: int) -> None:
        self._size = overviews.overview_bytes(frames, channels)
        self._memory = bytearray(self._size) + GUARD
        self._buffer = ffi.from_buffer(self._memory, require_writable=True)
        self.writer = OverviewWriter(int(ffi.cast("uintptr_t", self._buffer)), channels)

    def check(self, samples: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        """It shows these samples, and nothing after them."""
        used = overviews.overview_bytes(*samples.shape)
        check_overview_bytes(bytes(self._memory[:used]), samples)
        assert not any(self._memory[used : self._size])
        assert self._memory[self._size :] == GUARD


def test_both_planes_and_c_mean_the_same() -> None:
    assert lib.JC_OVERVIEW_FRAMES == overviews.OVERVIEW_FRAMES
    assert lib.JC_OVERVIEW_VALUES == overviews.OVERVIEW_VALUES


# --- written by the engine ---


@given(
    channels=st.integers(1, 5),
    capacity=st.sampled_from([256, 1024]),
    before=st.integers(0, 300),
    parts=st.lists(
        st.one_of(
            st.tuples(st.just("frames"), st.integers(1, 256)),
            st.tuples(st.just("strange"), st.integers(1, 256)),
            st.tuples(st.just("silence"), st.integers(1, 900)),
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_any_run_of_frames_and_silence_is_what_numpy_says_at_any_moment(
    channels: int, capacity: int, before: int, parts: list[tuple[str, int]]
) -> None:
    """Also over the ring's wrap, whose place does not agree with that of the blocks."""
    random = np.random.default_rng(before)
    added = np.zeros((0, channels), np.float32)
    written = Written(sum(frames for _, frames in parts), channels)
    with CoreHarness() as harness:
        ring = harness.attach(channels, capacity).ring
        for _ in range(before):
            harness.cycle(1)
        for kind, frames in parts:
            samples = random.uniform(-1, 1, (frames, channels)).astype(np.float32)
            if kind == "silence":
                samples[:] = 0
                written.writer.add_silence(frames)
            else:
                if kind == "strange":
                    samples[random.random((frames, channels)) < 0.1] = random.choice(STRANGE)
                start = ring.delivered
                harness.cycle(frames, source=samples)
                written.writer.add(ring, start, frames)
            added = np.concatenate([added, samples])
            written.check(added)


def test_a_writer_without_a_place_writes_nothing() -> None:
    with CoreHarness() as harness:
        ring = harness.attach().ring
        harness.cycle(64)
        writer = OverviewWriter(None, 1)
        writer.add(ring, 0, 64)
        writer.add_silence(64)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr(feeds_module, "START_MARGIN_FRAMES", MARGIN)
    rig = Rig(2, SampleFormat.F32, 4096, 1000)
    yield rig
    rig.close()


@pytest.mark.parametrize("left", [None, 47])
def test_a_chunk_without_a_whole_overview_is_recorded_all_the_same(
    rig: Rig, left: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = rig.chunk()
    overview = overviews.overview_path(path)
    if left is None:
        os.unlink(overview)
    else:
        os.truncate(overview, left)
    with caplog.at_level(logging.WARNING):
        rig.recorder.start(path, AT_ONCE, 1, 0)
    rig.harness.cycle(64)
    rig.stop()
    rig.check_take(overviews=False)
    if left is None:
        assert not os.path.exists(overview)
    else:
        assert Path(overview).read_bytes() == bytes(left)
        assert "overview" in caplog.text


def test_no_link_is_followed_to_an_overview(rig: Rig, tmp_path: Path) -> None:
    path = rig.chunk()
    overview = overviews.overview_path(path)
    victim = tmp_path / "victim"
    victim.write_bytes(bytes(os.path.getsize(overview)))
    os.unlink(overview)
    os.symlink(victim, overview)
    chunk = ChunkFile(path, 4096, overviews.overview_room(rig.definition))
    assert chunk.overview_address is None
    chunk.close()


# --- sizes ---


@pytest.mark.parametrize(("frames", "blocks"), [(0, 0), (1, 1), (255, 1), (256, 1), (257, 2), (1 << 20, 4096)])
def test_sizes(frames: int, blocks: int) -> None:
    assert overviews.overview_blocks(frames) == blocks
    assert overviews.overview_bytes(frames, 3) == blocks * 36


def test_the_room_of_a_chunk() -> None:
    uri = parse_stream_uri("stream://a/b")
    assert overviews.overview_room(StreamDefinition(uri, "a", AudioFormat(RATE, 2))) == 4096 * 24
    odd = StreamDefinition(uri, "a", AudioFormat(RATE, 3, SampleFormat.I24), 5000)
    assert overviews.overview_room(odd) == overviews.overview_bytes(5000 // 9, 3)
    assert overviews.overview_room(StreamDefinition(uri, "a", MidiFormat(RATE), 1 << 20)) == 0


# --- as arrays ---


@pytest.mark.parametrize("frames", [0, 1, 255, 256, 257, 1000])
def test_blocks_of_samples_are_those_of_the_engine(frames: int) -> None:
    samples = samples_at(77, frames, 3)
    if frames:
        samples[0, 1] = np.nan
    check_overview(blocks_of(samples), overview_truth(samples))


def test_reading_gives_what_lies_in_the_file() -> None:
    values = np.arange(30, dtype="<f4")
    np.testing.assert_array_equal(read_blocks(values.tobytes(), 2), values.reshape(5, 2, 3))
    assert read_blocks(b"", 2).shape == (0, 2, 3)
    with pytest.raises(StorageDamagedError, match="multiple of 24"):
        read_blocks(bytes(100), 2)


@given(data=st.data(), channels=st.integers(1, 3), frames=st.integers(1, 5000))
def test_points_are_those_of_the_samples_however_they_are_combined(
    data: st.DataObject, channels: int, frames: int
) -> None:
    samples = np.random.default_rng(frames).uniform(-1, 1, (frames, channels))
    blocks = overview_truth(samples)
    per_point = data.draw(st.integers(1, len(blocks)))
    lengths = np.minimum(frames - 256 * np.arange(len(blocks)), 256)
    points = np.arange(len(blocks)) // per_point
    cut = data.draw(st.integers(0, len(blocks)))
    parts = [combine(blocks[at], lengths[at], points[at]) for at in (slice(cut), slice(cut, None))]
    values, counts, numbers = combine(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    whole = [samples[at : at + 256 * per_point] for at in range(0, frames, 256 * per_point)]
    truth = np.array([np.stack([part.min(0), part.max(0), np.sqrt((part**2).mean(0))], axis=1) for part in whole])
    np.testing.assert_array_equal(values[..., :2], truth[..., :2])
    np.testing.assert_allclose(values[..., 2], truth[..., 2], rtol=1e-12)
    assert counts.tolist() == [len(part) for part in whole]
    assert numbers.tolist() == list(range(len(whole)))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sample_format", list(SampleFormat))
def test_samples_are_read_as_they_are_stored(sample_format: SampleFormat, channels: int) -> None:
    samples = samples_at(5, 300, channels)
    data = as_stored(samples, sample_format)
    read = decode_samples(data, AudioFormat(RATE, channels, sample_format))
    assert read.dtype == np.float32
    assert read.shape == samples.shape
    assert as_stored(read, sample_format) == data
    np.testing.assert_allclose(read, samples, atol=2**-15)


def test_a_number_of_points_that_no_overview_has() -> None:
    from jackcapture.control.overviews import MAX_VALUES, check_points

    audio = StreamDefinition(parse_stream_uri("stream://a/b"), "a", AudioFormat(RATE, 2))
    for points in (0, -1, MAX_VALUES + 1):
        with pytest.raises(InvalidValueError, match=f"{points} points"):
            check_points(audio, points)
    with pytest.raises(InvalidValueError, match="MIDI stream"):
        check_points(StreamDefinition(audio.uri, "a", MidiFormat(RATE), 1 << 20), 10)
