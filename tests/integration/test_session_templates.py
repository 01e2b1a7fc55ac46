"""Sessions from templates on a running rig: the shipped ones record; all of a template's streams are made, or none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jackcapture import Client
from jackcapture.errors import ConflictError, InvalidValueError, NotFoundError
from parts.jackd import StartServer
from parts.midi import StartMidiSource
from parts.rig import RATE, RigProcess, StartRig, wait_for
from parts.sources import StartSource, expected_samples

KEYS = [f"stream://keys/{number}" for number in (1, 2)]
SHIPPED = Path(__file__).parents[2] / "session_templates"


def own(rig: RigProcess, name: str, text: str) -> Path:
    """Write a template of the user's own."""
    folder = Path(rig.environment["XDG_CONFIG_HOME"]) / "jackcapture" / "session_templates"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def play(rig: RigProcess, client: Client, session_id: str, frames: int) -> None:
    """Play a session until its streams have so many frames."""
    segment = client.call("session_play", session_id=session_id)["segments"][-1]
    for uri, (first, _) in segment["sample_ranges"].items():
        rig.wait_until_recorded(client, uri, first + frames)


def start_frames(client: Client, uris: list[str]) -> set[int]:
    """The frames on which the newest takes of some streams began."""
    return {client.call("stream_status", uri=uri)["takes"][-1]["start_frame"] for uri in uris}


def now(client: Client) -> int:
    """JACK's frame."""
    frame: int = client.call("transport_status")["jack_frame"]
    return frame


def test_every_shipped_template_records(start_jack_server: StartServer, start_rig: StartRig) -> None:
    rig = start_rig(start_jack_server(256, hardware=(16, 2)))
    with rig.client() as client:
        for uri in KEYS:
            client.call("stream_create", uri=uri, midi=True)
        listed = client.call("session_templates")
        assert [(template["origin"], template["error"]) for template in listed] == [("shipped", None)] * 6
        sessions = {}
        for template in listed:
            name, extra = template["name"], KEYS if template["name"] == "band-16ch" else []
            sessions[name] = session = client.session(*extra, template=name)
            status, streams = session.status(), [stream["uri"] for stream in template["streams"]]
            assert (status["name"], status["mode"]) == (name, template["mode"])
            assert status["streams"] == streams + extra
            ports = [port for uri in streams for port in client.call("stream_status", uri=uri)["connections"]]
            connected = {source for port in ports for source in port["connections"]}
            assert connected == {f"system:capture_{number}" for number in range(1, 17 if extra else 3)}
        client.call("transport_start")  # which plays transport-take
        wait_for(sessions["transport-take"].status, lambda it: it["status"] == "playing", "a segment")
        for name, session in sessions.items():
            if name != "transport-take":
                session.play()
        for stream in client.streams():
            rig.wait_until_recorded(client, stream["uri"], RATE)
        client.call("transport_stop")
        wait_for(sessions["transport-take"].status, lambda it: it["status"] == "stopped", "a segment's end")
        for name, session in sessions.items():
            ended = session.status() if name == "transport-take" else session.stop()
            (segment,) = ended["segments"]
            assert set(segment["sample_ranges"]) == set(ended["streams"])
            assert start_frames(client, ended["streams"]) == {segment["started_at"]["jack_frame"]}
        assert len(sessions["band-16ch"].status()["streams"]) == 18


