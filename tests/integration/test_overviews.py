"""Overviews of what a JACK server plays: those of the slice, live and sealed, and as the command line draws them."""

import json
import struct
from typing import Any

import numpy as np
import pytest

from jackcapture import Client
from jackcapture.errors import ConflictError, InvalidValueError
from parts.jackd import JackServer
from parts.overviews import points_truth
from parts.png import read_png
from parts.rig import RigProcess, StartRig, wait_for
from parts.sources import StartSource

RATE = 48000
CHUNK_BYTES = 65536
URI = "stream://test/stereo"


def create(rig: RigProcess, sample_format: str) -> None:
    """Define a stream of two channels in small chunks, connected to the source."""
    options = ("--channels", "2", "--chunk-bytes", str(CHUNK_BYTES), "--format", sample_format)
    rig.cli("stream", "create", URI, *options, "--source", "source:out_1", "--source", "source:out_2")


def check(rig: RigProcess, client: Client, first: int, last: int, points: int, step: float) -> dict[str, Any]:
    """Compare the overview of a range with the samples of a slice; `step` is that of the format.

    Both are of the same samples, for the range is settled: it lies before the head, and ends with a block.
    """
    found = client.overview(URI, f"sample:{first}", f"sample:{last}", points=points)
    begin, end = found["sample_range"]
    cut = client.call("stream_slice", uri=URI, from_place=f"sample:{begin}", to_place=f"sample:{end}")
    chunk_frames = CHUNK_BYTES // (4 if step else 8)
    samples = rig.samples(cut)
    # As they lie in the chunks of the one take.
    ends = [at for at in range(begin + 1, end + 1) if at % chunk_frames == 0 or at == end]
    chunks = [(start, samples[start - begin : stop - begin]) for start, stop in zip([begin, *ends], ends, strict=False)]
    sample_range, frames_per_point, values = points_truth(chunks, first, last, points)
    assert (tuple(found["sample_range"]), found["frames_per_point"]) == (sample_range, frames_per_point)
    assert found["points"] == len(values)
    assert found["gaps"] == []
    for channel, waveform in enumerate(found["waveforms"]):
        for kind, name in enumerate(("min", "max", "rms")):
            np.testing.assert_allclose(waveform[name], values[:, channel, kind], atol=1.1e-6 + step)
    return found


@pytest.mark.parametrize(("sample_format", "step"), [("f32", 0.0), ("i16", 1 / 32768)])
def test_an_overview_is_that_of_the_slice(
    sample_format: str, step: float, jack_server: JackServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    """Over many chunks, sealed, full and in progress."""
    frame_source(jack_server, 2)
    rig = start_rig(jack_server)
    create(rig, sample_format)
    rig.cli("stream", "start", URI)
    with rig.client() as client:
        for seconds in (2, 3):
            head = rig.wait_until_recorded(client, URI, seconds * RATE)["head_sample"] // 256 * 256
            check(rig, client, 0, head, 100, step)
            check(rig, client, 1000, head - 77, 7, step)
            check(rig, client, 1000, 2001, 300, step)
            newest = client.overview(URI, "-1s", "head", points=100)
            assert newest["sample_range"][1] >= head
            assert RATE <= newest["sample_range"][1] - newest["sample_range"][0] <= RATE + 512
        live = client.overview(URI, "start", f"sample:{head}")
        rig.cli("stream", "stop", URI)
        assert client.overview(URI, "start", f"sample:{head}") == live
        end = client.call("stream_status", uri=URI)["head_sample"]
        check(rig, client, 0, end, 1000, step)
        with pytest.raises(InvalidValueError, match="0 points"):
            client.overview(URI, "start", "head", points=0)
        # The overviews were written by the engine and sealed, not made from the samples.
        manifest = client.call("artifact_list", kind="manifest")[0]
        takes = json.loads(rig.content(manifest["content_hash"]).read_bytes())["takes"]
        chunks = [chunk for take in takes for chunk in take["chunks"]]
        assert len(chunks) > 8
        for chunk in chunks:
            blocks = -(-chunk["samples"] // 256)
            assert rig.content(chunk["overview_hash"]).stat().st_size == blocks * 2 * 12
    assert "overview" not in rig.log
    wait_for(rig.staging_files, lambda files: files == [], "empty staging")


def test_the_command_draws_each_channel(
    jack_server: JackServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    frame_source(jack_server, 2)
    rig = start_rig(jack_server)
    create(rig, "f32")
    rig.cli("stream", "start", URI)
    with rig.client() as client:
        rig.wait_until_recorded(client, URI, RATE)
    rig.cli("stream", "stop", URI)
    document = rig.cli("overview", URI, "--from", "sample:0", "--to", "sample:25600", "--points", "50")
    assert (document["points"], document["frames_per_point"], document["channels"]) == (50, 512, 2)
    drawn = rig.run("overview", URI, "--points", "40")
    assert drawn.returncode == 0, drawn.stderr
    lines = drawn.stdout.splitlines()
    assert lines[0].startswith(f"{URI} 0 to ")
    assert [line.partition(":")[0] for line in lines if line.startswith("channel")] == ["channel 1", "channel 2"]
    assert len(lines) == 1 + 2 * 5
    assert "█" in drawn.stdout
    assert max(map(len, lines[2:6])) <= 40
    assert rig.cli("overview", "stream://test/none", status=3)["error"]["code"] == "not_found"
    waveforms(rig)


def waveforms(rig: RigProcess) -> None:
    """Draw what was recorded: a picture, and peaks, which are those of the slice."""
    span, picture = ("sample:0", "sample:24000"), rig.root.parent / "picture.png"
    size = ("--width", "300", "--height", "120", "--out", str(picture))
    drawn = rig.cli("waveform", URI, "--from", span[0], "--to", span[1], *size)
    assert (drawn["mime_type"], drawn["path"], drawn["bytes"]) == ("image/png", str(picture), picture.stat().st_size)
    assert read_png(picture.read_bytes()).shape == (120, 300, 3)
    said = rig.run("waveform", URI, "--from", span[0], "--to", span[1], "--format", "json", "--points", "240")
    assert "240 points, 100 frames each" in said.stdout, said.stderr
    with rig.client() as client:
        assert rig.content(drawn["content_hash"]).read_bytes() == picture.read_bytes()
        newest, older = client.call("artifact_list", kind="overview")
        assert (newest["mime_type"], older["id"]) == ("application/json", drawn["artifact_id"])
        document = json.loads(rig.content(newest["content_hash"]).read_bytes())
        assert (document["samples_per_pixel"], document["bits"], document["length"]) == (100, 8, 240)
        peaks = client.waveform(URI, *span, output_format="dat", frames_per_point=100, bits=16)
        data = rig.content(peaks["content_hash"]).read_bytes()
        assert struct.unpack_from("<iIiiIi", data) == (2, 0, RATE, 100, 240, 2)
        parts = client.slice(URI, *span).array().reshape(240, 100, 2)
        found = np.frombuffer(data, "<i2", offset=24).reshape(240, 2, 2)
        np.testing.assert_array_equal(found, np.rint(np.stack([parts.min(1), parts.max(1)], 2) * 32768))
        with pytest.raises(ConflictError, match="exists already"):
            client.waveform(URI, *span, path=picture)
