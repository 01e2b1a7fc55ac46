"""The JACK server goes and comes back, or lets go of us, while a stream records."""

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from jackcapture import Client
from parts.disturbers import StartJackRemote
from parts.jackd import StartServer
from parts.rig import RATE, RigProcess, StartRig, wait_for
from parts.sources import StartSource, expected_samples, frames_of

URI = "stream://test/stereo"
SOURCES = ("--source", "source:out_.*")


def connections(client: Client, uri: str) -> list[dict[str, Any]]:
    """What the ports of a stream are connected to."""
    ports: list[dict[str, Any]] = client.call("stream_status", uri=uri)["connections"]
    return ports


def whole(
    rig: RigProcess, client: Client, take: dict[str, Any]
) -> tuple[npt.NDArray[np.float32], list[dict[str, Any]]]:
    """The samples of a take and its gaps."""
    first = take["first_sample"]
    end = first + take["samples"]
    part = client.call("stream_slice", uri=URI, from_place=f"sample:{first}", to_place=f"sample:{end}")
    return rig.samples(part), part["gaps"]


def test_a_take_goes_on_when_the_server_is_back(
    start_jack_server: StartServer, frame_source: StartSource, start_rig: StartRig, jack_remote: StartJackRemote
) -> None:
    """One take, one gap of the length of the absence, the same ports and connections; the status tells all along."""
    server = start_jack_server()
    source = frame_source(server)
    by_hand = frame_source(server, 1, first_channel=2, name="other")
    rig = start_rig(server)
    rig.cli("stream", "create", URI, "--channels", "2", "--chunk-bytes", "65536", *SOURCES)
    rig.cli("stream", "create", "stream://test/patched", "--channels", "1")
    remote = jack_remote(server)
    remote.connect("other:out_1", "jackcapture:test-patched_1")
    rig.cli("stream", "start", URI)
    with rig.client() as client:
        rig.wait_until_recorded(client, URI, RATE)
        before = remote.now()
        server.kill()
        remote.stop()
        source.wait(10)
        by_hand.wait(10)
        waiting = wait_for(
            lambda: client.call("stream_status", uri=URI), lambda status: status["status"] == "error", "the alarm"
        )
        assert server.name in waiting["error"]
        assert "goes on when JACK is back" in waiting["error"]
        assert waiting["takes"][0]["samples"] is None
        assert not rig.cli("status")["jack"]["running"]
        assert "recording already" in rig.cli("stream", "start", URI, status=4)["error"]["message"]
        kept = client.call("stream_slice", uri=URI, from_place="start", to_place="head")
        assert kept["sample_range"][1] >= RATE

        server.start()
        source.start()
        by_hand.start()
        for uri in (URI, "stream://test/patched"):
            wait_for(
                functools.partial(connections, client, uri),
                lambda ports: bool(ports) and all(port["connections"] for port in ports),
                "ports and connections",
            )
        # The head crosses the gap, chunk by chunk, when the first frames come: what is behind the gap is waited for.
        back = wait_for(
            lambda: client.call("stream_status", uri=URI),
            lambda status: status["status"] == "recording" and status["gap_count"] > 0,
            "the return",
        )
        assert back["error"] is None
        after = jack_remote(server).now()
        gap = back["gaps"][-1]
        rig.wait_until_recorded(client, URI, gap["position"] + gap["frames"] + 2 * RATE)
        take = rig.cli("stream", "stop", URI)[0]["takes"][0]
        samples, gaps = whole(rig, client, take)

    assert [gap["cause"] for gap in gaps] == ["server_down"]
    gap_start, gap_end = gaps[0]["position"], gaps[0]["position"] + gaps[0]["frames"]
    assert gap_start >= kept["sample_range"][1]
    np.testing.assert_array_equal(samples[:gap_start], expected_samples(take["start_frame"], gap_start, 2))
    assert not samples[gap_start:gap_end].any()
    tail = samples[-RATE:]
    frame_there = frames_of(tail)  # by the new server's counter, which began anew
    passed = (len(samples) - RATE + after.frame - frame_there) - (before.frame - take["start_frame"])
    # A dummy server that is late falls behind real time, so this is no exact measure; the unit tests are.
    assert abs(passed / RATE - (after.usecs - before.usecs) / 1e6) < 0.25


def test_a_take_goes_on_when_jack_has_deactivated_us(
    start_jack_server: StartServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    """No callback tells of it: the heartbeat notices. The same server's counter makes the gap exact."""
    server = start_jack_server()
    frame_source(server)
    rig = start_rig(server, environment={"JACKCAPTURE_TEST_FAIL_AT_CYCLE": str(4 * RATE // 64)})
    rig.cli("stream", "create", URI, "--channels", "2", "--chunk-bytes", "65536", *SOURCES)
    rig.cli("stream", "start", URI)
    with rig.client() as client:
        status = wait_for(
            lambda: client.call("stream_status", uri=URI), lambda status: status["gap_count"] > 0, "the gap", 30
        )
        gap = status["gaps"][-1]
        rig.wait_until_recorded(client, URI, gap["position"] + gap["frames"] + RATE)
        take = rig.cli("stream", "stop", URI)[0]["takes"][0]
        samples, gaps = whole(rig, client, take)
    assert [gap["cause"] for gap in gaps] == ["server_down"]
    assert gaps[0]["frames"] > RATE  # the heartbeat is patient
    gap_start, gap_end = gaps[0]["position"], gaps[0]["position"] + gaps[0]["frames"]
    expected = expected_samples(take["start_frame"], len(samples), 2)
    np.testing.assert_array_equal(samples[:gap_start], expected[:gap_start])
    assert not samples[gap_start:gap_end].any()
    # The connections are made a moment after the first cycle, one after the other.
    again = gap_end + int(np.argmax(samples[gap_end:].all(axis=1)))
    assert again - gap_end < RATE
    np.testing.assert_array_equal(samples[again:], expected[again:])
