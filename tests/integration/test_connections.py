"""Sources that come, go and are elsewhere; what nobody may touch; latencies; and what cannot be connected at all."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from jackcapture import Client
from jackcapture.errors import ConflictError
from parts.disturbers import JackRemote, StartJackRemote, StartLateClient, StartLatentSource
from parts.jackd import JackServer, StartServer
from parts.midi import StartMidiSource
from parts.rig import RATE, RigProcess, StartRig, wait_for
from parts.sources import StartSource, expected_samples

URI = "stream://test/main"
PATIENCE = 20.0


def create(rig: RigProcess, channels: int, *sources: str, uri: str = URI) -> dict[str, Any]:
    """A stream in small chunks."""
    named = [word for source in sources for word in ("--source", source)]
    created: dict[str, Any] = rig.cli(
        "stream", "create", uri, "--channels", str(channels), "--chunk-bytes", "262144", *named
    )
    return created


def connections(status: dict[str, Any]) -> list[list[str]]:
    """What each port of a stream is connected to."""
    return [sorted(port["connections"]) for port in status["connections"]]


def wait_for_connections(
    client: Client, *expected: list[str], absent: tuple[str, ...] = (), uri: str = URI
) -> dict[str, Any]:
    """Wait until a stream's ports have these connections and no others, and these sources are absent; give its status.

    Connections go a moment before their ports do.
    """
    status: dict[str, Any] = wait_for(
        lambda: client.call("stream_status", uri=uri),
        lambda status: (connections(status), tuple(status["unconnected"])) == (list(expected), absent),
        f"the connections {expected} without {absent}",
        PATIENCE,
    )
    return status


def record_more(rig: RigProcess, client: Client, frames: int) -> int:
    """Wait until the stream has so many frames more than now; give its head."""
    head = client.call("stream_status", uri=URI)["head_sample"]
    return int(rig.wait_until_recorded(client, URI, head + frames)["head_sample"])


def only_take(rig: RigProcess, client: Client) -> tuple[dict[str, Any], npt.NDArray[np.float32], list[dict[str, Any]]]:
    """The only take, its samples, and its gaps: JACK skips frames when a client is killed."""
    (take,) = client.call("stream_status", uri=URI)["takes"]
    part = client.call("stream_slice", uri=URI, from_place="start", to_place="head")
    assert {gap["cause"] for gap in part["gaps"]} <= {"xrun"}
    return take, rig.samples(part), part["gaps"]


def test_names_and_patterns_fill_the_channels_in_their_order(
    jack_server: JackServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    """What is absent is silence, is listed, and keeps its channel."""
    frame_source(jack_server, 2)
    frame_source(jack_server, 2, first_channel=2, name="synth (x.2)")
    rig = start_rig(jack_server)
    created = create(rig, 6, "synth (x.2):out_2", "nobody:out", "source:out_.*", "synth (x.2):out_2", "none:.*")
    assert created["unconnected"] == ["nobody:out", "none:.*"]
    with rig.client() as client:
        expected = [["synth (x.2):out_2"], [], ["source:out_1"], ["source:out_2"], ["synth (x.2):out_2"], []]
        wait_for_connections(client, *expected, absent=("nobody:out", "none:.*"))
        # From here on the connections are in effect, and the ring holds what came since.
        rig.cli("stream", "start", URI)
        record_more(rig, client, RATE // 2)
        rig.cli("stream", "stop", URI)
        take, samples, _ = only_take(rig, client)
    known = expected_samples(take["start_frame"], len(samples), 4)
    silence = np.zeros(len(samples), np.float32)
    for channel, carried in enumerate([known[:, 3], silence, known[:, 0], known[:, 1], known[:, 3], silence]):
        np.testing.assert_array_equal(samples[-RATE // 4 :, channel], carried[-RATE // 4 :])
    text = rig.run("stream", "status", URI).stdout
    assert "unconnected: nobody:out" in text
    assert "jackcapture:test-main_1 <- synth (x.2):out_2\n" in text  # nothing about a latency that there is not


@pytest.mark.timeout(240)
def test_a_source_comes_goes_and_comes_back(
    jack_server: JackServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    """It is connected whenever it is there, is silence and is listed while it is not, and the take goes on."""
    rig = start_rig(jack_server)
    created = create(rig, 3, "source:out_.*", "steady:out_1")
    assert created["unconnected"] == ["source:out_.*", "steady:out_1"]
    frame_source(jack_server, 1, first_channel=2, name="steady")
    ours = (["source:out_1"], ["source:out_2"], ["steady:out_1"])
    with rig.client() as client:
        wait_for_connections(client, [], [], ["steady:out_1"], absent=("source:out_.*",))
        rig.cli("stream", "start", URI)
        marks = [(record_more(rig, client, RATE // 4), False)]  # (position, whether the source is heard there)
        source = frame_source(jack_server)
        for end in (source.stop, source.kill, source.kill):
            wait_for_connections(client, *ours)
            record_more(rig, client, RATE // 8)
            marks.append((record_more(rig, client, RATE // 4), True))
            end()
            wait_for_connections(client, [], [], ["steady:out_1"], absent=("source:out_.*",))
            record_more(rig, client, RATE // 8)
            marks.append((record_more(rig, client, RATE // 4), False))
            source.start()
        for _ in range(4):  # back at once: perhaps between two looks
            wait_for_connections(client, *ours)
            source.stop()
            source.start()
        wait_for_connections(client, *ours)
        record_more(rig, client, RATE // 8)
        marks.append((record_more(rig, client, RATE // 4), True))
        rig.cli("stream", "stop", URI)
        take, samples, gaps = only_take(rig, client)
    expected = expected_samples(take["start_frame"], len(samples), 3)
    in_gap = np.zeros(len(samples), np.bool_)
    for gap in gaps:
        in_gap[gap["position"] : gap["position"] + gap["frames"]] = True
    for channel in range(3):
        heard = samples[:, channel] == expected[:, channel]
        wrong = np.flatnonzero(~heard & (samples[:, channel] != 0))
        assert not wrong.size, f"channel {channel}: {wrong.size} samples are neither silence nor their frame: {wrong}"
        for position, is_there in marks:
            part = heard if is_there or channel == 2 else samples[:, channel] == 0
            missing = np.flatnonzero(~(part | in_gap)[position - RATE // 8 : position])
            assert not missing.size, (channel, position, is_there, missing, gaps)


def test_no_other_connection_is_touched(
    jack_server: JackServer,
    frame_source: StartSource,
    late_client: StartLateClient,
    start_rig: StartRig,
    jack_remote: StartJackRemote,
) -> None:
    """Foreign connections, those to our ports too, stay as they are; so does what somebody has disconnected."""
    frame_source(jack_server)
    other = frame_source(jack_server, 1, first_channel=2, name="other")
    foreign = late_client(jack_server, 1, times=0)
    remote = jack_remote(jack_server)
    remote.connect("source:out_1", foreign.input)
    remote.connect("other:out_1", foreign.input)
    rig = start_rig(jack_server)
    create(rig, 2, "source:out_.*")
    with rig.client() as client:
        wait_for_connections(client, ["source:out_1"], ["source:out_2"])
        remote.connect("other:out_1", "jackcapture:test-main_1")
        wait_for_connections(client, ["other:out_1", "source:out_1"], ["source:out_2"])
        remote.disconnect("source:out_2", "jackcapture:test-main_2")
        wait_for_connections(client, ["other:out_1", "source:out_1"], [])
        # The graph changes around it, and a while later, too.
        for name in ("one", "two"):
            passed = remote.now().frame + 3 * RATE // 2
            wait_for(lambda: remote.now().frame, lambda frame: frame > passed, "one and a half seconds")  # noqa: B023
            frame_source(jack_server, 1, name=name)
            remote.connect(f"{name}:out_1", foreign.input)
            look(client, remote, f"{name}:out_1")
            wait_for_connections(client, ["other:out_1", "source:out_1"], [])
        assert remote.connected(foreign.input) == ["one:out_1", "other:out_1", "source:out_1", "two:out_1"]

        rig.cli("stream", "start", URI)  # which makes what the definition asks for
        wait_for_connections(client, ["other:out_1", "source:out_1"], ["source:out_2"])
        remote.disconnect("other:out_1", foreign.input)
        other.stop()
        wait_for_connections(client, ["source:out_1"], ["source:out_2"])
        other.start()
        look(client, remote, "other:out_1")
        wait_for_connections(client, ["source:out_1"], ["source:out_2"])  # it was not ours to connect again
        record_more(rig, client, RATE // 8)
        rig.cli("stream", "stop", URI)
    rig.stop()
    assert remote.connected(foreign.input) == ["one:out_1", "source:out_1", "two:out_1"]


def look(client: Client, remote: JackRemote, port: str) -> None:
    """Wait until the engine has looked at the graph since a port has come: it has connected it to a stream of its own.

    The stream's ports go back to nobody: the connection is undone.
    """
    uri = f"stream://look/{port.partition(':')[0]}"
    client.call("stream_create", uri=uri, channels=1, sources=[port])
    wait_for_connections(client, [port], uri=uri)
    remote.disconnect(port, f"jackcapture:look-{port.partition(':')[0]}_1")
    wait_for_connections(client, [], uri=uri)


def test_jackd_goes_back_to_the_graph_from_before_a_freewheel(
    jack_server: JackServer, frame_source: StartSource, start_rig: StartRig, jack_remote: StartJackRemote
) -> None:
    """What was connected is connected again; what would end the server is left alone."""
    frame_source(jack_server)
    rig = start_rig(jack_server)
    remote = jack_remote(jack_server)
    create(rig, 3, "source:out_.*", "late_source:out_1")
    late = ("late_source:out_1",)
    ours: tuple[list[str], ...] = (["source:out_1"], ["source:out_2"], [])
    with rig.client() as client:
        wait_for_connections(client, *ours, absent=late)
        remote.disconnect("source:out_2", "jackcapture:test-main_2")
        wait_for_connections(client, ["source:out_1"], [], [], absent=late)
        with remote.freewheeling():
            client.call("stream_start", uris=[URI])  # connects the second one
            wait_for_connections(client, *ours, absent=late)
            frame_source(jack_server, 1, first_channel=2, name="late_source")
            with pytest.raises(ConflictError, match="freewheels: jackd forgets ports"):
                client.call("stream_create", uri="stream://test/other", channels=1)
            record_more(rig, client, RATE)
        wait_for(lambda: remote.connected("source:out_2"), bool, "the connection that jackd has undone")
        frame_source(jack_server, 1, name="third")  # the graph changes
        look(client, remote, "third:out_1")
        wait_for_connections(client, *ours, absent=late)
        begin = record_more(rig, client, RATE // 8)
        end = record_more(rig, client, RATE // 4)
        rig.cli("stream", "stop", URI)
        take, samples, _ = only_take(rig, client)
    expected = expected_samples(take["start_frame"], len(samples), 3)
    np.testing.assert_array_equal(samples[begin:end, :2], expected[begin:end, :2])
    assert not samples[:, 2].any()


def test_latencies_are_kept_with_each_take_and_given_with_its_slices(
    jack_server: JackServer, latent_source: StartLatentSource, frame_source: StartSource, start_rig: StartRig
) -> None:
    source = latent_source(jack_server, 128, 192, channels=2)
    frame_source(jack_server, 1)
    rig = start_rig(jack_server)
    create(rig, 3, "latent:out_.*", "source:out_1")
    first = [{"min": 128, "max": 192}, {"min": 128, "max": 192}, {"min": 0, "max": 0}]
    second = [{"min": 256, "max": 300}, {"min": 256, "max": 300}, {"min": 0, "max": 0}]

    with rig.client() as client:

        def wait_for_latencies(expected: list[dict[str, int]], *, kept: bool = True) -> None:
            wait_for(
                lambda: client.call("stream_status", uri=URI),
                lambda status: [port["latency"] for port in status["connections"]] == expected,
                f"the latencies {expected}",
            )
            if kept:
                wait_for(
                    lambda: client.call("stream_status", uri=URI),
                    lambda status: status["takes"][-1]["latencies"] == expected,
                    f"the latencies {expected} of the take",
                )

        wait_for_latencies(first, kept=False)
        (started,) = rig.cli("stream", "start", URI)
        assert started["takes"][0]["latencies"] == first
        head = record_more(rig, client, RATE // 4)
        live = client.call("stream_slice", uri=URI, from_place="start", to_place=f"sample:{head}")
        assert live["capture_latency"] == first
        source.set_latency(256, 300)  # while it records
        wait_for_latencies(second)
        (stopped,) = rig.cli("stream", "stop", URI)
        assert stopped["takes"][0]["latencies"] == second

        source.set_latency(128, 192)
        wait_for_latencies(first, kept=False)
        rig.cli("stream", "start", URI)
        begin = record_more(rig, client, RATE // 4)
        source.stop()  # what has been recorded came with that latency
        nothing = [{"min": 0, "max": 0}] * 3
        wait_for_latencies(nothing, kept=False)
        (stopped,) = rig.cli("stream", "stop", URI)
        assert [take["latencies"] for take in stopped["takes"]] == [second, first]

        whole = client.call("stream_slice", uri=URI, from_place="start", to_place="head")
        assert whole["capture_latency"] == [{"min": 128, "max": 300}, {"min": 128, "max": 300}, {"min": 0, "max": 0}]
        late = client.call("stream_slice", uri=URI, from_place=f"sample:{begin}", to_place="head")
        assert late["capture_latency"] == first
    shown = rig.cli("artifact", "show", whole["artifact_id"])
    assert shown["metadata"]["capture_latency"] == whole["capture_latency"]
    manifest = rig.cli("artifact", "list", "--kind", "manifest")[0]
    takes = json.loads(rig.content(manifest["content_hash"]).read_bytes())["takes"]
    assert [take["latencies"] for take in takes] == [second, first]
    text = rig.run("slice", URI, "--from", "start", "--to", "head").stdout
    assert "channel 1, latency 128 to 300 frames\n" in text
    assert "channel 3" not in text


def test_more_ports_than_jack_has(
    start_jack_server: StartServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    """A stream is in the graph with all of its ports or not at all, and the error says why; the others go on."""
    server = start_jack_server(port_max=128)
    source = frame_source(server)
    rig = start_rig(server)
    refused = rig.cli("stream", "create", "stream://test/wide", "--channels", "129", status=4)["error"]
    assert refused["code"] == "conflict"
    assert "jackcapture:test-wide_" in refused["message"]
    assert "--port-max" in refused["message"]
    assert rig.cli("stream", "list") == []
    assert rig.cli("ports", "test-wide") == []

    create(rig, 100, uri="stream://test/wide")
    create(rig, 2, "source:out_.*")
    with rig.client() as client:
        ours = (["source:out_1"], ["source:out_2"])
        wait_for_connections(client, *ours)
        rig.cli("stream", "start", "stream://test/wide", URI)
        record_more(rig, client, RATE // 4)
        server.kill()  # and back with room for the smaller one only
        source.wait(10)
        wait_for(lambda: rig.cli("status")["jack"]["running"], lambda running: not running, "the server's end")
        server.port_max = 64
        server.start()
        source.start()
        wait_for_connections(client, *ours)
        record_more(rig, client, RATE // 4)
        wide = client.call("stream_status", uri="stream://test/wide")
        assert wide["status"] == "error"
        assert "--port-max" in wide["error"]
        assert rig.cli("ports", "test-wide") == []
        for uri in ("stream://test/wide", URI):
            assert rig.cli("stream", "stop", uri)[0]["takes"][0]["samples"] >= RATE // 4


def test_bad_sources_are_refused(
    jack_server: JackServer, frame_source: StartSource, midi_source: StartMidiSource, start_rig: StartRig
) -> None:
    """Each with what was wrong and what would be right; nothing of the stream is left."""
    frame_source(jack_server)
    midi_source(jack_server, rate=10)
    rig = start_rig(jack_server)
    audio, midi = ("--channels", "2"), ("--midi",)
    create(rig, 1, uri="stream://test/there")
    refused: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
        ((*midi, *audio), ("MIDI and 2 channels", "leave out the channels")),
        ((*midi, "--format", "i16"), ("'i16'", "MIDI has no samples")),
        ((*midi, "--chunk-bytes", "4096"), ("4096", "65536")),
        ((), ("channels is missing", "1 to 1024", "MIDI")),
        ((*audio, "--source", "("), ("'('", "no regular expression", "backslash")),
        ((*audio, "--source", "source:out_["), ("'source:out_['", "no regular expression")),
        ((*audio, "--source", "source:out_1", "--source", "x{99999}"), ("'x{99999}'",)),
        ((*audio, "--source", "midi_source:out"), ("'midi_source:out' is a MIDI port", "audio ports", "--midi")),
        ((*audio, "--source", "midi_.*"), ("'midi_.*' matches only", "'midi_source:out', a MIDI port")),
        ((*midi, "--source", "source:out_1"), ("'source:out_1' is an audio port", "MIDI ports", "--channels")),
        ((*midi, "--source", "source:.*"), ("'source:.*' matches only", "an audio port", "MIDI ports")),
        ((*audio, "--source", "jackcapture:test-there_1"), ("is an input port", "output port")),
        ((*audio, "--source", ""), ("has 0 characters",)),
    ]
    for options, words in refused:
        error = rig.cli("stream", "create", URI, *options, status=2)["error"]
        assert error["code"] == "invalid_value", options
        for word in words:
            assert word in error["message"], (options, error["message"])
    assert [stream["uri"] for stream in rig.cli("stream", "list")] == ["stream://test/there"]
    assert rig.cli("ports", "test-main") == []
