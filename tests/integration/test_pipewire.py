"""The whole of jackcapture on PipeWire: another server, another libjack, the same positions.

Only what the JACK clients of a graph see without a session manager. What PipeWire does differently is told in
docs/pipewire.md. No part of these tests loads PipeWire's libjack into the process of pytest.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jackcapture import Client
from parts.midi import StartMidiSink, StartMidiSource
from parts.pipewire import FOLDER_PREFIX, SINK, PipeWireServer, is_pipewires, missing_programs
from parts.rig import RATE, RigProcess, StartRig, wait_for
from parts.sources import StartSource, expected_samples, frames_of

pytestmark = [
    pytest.mark.skipif(
        bool(missing_programs()),
        reason=f"not installed: {', '.join(missing_programs())} (Debian and Ubuntu: apt-get install pipewire-jack)",
    ),
    pytest.mark.timeout(180),
]

STEREO = "stream://test/stereo"
MIDI = "stream://test/midi"
SERVER = "default"
"""What jackcapture calls the server; which one that is, PIPEWIRE_REMOTE says."""


@pytest.fixture
def pipewire(monkeypatch: pytest.MonkeyPatch) -> Iterator[PipeWireServer]:
    """A running PipeWire, in whose environment all processes of the test are started."""
    for name in filter(is_pipewires, list(os.environ)):
        monkeypatch.delenv(name)
    with PipeWireServer() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def create(rig: RigProcess) -> None:
    """Define a stream of two channels, connected to those of the frame source."""
    sources = ("--source", "source:out_1", "--source", "source:out_2")
    rig.cli("stream", "create", STEREO, "--channels", "2", "--chunk-bytes", "65536", *sources)


def connected(rig: RigProcess, client: Client) -> dict[str, list[str]]:
    """Wait until both ports of the stream have a connection; give the connections by port."""
    seen = wait_for(
        lambda: client.call("stream_status", uri=STEREO)["connections"],
        lambda ports: len(ports) == 2 and all(port["connections"] for port in ports),
        "two connected ports",
    )
    return {port["port"]: port["connections"] for port in seen}


def check_exact(rig: RigProcess, client: Client, result: dict[str, Any]) -> None:
    """Check that a slice holds the frames of its range: the sample at a position is that position's frame.

    What PipeWire skipped is a gap, and silent; everything else is in its place.
    """
    take = client.call("stream_status", uri=STEREO)["takes"][0]
    first, end = result["sample_range"]
    samples = rig.samples(result)
    assert samples.shape == (end - first, 2)
    wanted = expected_samples(take["start_frame"] + first - take["first_sample"], end - first, 2)
    for gap in result["gaps"]:
        assert gap["cause"] == "xrun"
        begin = gap["position"] - first
        wanted[begin : begin + gap["frames"]] = 0
    if not result["gaps"]:
        frames_of(samples)  # says best where the first wrong sample is
    np.testing.assert_array_equal(samples, wanted)


def test_every_frame_once(pipewire: PipeWireServer, frame_source: StartSource, start_rig: StartRig) -> None:
    """Slices of a recording that goes on, and the whole of it in the end, hold each frame in its place."""
    frame_source(None, 2)
    rig = start_rig(SERVER)
    create(rig)
    rig.cli("stream", "start", STEREO)
    with rig.client() as client:
        rig.wait_until_recorded(client, STEREO, 2 * RATE)
        for _ in range(5):
            live = client.call("stream_slice", uri=STEREO, from_place="-1s", to_place="head")
            assert live["sample_range"][1] - live["sample_range"][0] == RATE
            check_exact(rig, client, live)
        rig.wait_until_recorded(client, STEREO, 5 * RATE)
        stopped = rig.cli("stream", "stop", STEREO)[0]
        whole = client.call("stream_slice", uri=STEREO, from_place="start", to_place="head")
        assert whole["sample_range"] == [0, stopped["head_sample"]]
        check_exact(rig, client, whole)
    assert stopped["head_sample"] >= 5 * RATE
    assert stopped["chunks"]["sealed"] == -(-stopped["head_bytes"] // 65536)
    assert stopped["gap_count"] == stopped["lost_frames"] == 0
    assert rig.staging_files() == []


def test_midi_in_and_out(
    pipewire: PipeWireServer, midi_source: StartMidiSource, midi_sink: StartMidiSink, start_rig: StartRig
) -> None:
    """Every event has its frame, as it does on jackd; what is sent arrives, and late events are told."""
    source, sink = midi_source(None, rate=500), midi_sink(None)
    rig = start_rig(SERVER)
    with rig.client() as client:
        rig.cli("stream", "create", MIDI, "--midi", "--source", source.port)
        wait_for(
            lambda: client.call("stream_status", uri=MIDI)["connections"],
            lambda ports: bool(ports) and bool(ports[0]["connections"]),
            "a connected port",
        )
        rig.cli("stream", "start", MIDI)
        rig.wait_until_recorded(client, MIDI, 3 * RATE)
        (stopped,) = rig.cli("stream", "stop", MIDI)
        source.stop_emitting()
        whole = client.slice(MIDI, "start", "head")
        got = whole.events()
        sent = client.call(
            "midi_send",
            events=[{"ms": 0, "data": "90 40 7f"}, {"ms": 250, "data": "80 40 40"}],
            to=[sink.port],
        )
    take = stopped["takes"][0]
    holes = [(gap["position"], gap["position"] + gap["frames"]) for gap in whole["gaps"]]
    placed = [(frame - take["start_frame"], data) for frame, data in source.events()]
    emitted = [
        event
        for event in placed
        if 0 <= event[0] < take["samples"] and not any(begin <= event[0] < end for begin, end in holes)
    ]
    assert len(emitted) > 1000
    assert [event for event in got if not any(begin <= event[0] < end for begin, end in holes)] == emitted
    assert (sent["sent"], sent["error"], sent["done"]) == (2, None, True)
    received = sink.events()
    assert [data for _, data in received] == [b"\x90\x40\x7f", b"\x80\x40\x40"]
    if not sent["late"]:
        assert received[1][0] - received[0][0] == RATE // 4


def test_the_graph(pipewire: PipeWireServer, frame_source: StartSource, start_rig: StartRig) -> None:
    """Clients and devices, their ports and connections are listed as on any JACK server."""
    frame_source(None, 2)
    rig = start_rig(SERVER)
    create(rig)
    server = rig.cli("status")["jack"]
    assert (server["running"], server["sample_rate"], server["period"]) == (True, RATE, pipewire.period)
    with rig.client() as client:
        connections = connected(rig, client)
    assert connections == {
        "jackcapture:test-stereo_1": ["source:out_1"],
        "jackcapture:test-stereo_2": ["source:out_2"],
    }
    ports = {port["name"]: port for port in rig.cli("ports")}
    assert set(ports) == {
        *connections,
        *(f"source:out_{n}" for n in (1, 2)),
        *(f"{SINK}:{port}_{side}" for port in ("playback", "monitor") for side in ("FL", "FR")),
    }
    for name, sources in connections.items():
        assert (ports[name]["type"], ports[name]["direction"]) == ("audio", "input")
        assert ports[name]["connections"] == sources
        assert ports[sources[0]]["direction"] == "output"
        assert ports[sources[0]]["connections"] == [name]
    assert [port["name"] for port in rig.cli("ports", f"^{SINK}:monitor")] == [f"{SINK}:monitor_F{x}" for x in "LR"]


def test_a_source_goes_and_comes_back(pipewire: PipeWireServer, frame_source: StartSource, start_rig: StartRig) -> None:
    """A take goes on without its source, in silence, and has it again when it is back."""
    source = frame_source(None, 2)
    rig = start_rig(SERVER)
    create(rig)
    rig.cli("stream", "start", STEREO)
    with rig.client() as client:
        rig.wait_until_recorded(client, STEREO, RATE)
        source.stop()
        alone = wait_for(
            lambda: client.call("stream_status", uri=STEREO),
            lambda status: not any(port["connections"] for port in status["connections"]),
            "the end of the connections",
        )["head_sample"]
        rig.wait_until_recorded(client, STEREO, alone + RATE // 2)
        source.start()
        connected(rig, client)
        # Links take effect a few cycles after they were made.
        back = client.call("stream_status", uri=STEREO)["head_sample"] + 10 * pipewire.period
        end = back + RATE
        rig.wait_until_recorded(client, STEREO, end)
        stopped = rig.cli("stream", "stop", STEREO)[0]
        assert stopped["status"] == "stopped"
        assert len(stopped["takes"]) == 1
        before, after = (
            client.call("stream_slice", uri=STEREO, from_place=f"sample:{a}", to_place=f"sample:{b}")
            for a, b in ((0, RATE // 2), (back, end))
        )
        check_exact(rig, client, before)
        check_exact(rig, client, after)
        silent = client.call(
            "stream_slice",
            uri=STEREO,
            from_place=f"sample:{alone + 10 * pipewire.period}",
            to_place=f"sample:{alone + RATE // 2}",
        )
        assert not rig.samples(silent).any()


def test_another_period(pipewire: PipeWireServer, frame_source: StartSource, start_rig: StartRig) -> None:
    """A quantum that changes during a take costs the cycle of the change, as a gap, and no frame its place."""
    frame_source(None, 2)
    rig = start_rig(SERVER)
    create(rig)
    rig.cli("stream", "start", STEREO)
    with rig.client() as client:
        rig.wait_until_recorded(client, STEREO, RATE)
        for period in (4096, 1024):
            done = pipewire.run("pw-metadata", "-n", "settings", "0", "clock.force-quantum", str(period))
            assert done.returncode == 0, done.stderr
            wait_for(lambda: rig.cli("status")["jack"]["period"], period.__eq__, f"a period of {period}")
            head = client.call("stream_status", uri=STEREO)["head_sample"]
            rig.wait_until_recorded(client, STEREO, head + RATE)
        stopped = rig.cli("stream", "stop", STEREO)[0]
        whole = client.call("stream_slice", uri=STEREO, from_place="start", to_place="head")
        check_exact(rig, client, whole)
    assert stopped["status"] == "stopped"
    assert stopped["lost_frames"] == sum(gap["frames"] for gap in whole["gaps"])


def test_the_server_goes_and_comes_back(pipewire: PipeWireServer, frame_source: StartSource) -> None:
    """PipeWire tells its clients, through jack_on_shutdown, that it went; they can come back to its successor."""
    source = frame_source(None, 2)
    pipewire.kill()
    assert source.wait() == 3
    pipewire.start()
    source.start()
    pipewire.stop()
    assert source.wait() == 3


def test_nothing_is_left(pipewire: PipeWireServer) -> None:
    """A stopped server has left no process and no file."""
    assert "PipeWire" in pipewire.version
    pid = pipewire.pid
    assert {"log", pipewire.name} <= set(os.listdir(pipewire.folder))
    pipewire.stop()
    assert not pipewire.running
    assert not os.path.exists(f"/proc/{pid}")
    assert not pipewire.folder.exists()


def test_the_folder_of_a_killed_run_is_removed(pipewire: PipeWireServer) -> None:
    """What a run that was killed could not remove, the next one does; the folders of living runs stay."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = Path(tempfile.gettempdir()) / f"{FOLDER_PREFIX}{ended.pid}-0"
    left.mkdir()
    (left / "log").touch()
    with PipeWireServer():
        assert not left.exists()
        assert pipewire.folder.exists()
