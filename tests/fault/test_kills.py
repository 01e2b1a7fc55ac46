"""A killed control, a killed engine, both: what a recording goes through, and what is left of it."""

import os
import signal
from typing import Any

import numpy as np

from jackcapture import Client
from jackcapture.processes.children import is_alive
from parts.jackd import JackServer
from parts.rig import RigProcess, StartRig, wait_for
from parts.sources import StartSource, expected_samples

URI = "stream://test/stereo"
RATE = 48000


def create(rig: RigProcess) -> None:
    """Define the stream, connected to the source."""
    sources = ("--source", "source:out_.*")
    rig.cli("stream", "create", URI, "--channels", "2", "--chunk-bytes", "65536", *sources)


def wait_for_gaps(client: Client, count: int) -> dict[str, Any]:
    """Wait until the stream has so many gaps and records; give its status then."""
    status: dict[str, Any] = wait_for(
        lambda: client.call("stream_status", uri=URI),
        lambda status: bool(status["gap_count"] == count and status["status"] == "recording"),
        f"{count} gaps",
    )
    return status


def test_killed_control_loses_nothing(jack_server: JackServer, frame_source: StartSource, start_rig: StartRig) -> None:
    """The engine records on; a new control takes up its streams, and every frame is there."""
    frame_source(jack_server)
    rig = start_rig(jack_server)
    create(rig)
    start = rig.cli("stream", "start", URI)[0]["takes"][0]["start_frame"]
    with rig.client() as client:
        head = rig.wait_until_recorded(client, URI, RATE)["head_sample"]
    killed = rig.cli("status")["control"]["pid"]
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: is_alive(killed), lambda alive: not alive, "control's end")
    wait_for(lambda: rig.run("status").returncode, lambda status: status == 0, "a new control")
    with rig.client() as client:
        status = client.call("status")
        assert status["control"]["pid"] != killed
        assert status["engine"]["pid"] == rig.ready["engine"]
        rig.wait_until_recorded(client, URI, head + 4 * RATE)
        stopped = rig.cli("stream", "stop", URI)[0]
        assert (stopped["gap_count"], len(stopped["takes"])) == (0, 1)
        whole = client.call("stream_slice", uri=URI, from_place="start", to_place="head")
    samples = rig.samples(whole)
    np.testing.assert_array_equal(samples, expected_samples(start, len(samples), 2))
    assert rig.staging_files() == []


def test_a_killed_engine_is_followed_by_one_that_goes_on(
    jack_server: JackServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    """Control notices, and starts the next engine, which goes on in the take: one gap, and every other frame."""
    frame_source(jack_server)
    rig = start_rig(jack_server)
    create(rig)
    start = rig.cli("stream", "start", URI)[0]["takes"][0]["start_frame"]
    engine = rig.ready["engine"]
    deaths = 3
    with rig.client() as client:
        for gaps in range(deaths):
            head = client.call("stream_status", uri=URI)["head_sample"]
            rig.wait_until_recorded(client, URI, head + RATE)
            os.kill(engine, signal.SIGKILL)
            status = wait_for_gaps(client, gaps + 1)
            gap = status["gaps"][-1]
            assert gap["frames"] < 10 * RATE
            wait_for(
                lambda: client.call("stream_status", uri=URI)["connections"],
                lambda ports: len(ports) == 2 and all(port["connections"] for port in ports),
                "ports and connections",
            )
            rig.wait_until_recorded(client, URI, gap["position"] + gap["frames"] + RATE)
            engine = client.call("status")["engine"]["pid"]
        stopped = rig.cli("stream", "stop", URI)[0]
        assert (stopped["status"], stopped["error"], len(stopped["takes"])) == ("stopped", None, 1)
        whole = client.slice(URI, "start", "head")
    samples = rig.samples(whole.data)
    expected = expected_samples(start, len(samples), 2)
    assert [gap["cause"] for gap in whole["gaps"]] == ["engine_died"] * deaths
    end = 0
    for gap in whole["gaps"]:
        np.testing.assert_array_equal(samples[end : gap["position"]], expected[end : gap["position"]])
        gap_end = gap["position"] + gap["frames"]
        assert not samples[gap["position"] : gap_end].any()
        # The connections are made a moment after the first cycle, one after the other.
        end = gap_end + int(np.argmax(samples[gap_end:].all(axis=1)))
        assert end - gap_end < RATE // 2
    np.testing.assert_array_equal(samples[end:], expected[end:])
    assert rig.staging_files() == []


def test_both_killed_and_started_again_lose_nothing_but_the_hole(
    jack_server: JackServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    """`up` starts control, control starts an engine, and that goes on in the take."""
    frame_source(jack_server)
    rig = start_rig(jack_server)
    create(rig)
    start = rig.cli("stream", "start", URI)[0]["takes"][0]["start_frame"]
    with rig.client() as client:
        rig.wait_until_recorded(client, URI, 2 * RATE)
        status = client.call("status")
    os.kill(status["control"]["pid"], signal.SIGKILL)
    os.kill(status["engine"]["pid"], signal.SIGKILL)
    wait_for(lambda: is_alive(status["control"]["pid"]), lambda alive: not alive, "control's end")
    wait_for(lambda: rig.run("status").returncode, lambda code: code == 0, "a new control")
    with rig.client() as client:
        status = wait_for_gaps(client, 1)
        gap = status["gaps"][0]
        rig.wait_until_recorded(client, URI, gap["position"] + gap["frames"] + RATE)
        stopped = rig.cli("stream", "stop", URI)[0]
        assert (stopped["status"], stopped["gap_count"], len(stopped["takes"])) == ("stopped", 1, 1)
        whole = client.slice(URI, "start", "head")
    samples = rig.samples(whole.data)
    assert whole["gaps"][0]["cause"] == "engine_died"
    position = gap["position"]
    assert position >= 2 * RATE
    np.testing.assert_array_equal(samples[:position], expected_samples(start, position, 2))
    assert not samples[position : position + gap["frames"]].any()
    tail = samples[-RATE // 2 :]
    np.testing.assert_array_equal(tail, expected_samples(start + len(samples) - len(tail), len(tail), 2))
    assert rig.staging_files() == []
