"""Sessions that follow JACK's transport: segments begin and end on the frames that a client's own callback saw."""

import contextlib
import os
import signal
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from jackcapture import Client
from jackcapture.errors import InvalidValueError, UnreachableError
from jackcapture.model.takes import TransportState
from jackcapture.processes.children import is_alive
from parts.disturbers import JackRemote, StartJackRemote
from parts.jackd import JackServer
from parts.rig import RATE, RigProcess, StartRig, wait_for
from parts.sources import StartSource, expected_samples
from parts.transport import Seen, StartTransportObserver

A, B = (f"stream://desk/{name}" for name in "ab")
KEYS = "stream://desk/keys"
ROUNDS = 20
FAR = 3600 * RATE
"""A frame of the transport to which it does not come by itself."""


def create(client: Client, *uris: str) -> None:
    """Define stereo streams, all connected to the frame source."""
    for uri in uris:
        sources = ["source:out_1", "source:out_2"]
        client.call("stream_create", uri=uri, channels=2, chunk_size_bytes=1 << 18, sources=sources)


def runs(seen: Sequence[Seen]) -> list[tuple[int, int]]:
    """The frames [from, to) for which the transport rolled, relocations included."""
    found = []
    start: int | None = None
    for change in seen:
        if change.state is TransportState.ROLLING and start is None:
            start = change.frame
        elif change.state is TransportState.STOPPED and start is not None:
            found.append((start, change.frame))
            start = None
    assert start is None, "it rolls still"
    return found


def relocations(seen: Sequence[Seen]) -> list[tuple[int, int]]:
    """Where the transport was relocated while it rolled, and to which of its frames: JACK's waits show them."""
    rolled = [before.state is TransportState.ROLLING for before in seen[:-1]]
    return [
        (change.frame, change.transport_frame)
        for was_rolling, change in zip(rolled, seen[1:], strict=True)
        if was_rolling and change.state is TransportState.STARTING
    ]


def wait_for_state(client: Client, state: str) -> None:
    """Wait until the transport is in a state."""
    wait_for(lambda: client.call("transport_status")["state"], lambda seen: bool(seen == state), f"it is {state}")


def locate(remote: JackRemote, place: int) -> None:
    """Relocate the transport, which stands, and wait until it is there."""
    remote.locate(place)
    wait_for(remote.transport_position, lambda at: bool(at.frame == place), "it is located")


def roll_beyond(remote: JackRemote, place: int) -> None:
    """Wait until the transport, which comes from before it or from there, is well beyond a frame of it."""
    wait_for(remote.transport_position, lambda at: bool(at.frame > place + 2000), "it rolls")


def stopped_with(client: Client, session_id: str, segments: int) -> dict[str, Any]:
    """Wait until a session has stopped its nth segment, and give the session."""
    found: dict[str, Any] = wait_for(
        lambda: client.call("session_status", session_id=session_id),
        lambda session: len(session["segments"]) == segments and session["status"] == "stopped",
        f"the end of segment {segments}",
    )
    return found


def frames(session: dict[str, Any]) -> list[tuple[int, int]]:
    return [(it["started_at"]["jack_frame"], it["ended_at"]["jack_frame"]) for it in session["segments"]]


def check_content(client: Client, session: dict[str, Any], *uris: str) -> None:
    """Check, sample by sample, that each segment has of each stream exactly what lies between its ends."""
    for segment, (start, end) in zip(session["segments"], frames(session), strict=True):
        for uri in uris:
            first, last = segment["sample_ranges"][uri]
            samples = client.slice(uri, f"sample:{first}", f"sample:{last}").array()
            np.testing.assert_array_equal(samples, expected_samples(start, end - start, 2))