def test_eighteen_streams_of_a_template_begin_on_one_frame_before_play(
    start_jack_server: StartServer, midi_source: StartMidiSource, frame_source: StartSource, start_rig: StartRig
) -> None:
    """The user's own band-16ch, with frame numbers for the microphones, and two MIDI streams."""
    server = start_jack_server(256)
    source = frame_source(server, 16)
    midi = midi_source(server, rate=200)
    rig = start_rig(server)
    text = (SHIPPED / "band-16ch.toml").read_text()
    text = text.replace("system:capture_", f"{source.name}:out_").replace("= 3.0", "= 0.5")
    text += "".join(f'[[streams]]\nuri = "{uri}"\nmidi = true\nsources = ["{midi.port}"]\n' for uri in KEYS)
    path = own(rig, "band-16ch", text)
    with rig.client() as client:
        (shown,) = client.call("session_templates", name="band-16ch")
        assert (shown["origin"], shown["path"], shown["replaces_shipped"]) == ("user", str(path), True)
        created = rig.cli("session", "create", "--template", "band-16ch", "--name", "Rehearsal")
        assert created["name"] == "Rehearsal"
        uris, session = created["streams"], client.open_session(created["id"])
        assert len(uris) == 18
        came = now(client)
        wait_for(lambda: now(client), lambda frame: frame > came + RATE, "rings that hold the pre-roll")
        before = now(client)
        play(rig, client, session.id, RATE)
        (segment,) = session.stop()["segments"]
        start = segment["started_at"]["jack_frame"]
        assert before - RATE // 2 <= start <= now(client) - RATE * 3 // 2
        assert start_frames(client, uris) == {start}
        ranges = segment["sample_ranges"]
        assert {uri: first for uri, (first, _) in ranges.items()} == dict.fromkeys(uris, 0)
        for number, uri in enumerate(uris[:16]):
            samples, frames = client.slice(uri, "segment:1.start", "segment:1.end").array(), ranges[uri][1]
            assert frames > RATE
            np.testing.assert_array_equal(samples, expected_samples(start, frames, 1, first_channel=number))
        midi.stop_emitting()
        sent = [(frame - start, data) for frame, data in midi.events()]
        for uri in KEYS:
            truth = [(position, data) for position, data in sent if 0 <= position < ranges[uri][1]]
            assert len(truth) > 150
            assert client.slice(uri, "segment:1.start", "segment:1.end").events() == truth


THREE = """
description = "Three streams"
[[streams]]
uri = "stream://three/a"
channels = 2
sources = ["system:capture_1"]
keep = "1h"
[[streams]]
uri = "stream://three/b"
midi = true
[[streams]]
uri = "stream://three/c"
channels = 1
"""


def there(client: Client) -> tuple[list[str], list[str], list[str]]:
    """The streams, the ports of ours, and the sessions that there are."""
    streams = [stream["uri"] for stream in client.streams()]
    ports = [port["name"] for port in client.call("ports", pattern="jackcapture:.*")]
    return streams, ports, [session["id"] for session in client.call("session_list")]


def test_a_template_makes_all_of_its_streams_or_none(start_jack_server: StartServer, start_rig: StartRig) -> None:
    rig = start_rig(start_jack_server(256, port_max=128))
    with rig.client() as client:
        own(rig, "three", THREE)
        path = own(rig, "broken", "description = 'x'\n[[streams]]\nuri = 'stream://a/b'\nchanels = 2\n")
        nothing = there(client)
        refusals: tuple[tuple[str, type[Exception], str, dict[str, Any]], ...] = (
            # JACK has no room for the third stream.
            (THREE.replace("channels = 1\n", "channels = 200\n"), ConflictError, "refuses the port jackcapture", {}),
            # A source of the second one is an input.
            (THREE.replace("midi = true", "channels = 1\nsources = ['system:playback_1']"), InvalidValueError,
             r"line 11: streams\[1\].sources: source 'system:playback_1' is an input port", {}),
            # All are made, and there is no such stream as shall come after them.
            (THREE, NotFoundError, "no stream stream://none/x", {"streams": ["stream://none/x"]}),
            (THREE, InvalidValueError, "the rings hold 10 s, so it can be at most 9.5",
             {"settings": {"pre_roll_seconds": 9.6}}),
            (THREE, InvalidValueError, "'trigger' are settings of the mode triggered", {"settings": {"trigger": {}}}),
        )  # fmt: skip
        for text, kind, said, arguments in refusals:
            bad = own(rig, "bad", text)
            with pytest.raises(kind, match=said):
                client.call("session_create", template=str(bad), **arguments)
            assert there(client) == nothing
        bad.unlink()
        with pytest.raises(InvalidValueError, match=r"broken.toml, line 4: streams\[0\].chanels: unknown"):
            client.session(template="broken")
        error = rig.cli("session", "create", "--template", str(path), status=2)["error"]
        assert error["details"]["line"] == 4

        # What is given wins, and what exists and is the same is used as it is.
        client.call("stream_create", uri="stream://three/c", channels=1, keep_chunks=7)
        client.call("stream_create", uri="stream://more/x", channels=1)
        created = rig.cli(
            "session", "create", "--template", "three", "--stream", "stream://more/x", "--stream", "stream://three/b",
            "--mode", "triggered", "--set", "trigger.threshold_db=-30", "--name", "Mine",
        )  # fmt: skip
        streams = ["stream://three/a", "stream://three/b", "stream://three/c", "stream://more/x"]
        assert (created["name"], created["mode"], created["streams"]) == ("Mine", "triggered", streams)
        kept = {stream["uri"]: stream["retention"] for stream in client.streams()}
        assert kept["stream://three/a"]["keep_seconds"] == 3600
        assert kept["stream://three/c"]["keep_chunks"] == 7
        again = client.session(template="three")
        assert again.status()["streams"] == streams[:3]
        other = own(rig, "other", THREE.replace("channels = 2", "channels = 1\nformat = 'i24'"))
        with pytest.raises(ConflictError, match="channels is 2, not 1; sample_format is f32, not i24"):
            client.session(template=other)
        with pytest.raises(ConflictError, match=f"in the session .*{again.id}.*; delete that first"):
            client.call("stream_delete", uri="stream://three/a")

        listed = {template["name"]: template for template in client.call("session_templates")}
        assert listed["broken"]["error"].startswith(f"{path}, line 4: ")
        assert listed["three"]["origin"] == "user"
        assert listed["stereo-passive"]["error"] is None
        shown = rig.run("session", "templates").stdout
        assert f"broken: {path}, line 4: streams[0].chanels: unknown; did you mean 'channels'?" in shown
        shown = rig.run("session", "templates", "eurorack-request-response").stdout
        assert "request.threshold_db = -50.0" in shown
        assert "stream://eurorack/main: 2 channels, format f32\n  <- system:capture_1\n" in shown


