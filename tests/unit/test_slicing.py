"""Slices: the bytes of the file, the artifact that tells of it, and nothing where one failed."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from jackcapture.control.contents import Contents
from jackcapture.control.slices.requests import SliceOptions, SliceRequest
from jackcapture.control.slices.slicer import Slicer
from jackcapture.errors import (
    InvalidValueError,
    OperationCancelledError,
    StorageDamagedError,
    StorageError,
    StorageFullError,
)
from jackcapture.model.addresses import Content
from jackcapture.model.artifacts import Artifact
from jackcapture.model.latency_results import LatencyResult
from jackcapture.model.results import SliceResult
from jackcapture.model.streams import AudioFormat, SampleFormat
from jackcapture.model.takes import Gap, GapCause, Latency
from jackcapture.model.times import iso
from parts.tape import BEGIN_NS, RATE, Tape, moment, new_tape

DAY_NS = 86_400 * 10**9


def quiet(done: int, total: int, unit: str) -> None:
    """Take no note of the progress."""


def slice_of(
    tape: Tape,
    first: int,
    last: int,
    output_format: str = "wav",
    progress: Callable[[int, int, str], None] = quiet,
    *,
    virtual: bool = False,
) -> tuple[SliceResult, Artifact]:
    request = SliceRequest(
        tape.stream, tape.state, first, last, SliceOptions(output_format, is_virtual=virtual), "here to there"
    )
    return Slicer(tape.store, tape.catalog, Contents(tape.store, tape.catalog)).cut(request, progress)


def content(tape: Tape, result: SliceResult) -> bytes:
    return Path(tape.store.path(Content(result.content_hash))).read_bytes()


def recorded(tape: Tape) -> None:
    """Record a sealed chunk of 100 frames, a pending one of 50 and 25 frames in progress."""
    tape.begin()
    tape.seal(tape.full(samples(tape, 100), gaps=[Gap(20, 5, GapCause.XRUN)], clocks=[moment(0)]))
    full = tape.full(samples(tape, 50), clocks=[moment(100)])
    tape.progress(samples(tape, 25), done=[full], clocks=[moment(150)])


def samples(tape: Tape, frames: int) -> bytes:
    if tape.stream.definition.audio.sample_format is SampleFormat.F32:
        shape = frames * tape.stream.definition.audio.channels
        return np.random.default_rng(tape.frames).uniform(-1, 1, shape).astype("<f4").tobytes()
    return os.urandom(frames * tape.frame_bytes)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sample_format", list(SampleFormat))
def test_a_wav_file_holds_the_samples_bit_for_bit(tmp_path: Path, sample_format: SampleFormat, channels: int) -> None:
    with new_tape(tmp_path / "store", AudioFormat(RATE, channels, sample_format)) as tape:
        recorded(tape)
        result, _ = slice_of(tape, 60, 171)
        data = content(tape, result)
        expected = bytes(tape.truth[60 * tape.frame_bytes : 171 * tape.frame_bytes])
        kind = "float32" if sample_format is SampleFormat.F32 else "int32"
        read, rate = soundfile.read(io.BytesIO(data), dtype=kind, always_2d=True)
        subtype = soundfile.info(io.BytesIO(data)).subtype
    assert (rate, read.shape) == (RATE, (111, channels))
    assert subtype == {"f32": "FLOAT", "i24": "PCM_24", "i16": "PCM_16"}[sample_format]
    if sample_format is SampleFormat.F32:
        assert read.astype("<f4").tobytes() == expected
    else:  # integers are given in the upper bits
        width = sample_format.sample_bytes
        flat = np.ascontiguousarray(read, dtype="<i4").reshape(-1, 1).view(np.uint8)
        assert flat[:, 4 - width :].tobytes() == expected
        assert not flat[:, : 4 - width].any()
    assert result.bytes == len(data)


def test_an_odd_number_of_bytes_is_padded_and_the_pad_is_no_sample(tmp_path: Path) -> None:
    with new_tape(tmp_path / "store", AudioFormat(RATE, 1, SampleFormat.I24)) as tape:
        recorded(tape)
        result, _ = slice_of(tape, 0, 1)
        data = content(tape, result)
        assert data[-4:] == bytes(tape.truth[:3]) + b"\0"
        assert soundfile.info(io.BytesIO(data)).frames == 1


def test_raw_is_the_samples_alone(tmp_path: Path) -> None:
    with new_tape(tmp_path / "store") as tape:
        recorded(tape)
        result, _ = slice_of(tape, 60, 171, "raw")
        assert content(tape, result) == tape.truth[60 * 4 : 171 * 4]
        assert (result.mime_type, result.bytes) == ("application/octet-stream", 111 * 4)


def test_an_unknown_format_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with new_tape(tmp_path / "store") as tape:
        recorded(tape)
        with pytest.raises(InvalidValueError, match=r"'mp3'.*wav, flac, raw"):
            slice_of(tape, 0, 10, "mp3")


def test_result_and_artifact_tell_the_same(tmp_path: Path) -> None:
    with new_tape(tmp_path / "store") as tape:
        recorded(tape)
        before = tape.catalog.chunks(tape.stream.uri, 0, 1000)[0].content.hash
        result, artifact = slice_of(tape, 10, 170)
        assert tape.catalog.artifact(result.artifact_id) == artifact
        assert tape.state is not None
        staging = [os.path.basename(path) for path in (tape.fulls[1].path, tape.state.chunk.path)]
    assert artifact.kind == "slice"
    assert artifact.parents == (tape.stream.record.definition_artifact,)
    assert artifact.stream_uri == result.stream_uri == tape.stream.uri
    assert (artifact.content_hash, artifact.bytes) == (result.content_hash, result.bytes)
    assert result.source_chunks == (before, *staging)
    assert (result.sample_range, result.takes, result.sample_rate, result.channels) == ((10, 170), (1,), RATE, 2)
    assert artifact.metadata["asked"] == "here to there"
    assert artifact.metadata["sample_range"] == [10, 170]
    assert artifact.metadata["source_chunks"] == list(result.source_chunks)
    assert artifact.metadata["gaps"] == [{"position": 20, "frames": 5, "cause": "xrun"}]
    assert result.wall_clock is not None
    assert artifact.metadata["wall_clock"]["from"] == result.wall_clock.from_


def test_the_same_range_gives_the_same_content_before_and_after_it_is_sealed(tmp_path: Path) -> None:
    with new_tape(tmp_path / "store") as tape:
        recorded(tape)
        first, _ = slice_of(tape, 10, 150)
        tape.seal(tape.fulls[1])
        second, _ = slice_of(tape, 10, 150)
    assert first.content_hash == second.content_hash
    assert first.artifact_id != second.artifact_id
    assert first.source_chunks != second.source_chunks


def test_the_wall_clock_of_a_take_is_told_by_its_own_snapshots(tmp_path: Path) -> None:
    with new_tape(tmp_path / "store") as tape:
        recorded(tape)
        tape.end()
        tape.state = None
        end = tape.frames
        tape.begin()  # a day later; its snapshots are not sealed yet
        full = tape.full(samples(tape, 50), clocks=[moment(end, take=2)])
        tape.progress(samples(tape, 50), done=[full], clocks=[moment(end + 50, take=2)])
        first, _ = slice_of(tape, 155, 170)  # after the last snapshot of its take
        second, _ = slice_of(tape, end + 10, end + 60)
        both, _ = slice_of(tape, 110, end + 60)
    for result, begin, stop in (
        (first, moment(155), moment(170)),
        (second, moment(end + 10, 2), moment(end + 60, 2)),
        (both, moment(110), moment(end + 60, 2)),
    ):
        assert result.wall_clock is not None
        near = {iso(begin.wall_clock_ns + ns) for ns in (-1000, 0, 1000)}
        assert result.wall_clock.from_ in near
        assert result.wall_clock.to in {iso(stop.wall_clock_ns + ns) for ns in (-1000, 0, 1000)}
        assert result.wall_clock.error_ms < 1
    assert second.wall_clock is not None
    assert second.wall_clock.from_ > iso(BEGIN_NS + DAY_NS - 1)
    assert both.takes == (1, 2)


def test_without_a_snapshot_there_is_no_wall_clock(tmp_path: Path) -> None:
    with new_tape(tmp_path / "store") as tape:
        tape.begin()
        tape.seal(tape.full(samples(tape, 10)))
        result, artifact = slice_of(tape, 0, 10)
    assert result.wall_clock is None
    assert artifact.metadata["wall_clock"] is None


def test_the_capture_latency_is_that_of_all_takes_in_the_slice(tmp_path: Path) -> None:
    """For each port the least and the most; a take of which none is known says nothing, a running one what is seen."""
    takes: list[list[Latency]] = [[Latency(10, 20), Latency(0, 0)], [], [Latency(15, 30), Latency(4, 5)]]
    with new_tape(tmp_path / "store") as tape:
        for latencies in takes:
            tape.begin()
            tape.catalog.note_latencies(tape.stream.uri, tape.number, latencies)
            tape.full(samples(tape, 10))
            tape.end()
        tape.begin()
        tape.full(samples(tape, 10))
        assert tape.stream.take is not None
        tape.stream.take.latencies = (Latency(7, 7), Latency(8, 8))

        def latency(first: int, last: int) -> tuple[LatencyResult, ...]:
            result, artifact = slice_of(tape, first, last)
            shown = [{"min": port.min, "max": port.max} for port in result.capture_latency]
            assert artifact.metadata["capture_latency"] == shown
            return result.capture_latency

        assert latency(0, 10) == (LatencyResult(10, 20), LatencyResult(0, 0))
        assert latency(10, 20) == ()
        assert latency(5, 21) == (LatencyResult(10, 30), LatencyResult(0, 5))
        assert latency(20, 40) == (LatencyResult(7, 30), LatencyResult(4, 8))


def test_progress_ends_at_the_whole(tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    with new_tape(tmp_path / "store") as tape:
        recorded(tape)
        result, _ = slice_of(tape, 0, 175, progress=lambda *step: told.append(step))
    assert [done for done, _, _ in told[:-1]] == [400, 600, 700]
    assert {(total, unit) for _, total, unit in told[:-1]} == {(700, "bytes")}
    assert told[-1] == (result.bytes, result.bytes, "bytes")


@pytest.mark.parametrize(("step", "virtual"), [(1, False), (2, False), (3, False), (4, False), (1, True)])
def test_a_slice_that_is_cancelled_at_any_step_leaves_nothing(tmp_path: Path, step: int, virtual: bool) -> None:
    told = 0

    def cancel(*_: object) -> None:
        nonlocal told
        told += 1
        if told == step:
            raise OperationCancelledError("enough")

    with new_tape(tmp_path / "store") as tape:
        recorded(tape)
        staging, stored = list(tape.store.iterate_staging()), list(tape.store.iterate_content())
        with pytest.raises(OperationCancelledError):
            slice_of(tape, 0, 175, virtual=virtual, progress=cancel)
        assert list(tape.store.iterate_staging()) == staging
        assert list(tape.store.iterate_content()) == stored
        assert tape.catalog.artifacts(kind="slice") == []


@pytest.mark.parametrize("failure", ["cancelled", "damaged", "no space", "input/output error"])
def test_a_slice_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str) -> None:
    def fail(*_: object) -> None:
        if failure == "cancelled":
            raise KeyboardInterrupt
        raise OSError(28 if failure == "no space" else 5, failure)

    with new_tape(tmp_path / "store") as tape:
        recorded(tape)
        staging, stored = list(tape.store.iterate_staging()), list(tape.store.iterate_content())
        expected: type[BaseException] = {
            "cancelled": KeyboardInterrupt,
            "damaged": StorageDamagedError,
            "no space": StorageFullError,
        }.get(failure, StorageError)
        if failure == "damaged":
            sealed = tape.catalog.chunks(tape.stream.uri, 0, 1)[0].content
            Path(tape.store.path(sealed)).unlink()
            stored.remove(sealed)
        elif failure != "cancelled":
            monkeypatch.setattr("jackcapture.control.slices.layouts.copy_range", fail)
        with pytest.raises(expected):
            slice_of(tape, 0, 170, progress=fail)
        assert list(tape.store.iterate_staging()) == staging
        assert list(tape.store.iterate_content()) == stored
        assert tape.catalog.artifacts(kind="slice") == []
