"""The overview of a range: that of its samples, whatever its chunks are: sealed, pending, in progress, without one."""

import itertools
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackcapture.catalog import SealedChunk
from jackcapture.control import overviews
from jackcapture.control.overviews import columns_at, overview_of
from jackcapture.control.slices import reading
from jackcapture.control.slices.excerpts import Excerpt, collect
from jackcapture.errors import StorageDamagedError
from jackcapture.formats.samples import decode_samples
from jackcapture.model.overviews import overview_blocks
from jackcapture.model.results import OverviewResult
from jackcapture.model.streams import AudioFormat, SampleFormat
from jackcapture.model.takes import Chunk, Gap, GapCause
from parts.overviews import points_truth
from parts.tape import RATE, Tape, new_tape

CHANNELS = 2


@pytest.fixture
def tape(tmp_path: Path) -> Iterator[Tape]:
    with new_tape(tmp_path / "store") as made:
        made.has_overviews = True
        yield made


def quiet(done: int, total: int, unit: str) -> None:
    """Take no note of the progress."""


def noise(frames: int) -> bytes:
    return os.urandom(frames * CHANNELS * 2)


def seen(tape: Tape, first: int, last: int, points: int = 1000) -> OverviewResult:
    return overview_of(tape.store, tape.catalog, excerpt_of(tape, first, last), points, quiet)


def excerpt_of(tape: Tape, first: int, last: int) -> Excerpt:
    return collect(tape.catalog, tape.stream, tape.state, first, last)