A, B, C = (f"stream://desk/{name}" for name in "abc")


def played(client: Client, streams: list[str], seconds: float, new: str = "") -> tuple[int, dict[str, Any]]:
    """Play a session with a pre-roll and stop it; give where it began, and its ranges. All samples are checked.

    A `new` stream is silent until it was connected.
    """
    session = client.session(*streams, settings={"pre_roll_seconds": seconds})
    client.call("session_play", session_id=session.id)
    segment = session.stop()["segments"][0]
    start, end = segment["started_at"]["jack_frame"], segment["ended_at"]["jack_frame"]
    for uri, (first, last) in segment["sample_ranges"].items():
        assert 0 < last - first <= end - start
        samples = client.slice(uri, f"sample:{first}", f"sample:{last}").array()
        for channel, truth in enumerate(expected_samples(start, last - first, 2).T):
            recorded = samples[:, channel]
            silent = int(np.argmax(recorded != 0)) if uri == new else 0
            np.testing.assert_array_equal(recorded[silent:], truth[silent:])
    return start, segment["sample_ranges"]


def test_a_segment_begins_before_play_as_far_as_all_streams_reach(
    start_jack_server: StartServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    server = start_jack_server(256)
    frame_source(server)
    rig = start_rig(server)
    sources = ["source:out_1", "source:out_2"]
    with rig.client() as client:
        for uri in (A, C):
            client.call("stream_create", uri=uri, channels=2, chunk_size_bytes=65536, sources=sources)
        client.call("stream_start", uris=[C])
        taken = client.call("stream_status", uri=C)["takes"][-1]["start_frame"]
        rig.wait_until_recorded(client, C, RATE * 3 // 2)

        # One that does not record, and one that does: all of it, to the frame.
        before = now(client)
        start, ranges = played(client, [A, C], 1.0)
        assert before - RATE <= start <= now(client) - RATE
        assert (ranges[A][0], ranges[C][0]) == (0, start - taken)

        # Only one that records: from its take, not from the ring.
        before = now(client)
        start, ranges = played(client, [C], 1.0)
        assert before - RATE - 2 * 256 <= start <= now(client) - RATE
        assert ranges[C][0] == start - taken
        start, ranges = played(client, [C], 9.5)
        assert (start, ranges[C][0]) == (taken, 0)

        # One that has just come, whose ring has less; the others begin there, too.
        created = now(client)
        client.call("stream_create", uri=B, channels=2, chunk_size_bytes=65536, sources=sources)
        attached = now(client)
        start, ranges = played(client, [A, B, C], 9.5, new=B)
        assert created <= start <= attached + RATE
        assert (ranges[B][0], ranges[C][0]) == (0, start - taken)

        # What retention has removed of a take is not there to begin with.
        for session in client.call("session_list"):
            client.call("session_delete", session_id=session["id"])
        for artifact in client.call("artifact_list", kind="slice"):
            client.call("artifact_delete", artifact_id=artifact["id"])
        client.call("stream_keep", uri=C, keep_chunks=2)
        client.call("store_gc")
        start, ranges = played(client, [C], 9.5)
        assert ranges[C][0] % (65536 // 8) == 0
        assert start == taken + ranges[C][0] > taken

        with pytest.raises(InvalidValueError, match="so that its segments begin on the transport's frame"):
            client.session(A, follow_transport=True, settings={"pre_roll_seconds": 1})
