"""From the JACK graph to a slice: every frame once, at its place, in every channel."""

import os
import subprocess
import time
from contextlib import closing
from typing import Any

import jack
import numpy as np
import pytest
from blake3 import blake3

from jackcapture import Client
from jackcapture.model.streams import SampleFormat
from parts.core_harness import as_stored
from parts.jackd import JackServer
from parts.rig import RigProcess, StartRig, wait_for
from parts.sources import StartSource, expected_samples, frames_of

STEREO = "stream://test/stereo"
OCTET = "stream://test/octet"
PERIOD = 64
RATE = 48000


def create(rig: RigProcess, uri: str, channels: int, *options: str) -> None:
    """Define a stream whose channels are connected to those of the frame source."""
    sources = [word for n in range(1, channels + 1) for word in ("--source", f"source:out_{n}")]
    rig.cli("stream", "create", uri, "--channels", str(channels), "--chunk-bytes", "65536", *sources, *options)


def check_exact(rig: RigProcess, client: Client, result: dict[str, Any], uri: str) -> None:
    """Check that a slice holds the frames of its range: the sample at a position is that position's JACK frame."""
    take = client.call("stream_status", uri=uri)["takes"][0]
    samples = rig.samples(result)
    first, end = result["sample_range"]
    assert samples.shape[0] == end - first
    assert result["gaps"] == []
    frames_of(samples)
    start_frame = take["start_frame"] + first - take["first_sample"]
    np.testing.assert_array_equal(samples, expected_samples(start_frame, samples.shape[0], samples.shape[1]))