def check(tape: Tape, lengths: list[int], first: int, last: int, points: int) -> OverviewResult:
    """Compare with the samples of the chunks, whose lengths in frames are given."""
    found = seen(tape, first, last, points)
    samples = decode_samples(bytes(tape.truth), tape.stream.definition.audio)
    starts = [0, *itertools.accumulate(lengths)]
    chunks = [(at, samples[at : at + length]) for at, length in zip(starts, lengths, strict=False)]
    sample_range, frames_per_point, values = points_truth(chunks, first, last, points)
    assert found.sample_range == sample_range
    assert found.frames_per_point == frames_per_point
    assert found.points == len(values) <= points
    assert (found.channels, found.sample_rate) == (samples.shape[1], RATE)
    for channel, waveform in enumerate(found.waveforms):
        for kind, shown in enumerate((waveform.min, waveform.max, waveform.rms)):
            np.testing.assert_allclose(shown, values[:, channel, kind], atol=1.1e-6)
    return found


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_any_range_shows_what_was_recorded(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder, new_tape(Path(folder, "store")) as tape:
        lengths = st.integers(1, 900)
        takes = data.draw(st.lists(st.lists(lengths, min_size=1, max_size=5), min_size=1, max_size=3))

        def full(frames: int) -> Any:
            tape.has_overviews = data.draw(st.booleans())
            return tape.full(noise(frames))

        for number, chunks in enumerate(takes, 1):
            tape.begin()
            fulls = [full(frames) for frames in chunks]
            if number < len(takes):
                tape.end()
        for chunk in fulls:
            if data.draw(st.booleans()):
                tape.seal(chunk)
        tape.has_overviews = data.draw(st.booleans())
        last_length = data.draw(st.integers(0, 600))
        tape.progress(noise(last_length))
        first = data.draw(st.integers(0, tape.frames - 1))
        last = data.draw(st.integers(first + 1, tape.frames))
        all_lengths = [*itertools.chain(*takes), last_length]
        check(tape, all_lengths, first, last, data.draw(st.integers(1, 12)))


@settings(deadline=None, max_examples=12)
@given(data=st.data())
def test_any_range_in_any_number_of_columns(data: st.DataObject) -> None:
    """A column shows the samples in it; where it is of more than a block, those of the blocks that begin there."""
    with tempfile.TemporaryDirectory() as folder, new_tape(Path(folder, "store")) as tape:
        tape.has_overviews = True
        lengths = data.draw(st.lists(st.integers(1, 900), min_size=1, max_size=5))
        tape.begin()
        for frames in lengths:
            tape.seal(tape.full(noise(frames)))
        first = data.draw(st.integers(0, tape.frames - 1))
        last = data.draw(st.integers(first + 1, tape.frames))
        columns = data.draw(st.one_of(st.integers(1, 12), st.integers(1, 200)))
        found = columns_at(tape.store, tape.catalog, excerpt_of(tape, first, last), columns, quiet)
        samples = decode_samples(bytes(tape.truth), tape.stream.definition.audio).astype(np.float64)
        frames = last - first
        starts = [0, *itertools.accumulate(lengths)]
        blocks = [at for start, end in itertools.pairwise(starts) for at in range(start, end, 256)]
        ends = [*blocks[1:], tape.frames]
        assert found.shape == (columns, CHANNELS, 3)
        for column in range(columns):
            if frames < columns * 256:
                start = first + -(-column * frames // columns)
                end = first + -(-(column + 1) * frames // columns)
                if frames < columns:  # the frame that the column lies in
                    start = first + column * frames // columns
                    end = start + 1
                parts = [samples[start:end]]
            else:
                parts = [
                    samples[at:end]
                    for at, end in zip(blocks, ends, strict=True)
                    if at < last and end > first and max(at - first, 0) * columns // frames == column
                ]
            part = np.concatenate(parts)
            truth = np.stack([part.min(0), part.max(0), np.sqrt((part * part).mean(0))], axis=1)
            np.testing.assert_allclose(found[column], truth, atol=1e-6)


def test_what_is_combined_in_batches_is_the_same(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overviews, "_BATCH_VALUES", 6)
    monkeypatch.setattr(overviews, "_READ_BLOCKS", 2)
    monkeypatch.setattr(reading, "_READ_BYTES", 1000)
    tape.begin()
    lengths = [256, 2000, 300, 5000, 40]
    for number, frames in enumerate(lengths):
        tape.has_overviews = number % 2 == 0
        tape.seal(tape.full(noise(frames)))
    for points in (1, 2, 7, 29, 30, 1000, 10_000):
        check(tape, lengths, 0, tape.frames, points)


def test_an_end_inside_a_block_moves_outwards(tape: Tape) -> None:
    tape.begin()
    lengths = [1000, 1000]
    for frames in lengths:
        tape.seal(tape.full(noise(frames)))
    assert check(tape, lengths, 300, 1001, 2).sample_range == (256, 1256)
    assert check(tape, lengths, 500, 1000, 1).sample_range == (256, 1000)
    assert check(tape, lengths, 1500, 2000, 1).sample_range == (1256, 2000)


def test_what_is_finer_than_a_block_is_of_exactly_the_range(tape: Tape) -> None:
    tape.begin()
    lengths = [1000, 1000]
    for frames in lengths:
        tape.seal(tape.full(noise(frames)))
    found = check(tape, lengths, 300, 1001, 100)
    assert (found.sample_range, found.frames_per_point, found.points) == ((300, 1001), 8, 88)
    assert check(tape, lengths, 999, 1000, 100).frames_per_point == 1
    assert check(tape, lengths, 0, 2000, 8).frames_per_point == 250
    assert check(tape, lengths, 0, 2000, 7).frames_per_point == 512


def test_gaps_and_takes_are_told(tape: Tape) -> None:
    inside, outside = Gap(300, 10, GapCause.XRUN), Gap(5, 3, GapCause.XRUN)
    tape.begin()
    tape.seal(tape.full(noise(600), gaps=[outside, inside]))
    found = seen(tape, 280, 500)
    assert [(gap.position, gap.frames, gap.cause) for gap in found.gaps] == [(300, 10, "xrun")]
    assert found.takes == (1,)
    assert found.stream_uri == tape.stream.uri


def test_the_samples_are_looked_at_only_where_there_is_no_overview(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "open_piece", lambda *_: pytest.fail("a chunk was opened"))
    tape.begin()
    tape.seal(tape.full(noise(700)))
    tape.full(noise(700))
    tape.progress(noise(300))
    check(tape, [700, 700, 300], 0, tape.frames, 6)
    columns_at(tape.store, tape.catalog, excerpt_of(tape, 0, tape.frames), 6, quiet)


def test_a_chunk_that_is_sealed_after_it_was_found(tape: Tape) -> None:
    tape.begin()
    full = tape.full(noise(700))
    excerpt = collect(tape.catalog, tape.stream, None, 0, 700)
    before = [overview_of(tape.store, tape.catalog, excerpt, points, quiet) for points in (2, 10)]
    tape.seal(full)
    assert [overview_of(tape.store, tape.catalog, excerpt, points, quiet) for points in (2, 10)] == before


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_an_overview_that_cannot_be_read_is_made_anew(
    tape: Tape, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    tape.begin()
    sealed = tape.seal(tape.full(noise(700)))
    assert sealed.overview is not None
    path = Path(tape.store.path(sealed.overview))
    if damage == "missing":
        path.unlink()
    else:
        path.chmod(0o600)
        os.truncate(path, 30)
    with caplog.at_level(logging.WARNING):
        check(tape, [700], 0, 700, 2)
    assert sealed.overview.hash in caplog.text


def test_a_chunk_that_is_too_short_is_damage(tape: Tape) -> None:
    tape.has_overviews = False
    tape.begin()
    sealed = tape.seal(tape.full(noise(700)))
    path = Path(tape.store.path(sealed.content))
    path.chmod(0o600)
    os.truncate(path, 100)
    for points in (1, 1000):
        with pytest.raises(StorageDamagedError, match="chunk 0 of take 1"):
            seen(tape, 0, 700, points)


def test_what_json_cannot_say_is_the_largest_number(tmp_path: Path) -> None:
    with new_tape(tmp_path / "store", AudioFormat(RATE, 1, SampleFormat.F32)) as tape:
        tape.has_overviews = True
        tape.begin()
        tape.seal(tape.full(np.array([np.inf, -np.inf, np.nan], "<f4").tobytes()))
        found = seen(tape, 0, 3, 1)
    waveform = found.waveforms[0]
    assert (waveform.min, waveform.max, waveform.rms) == ((-3.4028235e38,), (3.4028235e38,), (3.4028235e38,))


def test_many_channels_have_fewer_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overviews, "MAX_VALUES", 20)
    with new_tape(tmp_path / "store", AudioFormat(RATE, 3, SampleFormat.I16)) as tape:
        tape.begin()
        tape.full(os.urandom(256 * 12 * 6))
        assert (seen(tape, 0, 256 * 12, 20).points, seen(tape, 0, 256 * 12, 5).points) == (6, 4)


def test_an_hour_at_once(tmp_path: Path) -> None:
    """An hour of two channels at 48 kHz to 1000 points; prints how long it takes (pytest -s).

    The samples, which are not looked at, are the same in all chunks.
    """
    hour, chunk_frames = 3600 * RATE, 1 << 20  # 8 MiB
    random = np.random.default_rng(1)
    with new_tape(tmp_path / "store", AudioFormat(RATE, CHANNELS, SampleFormat.F32)) as tape:
        tape.begin()
        content = tape.store.put(b"").content
        values = []
        for index, first in enumerate(range(0, hour, chunk_frames)):
            samples = min(chunk_frames, hour - first)
            values.append(random.uniform(-1, 1, (overview_blocks(samples), CHANNELS, 3)).astype("<f4"))
            overview = tape.store.put(values[-1].tobytes()).content
            chunk = Chunk(index, first, samples, samples * tape.frame_bytes, 0)
            tape.catalog.add_chunk(tape.stream.uri, SealedChunk(1, chunk, content, overview))
        tape.catalog.end_take(tape.stream.uri, 1, hour, 0, "")
        tape.stream.take = None
        for turn in ("first", "second"):
            started = time.perf_counter()
            found = seen(tape, 0, hour)
            took = time.perf_counter() - started
            print(f"\nan hour in {len(values)} chunks to {found.points} points, {turn} time: {1000 * took:.0f} ms")
    assert (found.points, found.frames_per_point, found.sample_range) == (1000, hour // 1000, (0, hour))
    whole = np.concatenate(values).reshape(1000, -1, CHANNELS, 3).astype(np.float64)
    for channel, waveform in enumerate(found.waveforms):
        np.testing.assert_allclose(waveform.min, whole[:, :, channel, 0].min(1), atol=1e-6)
        np.testing.assert_allclose(waveform.max, whole[:, :, channel, 1].max(1), atol=1e-6)
        np.testing.assert_allclose(waveform.rms, np.sqrt((whole[:, :, channel, 2] ** 2).mean(1)), atol=1e-6)
