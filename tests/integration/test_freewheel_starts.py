"""Starts and stops while JACK freewheels, which passes what a ring holds in some milliseconds: exact as any other."""

from pathlib import Path

import numpy as np

from jackcapture import Client
from parts.disturbers import StartJackRemote
from parts.jackd import StartServer
from parts.midi import StartMidiSource
from parts.rig import RATE, StartRig, settings_file, wait_for
from parts.sources import StartSource, expected_samples

MONO, STEREO, KEYS = "stream://test/mono", "stream://test/stereo", "stream://test/keys"
URIS = [MONO, STEREO, KEYS]
STARTS = 12


def create(client: Client, keys: str) -> None:
    """The streams, each from a source of its own, with all connections made."""
    client.call("stream_create", uri=MONO, channels=1, sources=["source:out_1"], chunk_size_bytes=1 << 18)
    client.call("stream_create", uri=STEREO, channels=2, sources=["source:out_2", "source:out_3"])
    client.call("stream_create", uri=KEYS, midi=True, sources=[keys])
    wait_for(
        lambda: client.call("stream_list"),
        lambda streams: all(port["connections"] for stream in streams for port in stream["connections"]),
        "the connections",
    )


def wait_until_all_record(client: Client) -> None:
    """Wait until each stream has half a second of its newest take."""
    wait_for(
        lambda: client.call("stream_list"),
        lambda streams: all(it["head_sample"] > it["takes"][-1]["first_sample"] + RATE // 2 for it in streams),
        "half a second in each",
    )


def test_starts_and_stops_in_a_freewheel_are_on_one_frame(
    start_jack_server: StartServer,
    frame_source: StartSource,
    midi_source: StartMidiSource,
    start_rig: StartRig,
    jack_remote: StartJackRemote,
    tmp_path: Path,
) -> None:
    """Streams of audio and MIDI begin, now or in the past, and end together, and hold every frame and event between.

    The rings are as short as they can be (2.7 s), so that hardly any start would find its frame if it were not held.
    """
    server = start_jack_server(1024)
    frame_source(server, 3)
    keys = midi_source(server, rate=20)
    rig = start_rig(server, environment=settings_file(tmp_path, ring_seconds=1))
    remote = jack_remote(server)
    with rig.client() as client:
        create(client, keys.port)
        with remote.freewheeling():
            for number in range(STARTS):
                client.call("stream_start", uris=URIS, at="-200ms" if number % 3 == 2 else "now")
                wait_until_all_record(client)
                client.call("stream_stop", uris=URIS)
        keys.stop_emitting()
        emitted = keys.events()
        takes = {uri: client.call("stream_status", uri=uri)["takes"] for uri in URIS}
        assert {uri: len(of) for uri, of in takes.items()} == dict.fromkeys(URIS, STARTS)
        for together in zip(*takes.values(), strict=True):
            assert len({(take["start_frame"], take["samples"]) for take in together}) == 1, together
        for uri, of_stream in takes.items():
            for take in of_stream:
                start, first, frames = take["start_frame"], take["first_sample"], take["samples"]
                part = client.slice(uri, f"sample:{first}", f"sample:{first + frames}")
                assert part["gaps"] == []
                if uri == KEYS:
                    wanted = [(at - start, data) for at, data in emitted if start <= at < start + frames]
                    assert [(at - first, data) for at, data in part.events()] == wanted
                    continue
                channels, before = (1, 0) if uri == MONO else (2, 1)
                expected = expected_samples(start, frames, channels, first_channel=before)
                np.testing.assert_array_equal(part.array(), expected)
    assert rig.stop() == 0