@pytest.mark.timeout(180)
def test_two_streams_hold_every_frame_once(
    jack_server: JackServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    """20 s of 2 and 8 channels at 64-frame periods in chunks of 64 KiB: well over 100 hand-overs."""
    frame_source(jack_server, 8)
    rig = start_rig(jack_server)
    create(rig, STEREO, 2)
    create(rig, OCTET, 8)
    started = rig.cli("stream", "start", STEREO, OCTET)
    assert started[0]["takes"][0]["start_frame"] == started[1]["takes"][0]["start_frame"]
    judge = jack.Client("judge", no_start_server=True, servername=jack_server.name)
    with rig.client() as client, closing(judge):
        rig.wait_until_recorded(client, OCTET, 20 * RATE)
        for _ in range(10):
            frame_at_call = judge.frame_time
            live = client.call("stream_slice", uri=STEREO, from_place="-2s", to_place="head")
            check_exact(rig, client, live, STEREO)
            end_frame = started[0]["takes"][0]["start_frame"] + live["sample_range"][1]
            assert frame_at_call - end_frame <= PERIOD + RATE // 20
            assert live["sample_range"][1] - live["sample_range"][0] == 2 * RATE
        stopped = rig.cli("stream", "stop", STEREO, OCTET)
        assert stopped[0]["head_sample"] == stopped[1]["head_sample"] >= 20 * RATE
        assert sum(stream["chunks"]["sealed"] for stream in stopped) > 300
        assert rig.staging_files() == []
        for uri in (STEREO, OCTET):
            whole = client.call("stream_slice", uri=uri, from_place="start", to_place="head")
            assert whole["sample_range"] == [0, stopped[0]["head_sample"]]
            check_exact(rig, client, whole, uri)
    assert all(stream["gap_count"] == 0 for stream in stopped)


def test_content_is_named_by_its_hash(jack_server: JackServer, frame_source: StartSource, start_rig: StartRig) -> None:
    """Names are hashes, as b3sum computes them too, and equal bytes are stored once."""
    frame_source(jack_server, 2)
    rig = start_rig(jack_server)
    create(rig, STEREO, 2)
    rig.cli("stream", "start", STEREO)
    with rig.client() as client:
        rig.wait_until_recorded(client, STEREO, RATE // 2)
        rig.cli("stream", "stop", STEREO)
        first = client.call("stream_slice", uri=STEREO, from_place="sample:100", to_place="sample:20000")
        files = len(rig.content_files())
        second = client.call("stream_slice", uri=STEREO, from_place="sample:100", to_place="sample:20000")
    assert first["content_hash"] == second["content_hash"]
    assert first["artifact_id"] != second["artifact_id"]
    assert len(rig.content_files()) == files
    said = subprocess.run(["b3sum", *map(str, rig.content_files())], check=True, capture_output=True, text=True).stdout
    for line in said.splitlines():
        digest, _, path = line.partition("  ")
        assert os.path.basename(path) == digest
    for file in rig.content_files():
        assert blake3(file.read_bytes()).hexdigest() == file.name
        assert file.stat().st_mode & 0o777 == 0o444
    assert rig.staging_files() == []


@pytest.mark.timeout(180)
def test_integer_slices_are_what_numpy_makes_of_the_floats(
    jack_server: JackServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    """The same frames in three sample formats, to the last bit."""
    frame_source(jack_server, 2)
    rig = start_rig(jack_server)
    formats = {f"stream://test/{sample_format}": sample_format for sample_format in SampleFormat}
    for uri, sample_format in formats.items():
        create(rig, uri, 2, "--format", sample_format.value)
    with rig.client() as client:
        for uri in formats:
            wait_for(
                lambda uri=uri: client.call("stream_status", uri=uri)["connections"],  # type: ignore[misc]
                lambda ports: all(port["connections"] for port in ports),
                f"the connections of {uri}",
            )
        rig.cli("stream", "start", *formats)
        rig.wait_until_recorded(client, "stream://test/f32", RATE // 2)
        takes = {stream["uri"]: stream["takes"][0] for stream in rig.cli("stream", "stop", *formats)}
        assert len({(take["start_frame"], take["samples"]) for take in takes.values()}) == 1
        take = takes["stream://test/f32"]
        floats = expected_samples(take["start_frame"], take["samples"], 2)
        for uri, sample_format in formats.items():
            raw = rig.cli("slice", uri, "--from", "start", "--to", "head", "--format", "raw")
            assert raw["gaps"] == []
            assert rig.content(raw["content_hash"]).read_bytes() == as_stored(floats, sample_format)


def test_a_held_interpreter_costs_no_frame(
    jack_server: JackServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    """A Python thread that holds the engine's interpreter for 2 s at a time: the ring absorbs it."""
    frame_source(jack_server, 2)
    rig = start_rig(jack_server, environment={"JACKCAPTURE_TEST_HOLD_INTERPRETER": "2"})
    create(rig, STEREO, 2)
    rig.cli("stream", "start", STEREO)
    with rig.client() as client:
        rig.wait_until_recorded(client, STEREO, 5 * RATE)
        stopped = rig.cli("stream", "stop", STEREO)[0]
        assert stopped["gap_count"] == stopped["lost_frames"] == 0
        whole = client.call("stream_slice", uri=STEREO, from_place="start", to_place="head")
        check_exact(rig, client, whole, STEREO)


def test_takes_follow_each_other(jack_server: JackServer, frame_source: StartSource, start_rig: StartRig) -> None:
    """Sample positions run on over takes; each take is exact by itself."""
    frame_source(jack_server, 2)
    rig = start_rig(jack_server)
    create(rig, STEREO, 2)
    ends: list[int] = []
    with rig.client() as client:
        for _ in range(2):
            rig.cli("stream", "start", STEREO)
            begin = ends[-1] if ends else 0
            rig.wait_until_recorded(client, STEREO, begin + RATE // 2)
            ends.append(rig.cli("stream", "stop", STEREO)[0]["head_sample"])
        takes = client.call("stream_status", uri=STEREO)["takes"]
        assert [take["first_sample"] for take in takes] == [0, ends[0]]
        for take in takes:
            end = take["first_sample"] + take["samples"]
            part = client.call(
                "stream_slice", uri=STEREO, from_place=f"sample:{take['first_sample']}", to_place=f"sample:{end}"
            )
            np.testing.assert_array_equal(rig.samples(part), expected_samples(take["start_frame"], take["samples"], 2))
        both = client.call("stream_slice", uri=STEREO, from_place="start", to_place="head")
        assert both["takes"] == [1, 2]
        assert rig.samples(both).shape == (ends[1], 2)


@pytest.mark.parametrize(("sample_format", "scale", "bits"), [("i16", 32768, 16), ("i24", 8388608, 32)])
def test_integer_formats(
    sample_format: str,
    scale: int,
    bits: int,
    jack_server: JackServer,
    frame_source: StartSource,
    start_rig: StartRig,
) -> None:
    """i16 and i24 hold what numpy computes from the float source; a WAV of them opens in soundfile."""
    import soundfile

    frame_source(jack_server, 2)
    rig = start_rig(jack_server)
    create(rig, STEREO, 2, "--format", sample_format)
    rig.cli("stream", "start", STEREO)
    with rig.client() as client:
        rig.wait_until_recorded(client, STEREO, RATE // 2)
        stopped = rig.cli("stream", "stop", STEREO)[0]
        whole = client.call("stream_slice", uri=STEREO, from_place="start", to_place="head")
    samples, _ = soundfile.read(rig.content(whole["content_hash"]), dtype=f"int{bits}", always_2d=True)
    truth = expected_samples(stopped["takes"][0]["start_frame"], samples.shape[0], 2).astype(np.float64)
    wanted = np.clip(np.rint(truth * scale), -scale, scale - 1).astype(np.int64)
    np.testing.assert_array_equal(samples.astype(np.int64) // (256 if sample_format == "i24" else 1), wanted)


def test_grab_gives_one_common_range(jack_server: JackServer, frame_source: StartSource, start_rig: StartRig) -> None:
    """Grab cuts the same JACK frames out of all recording streams, and says when less was there."""
    frame_source(jack_server, 8)
    rig = start_rig(jack_server)
    create(rig, STEREO, 2)
    create(rig, OCTET, 8)
    rig.cli("stream", "start", STEREO)
    rig.cli("stream", "start", OCTET)
    out = rig.root.parent / "grabbed"  # which grab makes
    with rig.client() as client:
        rig.wait_until_recorded(client, OCTET, RATE)
        results = rig.cli("grab", "500ms", "--out", str(out))
        frames = set()
        for result in results:
            take = client.call("stream_status", uri=result["stream_uri"])["takes"][0]
            frames.add(tuple(at - take["first_sample"] + take["start_frame"] for at in result["sample_range"]))
            check_exact(rig, client, result, result["stream_uri"])
            assert result["sample_range"][1] - result["sample_range"][0] == RATE // 2
            assert os.path.getsize(result["path"]) == result["bytes"]
            assert not result["clipped"]
        assert len(frames) == 1
        longer = client.call("grab", duration="1h", uris=[STEREO])[0]
        assert longer["clipped"]
        assert longer["sample_range"][0] == 0


def test_wall_clock_of_a_slice(jack_server: JackServer, frame_source: StartSource, start_rig: StartRig) -> None:
    """The wall clock of a slice lies between the moments before its start and after its end were read."""
    import datetime

    frame_source(jack_server, 2)
    rig = start_rig(jack_server)
    create(rig, STEREO, 2)
    before = time.time()
    rig.cli("stream", "start", STEREO)
    with rig.client() as client:
        rig.wait_until_recorded(client, STEREO, RATE)
        result = client.call("stream_slice", uri=STEREO, from_place="start", to_place="head")
    after = time.time()
    first, last = (datetime.datetime.fromisoformat(result["wall_clock"][end]).timestamp() for end in ("from", "to"))
    error = result["wall_clock"]["error_ms"] / 1000
    period = PERIOD / RATE
    assert before - error - period <= first < last <= after + error + period
