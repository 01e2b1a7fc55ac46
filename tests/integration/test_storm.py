"""All that may befall one recording, and a crowd that records undisturbed: every frame is in its place or in a gap."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from jackcapture import Client
from parts.disturbers import JackRemote, StartJackRemote, StartLateClient
from parts.jackd import JackServer, StartServer
from parts.rig import RATE, RigProcess, StartRig, settings_file, wait_for
from parts.sources import FrameSource, StartSource, expected_samples
from parts.witness import Call, Witness, expected_take

URI = "stream://test/storm"
BEHIND = "stream://test/behind"
PERIOD = 1024


def wait_for_connections(client: Client, *uris: str) -> None:
    """Wait until every port of these streams is connected."""
    for uri in uris:
        wait_for(
            lambda uri=uri: client.call("stream_status", uri=uri)["connections"],  # type: ignore[misc]
            lambda ports: bool(ports) and all(port["connections"] for port in ports),
            f"the connections of {uri}",
        )


def record_more(rig: RigProcess, client: Client, frames: int) -> None:
    """Wait until the stream that is judged has so many more frames."""
    head = client.call("stream_status", uri=URI)["head_sample"]
    rig.wait_until_recorded(client, URI, head + frames)


def churn(rig: RigProcess, client: Client, uri: str) -> None:
    """A stream is created, records a moment, and stops."""
    client.call("stream_create", uri=uri, channels=2, sources=["source:out_.*"], chunk_size_bytes=16384)
    client.call("stream_start", uris=[uri])
    rig.wait_until_recorded(client, uri, RATE // 10)
    client.call("stream_stop", uris=[uri])


@contextmanager
def storm(client: Client, server: JackServer, late_client: StartLateClient) -> Iterator[None]:
    """The engine hears a client that is late again and again, so that JACK leaves the engine out of cycles.

    It also has work in its other cycles, as real ones have: a server that is behind then calls the engine twice.
    """
    late = late_client(server, 5 * PERIOD * 1000 // RATE, every=7, work_us=2000)
    wait_for_connections(client, BEHIND)
    gaps = client.call("stream_status", uri=URI)["gap_count"]
    naps = late.tell().slept
    yield
    wait_for(lambda: late.tell().slept, lambda slept: slept >= naps + 12, "a late client")
    wait_for(
        lambda: client.call("stream_status", uri=URI)["gap_count"], lambda count: count >= gaps + 8, "gaps of the storm"
    )
    late.stop()


@pytest.mark.timeout(180)
def test_one_recording_through_everything(
    start_jack_server: StartServer,
    frame_source: StartSource,
    start_rig: StartRig,
    jack_remote: StartJackRemote,
    late_client: StartLateClient,
    tmp_path: Path,
) -> None:
    """What JACK handed to the engine stands at JACK's frame, to the sample, and the gaps are all the rest.

    What was handed over is known from outside of the engine (parts/witness.py): on an asynchronous server nothing else
    tells which cycles a client was called in, and with what, if a source was late as well.
    """
    server = start_jack_server(PERIOD, asynchronous=True)
    source = frame_source(server)
    witness = Witness(tmp_path / "witness", "test-storm")
    rig = start_rig(server, environment=witness.environment)
    remote = jack_remote(server)
    with rig.client() as client:
        client.call(
            "stream_create", uri=URI, channels=2, sources=["source:out_1", "source:out_2"], chunk_size_bytes=65536
        )
        client.call("stream_create", uri=BEHIND, channels=1, sources=["late:out"], chunk_size_bytes=16384)
        wait_for_connections(client, URI)
        client.call("stream_start", uris=[URI])
        record_more(rig, client, RATE // 2)

        with storm(client, server, late_client):
            churn(rig, client, "stream://test/churn-1")
        record_more(rig, client, RATE // 2)

        with remote.freewheeling():
            client.call("stream_start", uris=[BEHIND])
            record_more(rig, client, 20 * RATE)
            client.call("stream_stop", uris=[BEHIND])
            record_more(rig, client, 10 * RATE)
        record_more(rig, client, RATE // 2)

        for period in (2 * PERIOD, PERIOD // 2):
            remote.set_buffer_size(period)
            record_more(rig, client, RATE // 2)

        kill_and_restart(client, server, source, remote)
        remote = jack_remote(server)
        record_more(rig, client, RATE // 2)
        with storm(client, server, late_client):
            churn(rig, client, "stream://test/churn-2")
        record_more(rig, client, RATE // 2)

        take = client.call("stream_stop", uris=[URI])[0]["takes"][0]
        whole = client.call("stream_slice", uri=URI, from_place="start", to_place="head")
        samples = rig.samples(whole)
    assert rig.stop() == 0  # the witness, too, is at its end

    expected = expected_take(witness.calls(), take["start_frame"], take["samples"], 2, RATE)
    assert [(gap["position"], gap["frames"], gap["cause"]) for gap in whole["gaps"]] == expected.gaps
    np.testing.assert_array_equal(samples, expected.samples)

    # JACK's part: what it handed over was the source's frame of that number, but where the source was late itself.
    true = [call for call in expected.calls if is_of_the_source(call)]
    print(
        f"{take['samples']} frames, {len(expected.gaps)} gaps, {expected.second_calls} second calls in a cycle, "
        f"{len(expected.calls) - len(true)} of {len(expected.calls)} periods without the source's own frames"
    )
    assert len(true) > len(expected.calls) // 2
    assert {call.client for call in true} == {1, 2}
    assert {call.frames for call in true} == {PERIOD // 2, PERIOD, 2 * PERIOD}
    assert [cause for _, _, cause in expected.gaps].count("server_down") == 1
    assert len(expected.gaps) > 16


def is_of_the_source(call: Call) -> bool:
    """Whether JACK handed over what the source plays at that frame."""
    return call.samples is not None and np.array_equal(call.samples, expected_samples(call.frame, call.frames, 2))


def kill_and_restart(client: Client, server: JackServer, source: FrameSource, remote: JackRemote) -> None:
    """The server is killed and comes back under its name, with the source; returns when the engine records again."""
    server.kill()
    remote.stop()
    source.wait()
    down = wait_for(
        lambda: client.call("stream_status", uri=URI), lambda status: status["status"] == "error", "the alarm"
    )
    server.start()
    source.start()
    wait_for(
        lambda: client.call("stream_status", uri=URI),
        lambda status: status["status"] == "recording" and status["gap_count"] > down["gap_count"],
        "the return",
    )
    wait_for_connections(client, URI)


@pytest.mark.timeout(180)
def test_what_comes_and_goes_costs_the_others_no_frame(
    jack_server: JackServer,
    frame_source: StartSource,
    start_rig: StartRig,
    jack_remote: StartJackRemote,
    tmp_path: Path,
) -> None:
    """32 streams record on, while others are created, started and stopped, and a source comes and goes."""
    frame_source(jack_server)
    guest = frame_source(jack_server, 1, first_channel=2, name="guest")
    remote = jack_remote(jack_server)
    # Many channels must fit into the 64 MiB of shared memory that a container has.
    rig = start_rig(jack_server, environment=settings_file(tmp_path, ring_seconds=4))
    steady = {f"stream://test/steady-{number}": 1 + (number % 4 == 0) for number in range(32)}
    with rig.client() as client:
        for uri, channels in steady.items():
            sources = [f"source:out_{channel + 1}" for channel in range(channels)]
            client.call("stream_create", uri=uri, channels=channels, sources=sources, chunk_size_bytes=262144)
        wait_for_connections(client, *steady)
        client.call("stream_start", uris=list(steady))

        for number in range(5):
            uri = f"stream://test/churn-{number}"
            client.call("stream_create", uri=uri, channels=1, sources=["guest:out_1"], chunk_size_bytes=16384)
            wait_for_connections(client, uri)
            client.call("stream_start", uris=[uri])
            rig.wait_until_recorded(client, uri, RATE // 10)
            remote.disconnect("guest:out_1", f"jackcapture:test-churn-{number}_1")
            client.call("stream_stop", uris=[uri])
            guest.stop()
            guest.start()

        stopped = client.call("stream_stop", uris=list(steady))
        assert len({stream["takes"][0]["start_frame"] for stream in stopped}) == 1
        for stream in stopped:
            assert (stream["gap_count"], stream["lost_frames"]) == (0, 0)
            take = rig.sealed_take(client, stream["uri"])
            assert sum(chunk["samples"] for chunk in take["chunks"]) == take["samples"] > RATE
            for chunk in take["chunks"]:
                samples = np.fromfile(rig.content(chunk["content_hash"]), "<f4").reshape(-1, steady[stream["uri"]])
                frame = take["start_frame"] + chunk["first_sample"] - take["first_sample"]
                np.testing.assert_array_equal(samples, expected_samples(frame, chunk["samples"], samples.shape[1]))
    assert rig.stop() == 0
