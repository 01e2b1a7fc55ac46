"""Sessions on a running rig: streams that begin and end on one frame, also when they are shared, killed or limited."""

import contextlib
import json
import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jackcapture import Client
from jackcapture.catalog import Catalog
from jackcapture.cli.main import app
from jackcapture.errors import ConflictError, InvalidValueError, NotFoundError, UnreachableError
from jackcapture.model.sessions import SessionStatus
from jackcapture.model.uris import parse_stream_uri
from jackcapture.processes.children import is_alive
from parts.jackd import JackServer
from parts.rig import RATE, RigProcess, StartRig, wait_for
from parts.sources import StartSource, expected_samples

A, B, C = (f"stream://desk/{name}" for name in "abc")
KEYS = "stream://desk/keys"
CHUNK_BYTES = 65536


def create(rig: RigProcess, client: Client, *uris: str) -> None:
    """Define stereo streams, all connected to the frame source."""
    for uri in uris:
        client.call(
            "stream_create", uri=uri, channels=2, chunk_size_bytes=CHUNK_BYTES, sources=["source:out_1", "source:out_2"]
        )


def is_recording(client: Client, uri: str) -> bool:
    """Whether a take runs, on a machine that may be too busy to bring chunks in time."""
    return client.call("stream_status", uri=uri)["status"] in ("recording", "starved")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A function that runs a command on a rig, in this process, and gives what it printed."""

    def run(rig: RigProcess, *arguments: str) -> str:
        app(args=["--runtime", str(rig.runtime), *arguments], standalone_mode=False)
        return capsys.readouterr().out

    return run


def check_segment(client: Client, segment: dict[str, Any]) -> None:
    """Check that each stream has exactly the frames from the segment's first to its last one, sample by sample."""
    start, end = segment["started_at"]["jack_frame"], segment["ended_at"]["jack_frame"]
    assert end > start
    truth = expected_samples(start, end - start, 2)
    for uri, (first, last) in segment["sample_ranges"].items():
        np.testing.assert_array_equal(client.slice(uri, f"sample:{first}", f"sample:{last}").array(), truth)


def check_places(client: Client, uri: str, number: int, segment: dict[str, Any]) -> None:
    """Check that a segment's places are its ends."""
    named = client.slice(uri, f"segment:{number}.start", f"segment:{number}.end")
    assert named["sample_range"] == segment["sample_ranges"][uri]


def play_for(rig: RigProcess, client: Client, session_id: str, frames: int) -> dict[str, Any]:
    """Play a session until its streams have so many frames more."""
    played: dict[str, Any] = client.call("session_play", session_id=session_id)
    for uri, (first, _) in played["segments"][-1]["sample_ranges"].items():
        rig.wait_until_recorded(client, uri, first + frames)
    return played


