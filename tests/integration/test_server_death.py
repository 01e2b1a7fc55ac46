"""The JACK server goes and comes back while a stream records."""

import numpy as np

from parts.jackd import StartServer
from parts.rig import StartRig, wait_for
from parts.sources import StartSource, expected_samples

URI = "stream://test/stereo"


def test_take_ends_whole_and_the_next_one_works(
    start_jack_server: StartServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    """A take that loses its server keeps what was recorded and says why; with the server the ports come back."""
    server = start_jack_server()
    source = frame_source(server)
    rig = start_rig(server)
    sources = ("--source", "source:out_.*")
    rig.cli("stream", "create", URI, "--channels", "2", "--chunk-bytes", "65536", *sources)
    rig.cli("stream", "start", URI)
    with rig.client() as client:
        recorded = rig.wait_until_recorded(client, URI, 48000)["head_sample"]
        server.kill()
        source.wait(10)
        ended = wait_for(
            lambda: client.call("stream_status", uri=URI), lambda status: status["status"] == "error", "the take's end"
        )
        assert server.name in ended["error"]
        wait_for(rig.staging_files, lambda files: files == [], "empty staging")
        refused = rig.cli("stream", "start", URI, status=5)
        assert server.name in refused["error"]["message"]
        assert not rig.cli("status")["jack"]["running"]
        first = ended["takes"][0]
        assert first["samples"] is None or first["samples"] >= recorded

        server.start()
        source.start()
        wait_for(lambda: client.call("status")["jack"]["running"], bool, "the engine's return")
        wait_for(
            lambda: client.call("stream_status", uri=URI)["connections"],
            lambda ports: len(ports) == 2 and all(port["connections"] for port in ports),
            "ports and connections",
        )
        first = client.call("stream_status", uri=URI)["takes"][0]
        rig.cli("stream", "start", URI)
        rig.wait_until_recorded(client, URI, first["samples"] + 48000)
        second = rig.cli("stream", "stop", URI)[0]["takes"][1]
        for take in (first, second):
            end = take["first_sample"] + take["samples"]
            part = client.call(
                "stream_slice", uri=URI, from_place=f"sample:{take['first_sample']}", to_place=f"sample:{end}"
            )
            samples = rig.samples(part)
            np.testing.assert_array_equal(samples, expected_samples(take["start_frame"], len(samples), 2))
        assert first["samples"] >= recorded