def test_segments_lie_between_start_and_stop(
    jack_server: JackServer,
    frame_source: StartSource,
    transport_observer: StartTransportObserver,
    jack_remote: StartJackRemote,
    start_rig: StartRig,
) -> None:
    """Twenty rounds; two sessions share a stream, one stream records anyway, MIDI is there; one session splits."""
    frame_source(jack_server)
    observer, remote = transport_observer(jack_server), jack_remote(jack_server)
    rig = start_rig(jack_server)
    with rig.client() as client:
        create(client, A, B)
        client.call("stream_create", uri=KEYS, midi=True)
        client.call("stream_start", uris=[B])
        remote.transport_start()
        wait_for_state(client, "rolling")
        marking = client.call("session_create", streams=[A, KEYS], follow_transport=True)["id"]
        splitting = client.call("session_create", streams=[A, B], follow_transport=True, on_relocate="segment")["id"]
        remote.transport_stop()
        wait_for_state(client, "stopped")
        before = len(observer.seen())  # it rolled already: that does not count
        for number in range(ROUNDS):
            locate(remote, number * RATE)
            remote.transport_start()
            roll_beyond(remote, number * RATE)
            if number % 2:
                remote.locate(FAR + number)
                roll_beyond(remote, FAR)
            remote.transport_stop()
            wait_for_state(client, "stopped")
            if number % 4 == 3:  # on a slow machine the rings would not reach back over all of them
                stopped_with(client, marking, number + 1)
                stopped_with(client, splitting, (number + 1) * 3 // 2)
        seen = observer.seen()[before - 1 :]
        truth, moved = runs(seen), relocations(seen)
        assert (len(truth), len(moved)) == (ROUNDS, ROUNDS // 2)

        marked = stopped_with(client, marking, ROUNDS)
        split = stopped_with(client, splitting, ROUNDS + ROUNDS // 2)
        assert frames(marked) == truth
        bounds = sorted([start for start, _ in truth] + [frame for frame, _ in moved])
        assert [start for start, _ in frames(split)] == bounds
        assert [end for _, end in frames(split)] == sorted([end for _, end in truth] + [frame for frame, _ in moved])
        check_content(client, marked, A)
        check_content(client, split, A, B)
        for session in (marked, split):
            found = [
                (it["jack_frame"], it["transport_frame"]) for it in session["timeline"] if it["event"] == "relocation"
            ]
            assert found == moved
            for segment in session["segments"]:
                assert segment["started_at"]["transport_state"] in ("rolling", "starting")
                assert segment["ended_at"]["transport_state"] in ("stopped", "starting")
        names = [f"relocate-{number + 1}" for number in range(ROUNDS // 2)]
        assert [(mark["name"], mark["jack_frame"]) for mark in marked["marks"]] == [
            (name, frame) for name, (frame, _) in zip(names, moved, strict=True)
        ]
        assert split["marks"] == []
        piece = client.slice(A, "mark:relocate-1", "mark:relocate-1+10ms").array()
        np.testing.assert_array_equal(piece, expected_samples(moved[0][0], RATE // 100, 2))
        for segment in marked["segments"]:
            assert segment["sample_ranges"][KEYS][1] - segment["sample_ranges"][KEYS][0] == (
                segment["sample_ranges"][A][1] - segment["sample_ranges"][A][0]
            )
        assert client.call("stream_status", uri=B)["takes"][0]["samples"] is None  # it was not theirs to stop
        assert client.call("stream_status", uri=A)["status"] == "stopped"
        assert client.call("store_check")["ok"]


def test_hands_control_and_engine(
    jack_server: JackServer,
    frame_source: StartSource,
    transport_observer: StartTransportObserver,
    jack_remote: StartJackRemote,
    start_rig: StartRig,
) -> None:
    """Played and stopped by hand; then control is killed while it rolls, and then the engine."""
    frame_source(jack_server)
    observer, remote = transport_observer(jack_server), jack_remote(jack_server)
    rig = start_rig(jack_server)
    with rig.client() as client:
        create(client, A)
        remote.become_timebase_master(120)
        session_id = rig.cli("session", "create", "--stream", A, "--follow-transport")["id"]
        with pytest.raises(InvalidValueError, match="'mark' or 'segment'"):
            client.call("session_create", streams=[A], follow_transport=True, on_relocate="stop")
        # By hand: a segment that the transport's next stop ends.
        client.call("session_play", session_id=session_id)
        remote.transport_start()
        roll_beyond(remote, 0)
        remote.transport_stop()
        first = stopped_with(client, session_id, 1)
        ((_, first_end),) = runs(observer.seen())
        assert first["segments"][0]["ended_at"]["jack_frame"] == first_end
        # A stop by hand while it rolls: relocations begin nothing, the next start does.
        remote.transport_start()
        playing(client, session_id)
        by_hand = client.call("session_stop", session_id=session_id)
        assert len(by_hand["segments"]) == 2
        remote.locate(FAR)
        roll_beyond(remote, FAR)
        remote.transport_stop()
        wait_for_state(client, "stopped")
        locate(remote, 0)
        remote.transport_start()
        playing(client, session_id)
        killed = client.call("status")["control"]["pid"]

    # Without control: it is relocated, stops and starts again; the next control makes up for that, frame by frame.
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: is_alive(killed), lambda alive: not alive, "control's end")
    remote.locate(FAR)
    roll_beyond(remote, FAR)
    remote.transport_stop()
    locate(remote, 7 * RATE)
    remote.transport_start()
    roll_beyond(remote, 7 * RATE)
    wait_for(lambda: answers(rig), bool, "a new control")
    with rig.client() as client:
        playing(client, session_id, 4)
        client.call("session_mark", session_id=session_id, name="relocate-2")
        engine = client.call("status")["engine"]["pid"]
        os.kill(engine, signal.SIGKILL)
        wait_for(lambda: client.call("status")["engine"], lambda it: it and it["pid"] != engine, "the next engine")
        wait_for(lambda: client.call("status")["jack"]["running"], bool, "its client")
        assert client.call("session_status", session_id=session_id)["status"] == "playing"
        remote.locate(2 * FAR)
        roll_beyond(remote, 2 * FAR)
        remote.transport_stop()
        ended = stopped_with(client, session_id, 4)
        seen = observer.seen()
        truth, moved = runs(seen), relocations(seen)
        assert frames(ended)[2:] == truth[2:]
        assert frames(ended)[1][0] == truth[1][0]
        marks = {mark["name"]: mark["jack_frame"] for mark in ended["marks"]}
        assert len(moved) == 3
        assert marks["relocate-1"] == moved[1][0]
        assert marks["relocate-3"] == moved[2][0]  # the name before it was taken
        check_content(client, {"segments": ended["segments"][:3]}, A)
        gaps = client.slice(A, "segment:4.start", "segment:4.end")["gaps"]
        assert [gap["cause"] for gap in gaps] == ["engine_died"]
        jumps = [it for it in ended["timeline"] if it["event"] == "relocation"]
        assert [it["mark"] for it in jumps] == ["relocate-1", "relocate-3"]
        assert jumps[0]["beats_per_minute"] == 120
        assert jumps[0]["bar"] == FAR // (2 * RATE) + 1
        start = next(it for it in ended["timeline"] if it["event"] == "segment_start" and it["segment"] == 4)
        assert (start["transport_frame"], start["bar"], start["beat"]) == (7 * RATE, 4, 3)
        closed = client.call("session_close", session_id=session_id)
        assert closed["status"] == "closed"
        remote.transport_start()
        roll_beyond(remote, 2 * FAR)
        remote.transport_stop()
        wait_for_state(client, "stopped")
        assert len(client.call("session_status", session_id=session_id)["segments"]) == 4


def playing(client: Client, session_id: str, segment: int | None = None) -> None:
    """Wait until a session plays (a segment of that number)."""
    wait_for(
        lambda: client.call("session_status", session_id=session_id),
        lambda session: session["status"] == "playing" and segment in (None, len(session["segments"])),
        "that it plays",
    )


def answers(rig: RigProcess) -> bool:
    """Whether control answers."""
    with contextlib.suppress(UnreachableError), rig.client() as client:
        return bool(client.call("session_list"))
    return False