def test_sessions_share_a_stream_and_every_frame_has_its_place(
    jack_server: JackServer, frame_source: StartSource, start_rig: StartRig, command: Callable[..., str]
) -> None:
    frame_source(jack_server)
    rig = start_rig(jack_server)
    with rig.client() as client:
        create(rig, client, A, B, C)
        client.call("stream_start", uris=[C])
        rig.wait_until_recorded(client, C, RATE // 10)
        created = rig.cli("session", "create", "--stream", A, "--stream", B, "--stream", C, "--name", "Take one")
        one = created["id"]
        assert (created["name"], created["mode"], created["status"]) == ("Take one", "passive", "created")
        two = client.call("session_create", streams=[B])["id"]

        played = json.loads(command(rig, "--json", "session", "play", one))
        assert played["status"] == "playing"
        ranges = played["segments"][0]["sample_ranges"]
        assert (ranges[A], ranges[B]) == ([0, None], [0, None])
        assert ranges[C][0] >= RATE // 10
        clock = played["segments"][0]["started_at"]
        assert clock["monotonic_us"] > 0
        assert clock["transport_state"] == "stopped"
        with pytest.raises(ConflictError, match="playing its segment 1 already"):
            client.call("session_play", session_id=one)
        rig.wait_until_recorded(client, A, RATE // 4)
        client.call("session_play", session_id=two)
        now = client.call("session_mark", session_id=one, name="now")
        past = rig.cli("session", "mark", one, "past", "--at", "segment:1.start+100ms", "--stream", C)
        assert past["positions"] == {A: RATE // 10, B: RATE // 10, C: ranges[C][0] + RATE // 10}
        assert past["jack_frame"] == clock["jack_frame"] + RATE // 10
        assert now["positions"][A] == now["jack_frame"] - clock["jack_frame"]
        rig.wait_until_recorded(client, A, RATE // 2)

        first = client.call("session_stop", session_id=one)
        assert [is_recording(client, uri) for uri in (A, B, C)] == [False, True, True]
        check_segment(client, first["segments"][0])
        for uri in (A, C):
            check_places(client, uri, 1, first["segments"][0])
        head = client.call("stream_status", uri=B)["head_sample"]
        rig.wait_until_recorded(client, B, head + RATE // 10)
        other = client.call("session_stop", session_id=two, close=True)
        assert other["status"] == "closed"
        check_segment(client, other["segments"][0])
        check_places(client, B, 1, other["segments"][0])  # two is the newer one
        with pytest.raises(ConflictError, match="closed: nothing more can be recorded"):
            client.call("session_play", session_id=two)
        # It was begun by the first session, and ended with the last one that recorded it.
        assert (is_recording(client, B), is_recording(client, C)) == (False, True)

        play_for(rig, client, one, RATE // 10)
        second = json.loads(command(rig, "--json", "session", "stop", one))
        check_segment(client, second["segments"][1])
        begin, end = second["segments"][0]["sample_ranges"][A][0], second["segments"][1]["sample_ranges"][A][1]
        whole = client.slice(A, f"session:{one}.start", f"session:{one}.end")
        assert whole["sample_range"] == [begin, end]
        assert client.slice(A, "mark:past", "mark:now")["sample_range"] == [RATE // 10, now["positions"][A]]
        events = [entry["event"] for entry in second["timeline"]]
        ends = ["segment_start", "segment_end"]
        assert sorted(events) == sorted(["created", "mark", "mark", *ends, *ends])
        assert events[0] == "created"

        check_refusals(client, one)

        assert command(rig, "session", "close", one).startswith(f"{one} (Take one): passive, closed\n")
        late = client.call("session_mark", session_id=one, name="late", at="segment:2.end-10ms")
        documents = client.call("artifact_list", kind="session")
        assert len(documents) == 3
        document = json.loads(rig.content(documents[0]["content_hash"]).read_bytes())
        assert (document["id"], [mark["name"] for mark in document["marks"]]) == (one, ["past", "now", "late"])
        assert document["marks"][2]["positions"] == late["positions"]
        kinds = {client.call("artifact_show", artifact_id=parent)["kind"] for parent in documents[0]["parents"]}
        assert kinds == {"definition", "manifest"}
        with pytest.raises(InvalidValueError, match="goes with that"):
            client.call("artifact_delete", artifact_id=documents[0]["id"])
        assert client.call("store_check")["ok"]

        with pytest.raises(ConflictError, match=f"in the session {one}"):
            client.call("stream_delete", uri=A)
        assert [(it["id"], it["segment_count"], it["mark_count"]) for it in client.call("status")["sessions"]] == [
            (two, 1, 0), (one, 2, 3),
        ]  # fmt: skip
        first, last = second["segments"][1]["sample_ranges"][C]
        shown = command(rig, "session", "status", one)
        assert f"    {C} {first} to {last}\n" in shown
        assert f"  mark late: {late['wall_clock']}, in segment 2\n" in shown
        assert "Take one" in command(rig, "session", "list")
        assert "Take one" in command(rig, "status")
        for session_id in (one, two):
            assert command(rig, "session", "delete", session_id) == f"{session_id} is deleted\n"
        assert command(rig, "session", "list") == "no sessions; 'jackcapture session create' makes one\n"
        assert client.call("artifact_list", kind="session") == []
        client.call("stream_delete", uri=A)
        play_from_python(rig, client)


def play_from_python(rig: RigProcess, client: Client) -> None:
    """Play a session by the Python door, for as long as a block lasts."""
    with client.session(B, name="From Python") as session:
        head = client.call("stream_status", uri=B)["head_sample"]
        rig.wait_until_recorded(client, B, head + RATE // 10)
        assert session.mark("here")["segment"] == 1
    again = client.open_session(session.id)
    (segment,) = again.status()["segments"]
    check_segment(client, segment)
    with again:
        stopped = again.stop()
    assert (stopped["name"], stopped["status"], len(stopped["segments"])) == ("From Python", "stopped", 2)
    assert again.mark("first", at="segment:1.start")["positions"] == {B: segment["sample_ranges"][B][0]}
    exported = rig.root.parent / "exported.tar"
    assert again.export(exported, output_format="tar")["path"] == str(exported)
    assert exported.stat().st_size > 0
    assert again.close()["status"] == "closed"
    with pytest.raises(ConflictError, match="closed"):
        again.play()
    with pytest.raises(NotFoundError, match="no session 'session-0'"):
        client.open_session("session-0")


def check_refusals(client: Client, session_id: str) -> None:
    """Check that what cannot be is refused, and why."""
    fresh = client.call("session_create", streams=[A])["id"]
    refused: tuple[tuple[type[Exception], str, str, dict[str, Any]], ...] = (
        (ConflictError, "not been played yet", "session_stop", {"session_id": fresh}),
        (ConflictError, "not been played yet", "session_mark", {"session_id": fresh, "name": "x", "at": "start"}),
        (ConflictError, "stopped already", "session_stop", {"session_id": session_id}),
        (ConflictError, "not playing", "session_mark", {"session_id": session_id, "name": "x"}),
        (ConflictError, "has a mark 'now'", "session_mark", {"session_id": session_id, "name": "now", "at": "start"}),
        (NotFoundError, "not in session", "session_mark",
         {"session_id": session_id, "name": "x", "at": "start", "stream": C}),
        (NotFoundError, "not in session", "session_mark",
         {"session_id": session_id, "name": "x", "at": "start", "stream": "stream://desk/d"}),
        (InvalidValueError, "offset", "session_mark", {"session_id": session_id, "name": "solo-2s", "at": "start"}),
        (InvalidValueError, "name it with --at", "session_mark", {"session_id": session_id, "name": "x", "stream": A}),
        (NotFoundError, "no session 'none'", "session_play", {"session_id": "none"}),
        (NotFoundError, "no stream stream://desk/d", "session_create", {"streams": ["stream://desk/d"]}),
        (InvalidValueError, "needs a stream", "session_create", {"streams": []}),
        (InvalidValueError, "more than once", "session_create", {"streams": [A, B, A]}),
        (InvalidValueError, "add --follow-transport", "session_create", {"streams": [A], "on_relocate": "segment"}),
        (InvalidValueError, "'trigerred' is not a mode", "session_create", {"streams": [A], "mode": "trigerred"}),
        (InvalidValueError, "did you mean 'request.hold_seconds'", "session_create",
         {"streams": [A], "mode": "request-response", "settings": {"request": {"hold_second": 1}}}),
        (InvalidValueError, "create it with --mode triggered", "session_create",
         {"streams": [A], "settings": {"trigger": {}}}),
        (NotFoundError, "segments 1 to 2", "stream_slice",
         {"uri": A, "from_place": "segment:3.start", "to_place": "head"}),
        (NotFoundError, "it has now, past", "stream_slice", {"uri": A, "from_place": "mark:x", "to_place": "head"}),
        (NotFoundError, "recorded nothing of", "stream_slice",
         {"uri": A, "from_place": f"session:{fresh}.start", "to_place": "head"}),
    )  # fmt: skip
    for kind, said, operation, arguments in refused:
        with pytest.raises(kind, match=said):
            client.call(operation, **arguments)
    client.call("session_delete", session_id=fresh)


def answers(rig: RigProcess) -> bool:
    """Whether control answers."""
    with contextlib.suppress(UnreachableError), rig.client() as client:
        return bool(client.call("session_list"))
    return False


def test_a_segment_outlives_control_and_retention(
    jack_server: JackServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    """Control is killed in a segment, and a limit of one chunk leaves all that the session has."""
    frame_source(jack_server)
    rig = start_rig(jack_server)
    with rig.client() as client:
        create(rig, client, A, B)
        client.call("stream_create", uri=KEYS, midi=True)
        client.call("stream_keep", uri=A, keep_chunks=1)
        client.call("stream_start", uris=[A])
        rig.wait_until_recorded(client, A, RATE // 4)
        session_id = client.call("session_create", streams=[A, B, KEYS])["id"]
        play_for(rig, client, session_id, RATE // 10)
        killed = client.call("status")["control"]["pid"]
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: is_alive(killed), lambda alive: not alive, "control's end")
    wait_for(lambda: answers(rig), bool, "a new control")
    with rig.client() as client:
        seen = client.call("session_status", session_id=session_id)
        assert seen["status"] == "playing"
        head = client.call("stream_status", uri=B)["head_sample"]
        rig.wait_until_recorded(client, B, head + RATE // 4)
        # The take of one stream ends by itself: that ends its range, and the segment runs on.
        client.call("stream_stop", uris=[A])
        end = client.call("stream_status", uri=A)["head_sample"]
        first = seen["segments"][0]["sample_ranges"][A][0]
        running = client.call("session_status", session_id=session_id)
        assert running["segments"][0]["sample_ranges"] == {
            A: [first, end], B: [0, None], KEYS: [0, None],
        }  # fmt: skip
        client.call("stream_start", uris=[A])
        rig.wait_until_recorded(client, A, end + RATE // 4)
        client.call("stream_stop", uris=[A])
        stopped = client.call("session_stop", session_id=session_id)["segments"][0]
        assert stopped["sample_ranges"][A] == [first, end]
        client.call("store_gc")
        held = client.call("store_gc", dry_run=True)["held"]
        assert {(run["stream_uri"], run["held_by"]) for run in held} == {(A, f"session {session_id}")}
        start = stopped["started_at"]["jack_frame"]
        assert stopped["sample_ranges"][KEYS] == stopped["sample_ranges"][B]
        for uri, (begin, last) in [(uri, stopped["sample_ranges"][uri]) for uri in (A, B)]:
            samples = client.slice(uri, f"sample:{begin}", f"sample:{last}").array()
            np.testing.assert_array_equal(samples, expected_samples(start, last - begin, 2))
        with pytest.raises(NotFoundError, match="not all there"):
            client.slice(A, f"sample:{end + 5000}", f"sample:{end + 6000}")  # between the segment and the newest chunk
        for artifact in client.call("artifact_list", kind="slice"):
            client.call("artifact_delete", artifact_id=artifact["id"])
        client.call("session_delete", session_id=session_id)
        client.call("store_gc")
        assert client.call("stream_status", uri=A)["chunks"]["sealed"] == 1

        session_id = client.call("session_create", streams=[B])["id"]
        play_for(rig, client, session_id, RATE // 10)
        store = client.call("store_status")["uuid"]
    rig.stop()
    with contextlib.closing(Catalog(str(rig.root / "catalog.db"), store)) as catalog:
        # The end of control ended take and segment.
        ended = catalog.sessions.get(session_id)
        (found,) = ended.segments[0].ranges
        assert ended.status is SessionStatus.STOPPED
        assert found.to_sample == catalog.takes(parse_stream_uri(B))[-1].end_sample > found.from_sample
