"""Waveforms as artifacts: a tape drawn as a picture and written as peaks."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from jackcapture.control.contents import Contents
from jackcapture.control.waveforms import WaveformRequest, check_request, make_waveform
from jackcapture.errors import InvalidValueError
from jackcapture.formats.lanes import COLOURS, Ink
from jackcapture.formats.peaks import peaks_dat
from jackcapture.formats.picture import lay_out
from jackcapture.formats.samples import decode_samples
from jackcapture.model.addresses import Content
from jackcapture.model.results import WaveformResult
from jackcapture.model.streams import AudioFormat, SampleFormat
from jackcapture.model.takes import Gap, GapCause
from parts.overviews import points_truth
from parts.png import read_png
from parts.tape import RATE, Tape, moment, new_tape

CHUNK = 3000
FRAMES = 2 * CHUNK


@pytest.fixture
def tape(tmp_path: Path) -> Iterator[Tape]:
    """Two takes of a chunk each: noise of -6 dB, a gap in the second, which is recorded still."""
    with new_tape(tmp_path / "store", AudioFormat(RATE, 2, SampleFormat.F32)) as made:
        made.has_overviews = True
        made.begin()
        made.seal(made.full(noise(1), clocks=[moment(0)]))
        made.end()
        made.begin()
        made.full(noise(2), gaps=[Gap(CHUNK + 1000, 500, GapCause.XRUN)], clocks=[moment(CHUNK, 2)])
        yield made


def noise(seed: int) -> bytes:
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (CHUNK, 2)).astype("<f4")
    if seed == 2:
        samples[1000:1500] = 0
    return samples.tobytes()


def quiet(done: int, total: int, unit: str) -> None:
    """Take no note of the progress."""


def made(tape: Tape, request: WaveformRequest, first: int = 0, last: int = FRAMES) -> tuple[WaveformResult, bytes]:
    check_request(tape.stream.definition.audio, request)
    result, artifact = make_waveform(
        tape.store,
        tape.catalog,
        Contents(tape.store, tape.catalog),
        tape.stream,
        None,
        (first, last),
        request,
        quiet,
        path=None,
    )
    assert tape.catalog.artifact(result.artifact_id) == artifact
    assert (artifact.kind, artifact.mime_type, artifact.content_hash) == (
        "overview",
        result.mime_type,
        result.content_hash,
    )
    assert artifact.parents == (tape.stream.record.definition_artifact,)
    data = Path(tape.store.path(Content(result.content_hash))).read_bytes()
    assert len(data) == result.bytes == artifact.bytes
    return result, data


def test_a_picture_of_two_takes(tape: Tape) -> None:
    result, data = made(tape, WaveformRequest(width=400, height=150))
    assert (result.mime_type, result.width, result.height) == ("image/png", 400, 150)
    assert (result.sample_range, result.takes, len(result.gaps)) == ((0, FRAMES), (1, 2), 1)
    layout = lay_out(2, 400, 150)
    assert (result.points, result.frames_per_point) == (layout.columns, round(FRAMES / layout.columns, 3))
    pixels = read_png(data)[:, layout.left : layout.left + layout.columns]
    top = layout.lane_top(1)
    lane = pixels[top : top + layout.lane_rows]
    shaded = np.flatnonzero((lane[1] == COLOURS[Ink.GAP]).all(-1))
    ends = (CHUNK + 1000) / FRAMES * layout.columns, (CHUNK + 1500) / FRAMES * layout.columns
    assert abs(shaded[0] - ends[0]) <= 1
    assert abs(shaded[-1] - ends[1]) <= 1
    assert np.flatnonzero((lane[:3] == COLOURS[Ink.TAKE]).all(-1).all(0)).tolist() == [layout.columns // 2]
    heard = (lane == COLOURS[Ink.PEAK]).all(-1) | (lane == COLOURS[Ink.RMS]).all(-1)
    silent = np.flatnonzero(~heard.any(0))
    assert set(silent.tolist()) <= {*shaded.tolist(), layout.columns // 2}
    rows = np.flatnonzero(heard.any(1))
    assert abs(rows[0] - layout.lane_rows / 4) <= 1
    assert made(tape, WaveformRequest(width=400, height=150))[0].content_hash == result.content_hash


@pytest.mark.parametrize(
    ("request_", "points"),
    [
        (WaveformRequest("dat", points=7), 7),
        (WaveformRequest("dat", points=77, bits=16), 77),
        (WaveformRequest("dat", frames_per_point=37), -(-FRAMES // 37)),
        (WaveformRequest("dat"), 1000),
    ],
)
def test_peaks_are_those_of_the_samples(tape: Tape, request_: WaveformRequest, points: int) -> None:
    result, data = made(tape, request_)
    samples = decode_samples(bytes(tape.truth), tape.stream.definition.audio)
    chunks = [(0, samples[:CHUNK]), (CHUNK, samples[CHUNK:])]
    sample_range, frames_per_point, values = points_truth(chunks, 0, FRAMES, points)
    assert (result.sample_range, result.frames_per_point) == (sample_range, frames_per_point)
    assert (result.points, result.width) == (len(values), None)
    truth = {"sample_rate": RATE, "frames_per_point": frames_per_point, "bits": request_.bits or 8}
    assert data == peaks_dat(values, **truth)


def test_a_multiple_of_a_block_is_over_whole_blocks(tape: Tape) -> None:
    result, data = made(tape, WaveformRequest("json", frames_per_point=512), 300, 2000)
    assert (result.mime_type, result.sample_range) == ("application/json", (256, 2048))
    document = json.loads(data)
    assert (document["samples_per_pixel"], document["length"], len(document["data"])) == (512, 4, 16)
    exact, _ = made(tape, WaveformRequest("json", frames_per_point=500), 300, 2000)
    assert (exact.sample_range, exact.points) == ((300, 2000), 4)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (WaveformRequest("svg"), "'svg' is not a format for a waveform: there are png, dat, json"),
        (WaveformRequest(points=100), "points 100: of a png waveform there is width and height"),
        (WaveformRequest("dat", height=100), "height 100: of a dat waveform there is points and frames_per_point"),
        (WaveformRequest("dat", points=1, frames_per_point=256), "give one of them"),
        (WaveformRequest("json", points=0), "points 0: give 1 or more"),
        (WaveformRequest("json", bits=24), "24 bits"),
        (WaveformRequest("dat", points=1_000_001), "1000001 points of 2 channels"),
        (WaveformRequest(width=100), "100 pixels wide"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tape: Tape, request_: WaveformRequest, said: str) -> None:
    with pytest.raises(InvalidValueError, match=said):
        check_request(tape.stream.definition.audio, request_)


def test_too_many_points_for_a_range_are_refused(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jackcapture.control.waveforms.MAX_FILE_VALUES", 100)
    with pytest.raises(InvalidValueError, match="600 points of 2 channels: points times channels may be 100"):
        made(tape, WaveformRequest("dat", frames_per_point=10))
    assert tape.catalog.artifacts(kind="overview") == []
