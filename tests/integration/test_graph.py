"""What a JACK graph does to a recording: freewheel, other buffer sizes, a counter that wraps, starts in the past."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from jackcapture import Client
from parts.disturbers import StartJackRemote
from parts.jackd import StartServer
from parts.rig import RATE, RigProcess, StartRig, settings_file, wait_for
from parts.sources import StartSource, expected_samples

URI = "stream://test/stereo"
WRAP = 1 << 32


def create(rig: RigProcess) -> None:
    """A stereo stream of the source, in small chunks."""
    rig.cli("stream", "create", URI, "--channels", "2", "--chunk-bytes", "262144", "--source", "source:out_.*")


def judge(
    rig: RigProcess, client: Client, *, frame_offset: int = 0, falls_back: int = 0
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Every sample of the newest take stands at its JACK frame, and what is missing lies in gaps. Gives take and gaps.

    `falls_back`: JACK's counter, which the source plays, went back so many frames, once, and has counted on from there.
    """
    take = client.call("stream_status", uri=URI)["takes"][-1]
    first, frames, begin = take["first_sample"], take["samples"], take["start_frame"] - frame_offset
    part = client.call("stream_slice", uri=URI, from_place=f"sample:{first}", to_place=f"sample:{first + frames}")
    samples = rig.samples(part)
    expected = expected_samples(begin, frames, 2)
    if falls_back:
        there = int(np.argmax((samples != expected).any(axis=1) & samples.any(axis=1)))
        expected[there:] = expected_samples(begin + there - falls_back, frames - there, 2)
    for gap in part["gaps"]:
        expected[gap["position"] - first : gap["position"] - first + gap["frames"]] = 0
    np.testing.assert_array_equal(samples, expected)
    return take, part["gaps"]


def test_freewheel_and_buffer_sizes(
    start_jack_server: StartServer, frame_source: StartSource, start_rig: StartRig, jack_remote: StartJackRemote
) -> None:
    """Nothing is dropped, however much faster than time JACK runs and whatever its period is."""
    server = start_jack_server()
    frame_source(server)
    rig = start_rig(server)
    create(rig)
    remote = jack_remote(server)
    with rig.client() as client:
        rig.cli("stream", "start", URI)
        head = rig.wait_until_recorded(client, URI, RATE // 2)["head_sample"]
        for period in (1024, 128):
            remote.set_buffer_size(period)
            head = rig.wait_until_recorded(client, URI, head + RATE // 2)["head_sample"]
        with remote.freewheeling():
            head = rig.wait_until_recorded(client, URI, head + 15 * RATE)["head_sample"]
        rig.wait_until_recorded(client, URI, head + RATE // 2)
        rig.cli("stream", "stop", URI)
        take, gaps = judge(rig, client, falls_back=1024 - 128)  # jackd 1.9 counts a period of the new length too early
    assert take["samples"] > 17 * RATE
    assert {gap["cause"] for gap in gaps} <= {"xrun"}  # what JACK itself skipped; none of ours


def test_jacks_counter_wraps(
    start_jack_server: StartServer, frame_source: StartSource, start_rig: StartRig, jack_remote: StartJackRemote
) -> None:
    """An offset in the core lets the counter wrap after 24.9 h while a take runs."""
    server = start_jack_server()
    frame_source(server)
    remote = jack_remote(server)
    offset = WRAP - remote.now().frame - 60 * RATE
    rig = start_rig(server, environment={"JACKCAPTURE_TEST_FRAME_OFFSET": str(offset)})
    create(rig)
    with rig.client() as client:
        start_frame = rig.cli("stream", "start", URI)[0]["takes"][0]["start_frame"]
        assert start_frame < WRAP
        rig.wait_until_recorded(client, URI, RATE // 4)
        with remote.freewheeling():  # what is left until then passes in no time
            rig.wait_until_recorded(client, URI, WRAP - start_frame + RATE)
        rig.cli("stream", "stop", URI)
        take, gaps = judge(rig, client, frame_offset=offset)
    assert take["start_frame"] + take["samples"] > WRAP
    assert gaps == []


def test_a_start_may_lie_in_the_past(
    start_jack_server: StartServer, frame_source: StartSource, start_rig: StartRig, jack_remote: StartJackRemote
) -> None:
    server = start_jack_server()
    frame_source(server)
    rig = start_rig(server)
    create(rig)
    remote = jack_remote(server)
    with rig.client() as client:
        created = remote.now().frame
        wait_for(lambda: remote.now().frame, lambda frame: frame > created + 2 * RATE, "two seconds in the ring")
        for at, status in (("-60s", 4), ("-5", 2), ("soon", 2), (str(created + 7200 * RATE), 2), ("-9999h", 4)):
            refused = rig.cli("stream", "start", URI, f"--at={at}", status=status)["error"]["message"]
            assert status == 2 or "its ring goes back to frame" in refused
        assert client.call("stream_status", uri=URI)["takes"] == []
        assert rig.staging_files() == []

        before = remote.now().frame
        rig.cli("stream", "start", URI, "--at=-1.5s")
        rig.wait_until_recorded(client, URI, 2 * RATE)
        rig.cli("stream", "stop", URI)
        take, gaps = judge(rig, client)
        assert gaps == []
        assert take["number"] == 1
        assert before - 1.5 * RATE <= take["start_frame"] < before

        start_frame = remote.now().frame - RATE
        rig.cli("stream", "start", URI, f"--at={start_frame}")
        rig.wait_until_recorded(client, URI, take["samples"] + RATE)
        rig.cli("stream", "stop", URI)
        take, gaps = judge(rig, client)
        assert (take["start_frame"], gaps) == (start_frame, [])


def test_an_engine_with_many_ports_leaves_in_order(
    start_jack_server: StartServer, start_rig: StartRig, jack_remote: StartJackRemote, tmp_path: Path
) -> None:
    """JACK tells a client of each of its ports that goes; one that reads that no more would hang, and JACK with it."""
    server = start_jack_server()
    remote = jack_remote(server)
    # Many channels must fit into the 64 MiB of shared memory that a container has.
    rig = start_rig(server, environment=settings_file(tmp_path, ring_seconds=1))
    rig.cli("stream", "create", "stream://test/wide", "--channels", "80")
    assert rig.stop() == 0
    assert not os.path.exists(rig.rings)  # an engine that had to be killed would leave it
    assert remote.connected("system:playback_1") == []  # JACK answers
