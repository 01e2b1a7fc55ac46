"""JACK's transport on a running rig: commands and what came of them; changes, told at once, at their exact frames."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from jackcapture import Client
from jackcapture.cli.main import app
from jackcapture.client import Events, EventsLost
from jackcapture.errors import ConflictError, InvalidValueError, UnreachableError
from jackcapture.model.takes import TransportState
from jackcapture.protocol.messages import JackTransport
from parts.disturbers import JackRemote, StartJackRemote
from parts.jackd import JackServer
from parts.rig import RATE, RigProcess, StartRig, wait_for
from parts.transport import Seen, StartTransportObserver

STOPPED, ROLLING, STARTING = TransportState.STOPPED, TransportState.ROLLING, TransportState.STARTING


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A function that runs a command on a rig, in this process, and gives what it printed."""

    def run(rig: RigProcess, *arguments: str) -> str:
        app(args=["--runtime", str(rig.runtime), *arguments], standalone_mode=False)
        return capsys.readouterr().out

    return run


def told(events: Events, last: Seen) -> list[Seen]:
    """The changes that came as events, up to one that the observer saw."""
    found = []
    for event in events:
        assert not isinstance(event, EventsLost)
        if isinstance(event, JackTransport):
            found.append(Seen(event.frame, event.transport.state, event.transport.frame))
            if event.frame >= last.frame:
                return found
    raise AssertionError(f"{last} was not told; there came {found}")


def test_commands_and_changes(
    jack_server: JackServer,
    transport_observer: StartTransportObserver,
    jack_remote: StartJackRemote,
    start_rig: StartRig,
    command: Callable[..., str],
) -> None:
    observer, remote = transport_observer(jack_server), jack_remote(jack_server)
    rig = start_rig(jack_server)
    with rig.client() as client, client.events(timeout=20) as events:
        before = client.call("transport_status")
        assert (before["state"], before["frame"], before["bar"], before["asked"]) == ("stopped", 0, None, None)
        assert before["jack_frame"] > 0

        # No stream is there, and each change is told all the same.
        located = rig.cli("transport", "locate", "1:30")
        assert (located["state"], located["frame"], located["seconds"]) == ("stopped", 90 * RATE, 90.0)
        assert (located["asked"], located["is_reached"]) == (f"frame {90 * RATE}", True)
        started = client.call("transport_start")
        assert (started["state"], started["asked"], started["is_reached"]) == ("rolling", "rolling", True)
        jumped = client.call("transport_locate", place="2.5s")
        assert (jumped["state"], jumped["is_reached"]) == ("rolling", True)
        assert 0 <= jumped["frame"] - 5 * RATE // 2 < RATE
        stopped = client.call("transport_stop")
        assert (stopped["state"], stopped["is_reached"]) == ("stopped", True)
        shown = command(rig, "transport")
        assert shown.startswith(f"stopped at frame {stopped['frame']} (")
        assert command(rig, "transport", "locate", "transport:480+1s").startswith("stopped at frame 48480 (1.010 s)")

        seen = observer.seen()
        changes = told(events, seen[-1])
        assert changes[-len(seen) + 1 :] == seen[1:]  # the observer's first cycle is not the engine's
        assert [it.state for it in seen[1:6]] == [STOPPED, STARTING, ROLLING, STARTING, ROLLING]

        # A client that is slow to get ready holds it: the result says what is, and what was asked.
        observer.hold(True)
        held = client.call("transport_start")
        assert (held["state"], held["asked"], held["is_reached"]) == ("starting", "rolling", False)
        text = command(rig, "transport", "start")
        assert text.startswith("asked for rolling, which it has not come to yet\nstarting at frame 48480")
        observer.hold(False)
        wait_for(lambda: client.call("transport_status")["state"], lambda state: state == "rolling", "that it rolls")
        assert client.call("transport_stop")["is_reached"]

        check_bars(client, remote)
        for place, kind, said in (
            ("bar:0", InvalidValueError, "BAR must be 1 to"),
            ("bar:2.5", InvalidValueError, "a bar has 4 beats of 1920 ticks"),
            ("4294967296", InvalidValueError, "the last one is 4294967295"),
            ("30h", InvalidValueError, "its frames are 0 to 4294967295, which is 24.9 h at 48000 Hz"),
            ("bar:1-1h", InvalidValueError, "cannot be located to frame -"),
            ("1:60", InvalidValueError, "go up to 59"),
            ("-2s", InvalidValueError, "it must be a frame of the transport"),
            ("mark:solo", InvalidValueError, "it must be a frame of the transport"),
        ):
            with pytest.raises(kind, match=re.escape(said)):
                client.call("transport_locate", place=place)
        jack_server.kill()
        wait_for(lambda: client.call("status")["jack"]["running"], lambda is_there: not is_there, "JACK's end")
        for operation in ("transport_status", "transport_start", "transport_stop"):
            with pytest.raises(UnreachableError, match="JACK server"):
                client.call(operation)
        with pytest.raises(UnreachableError, match="JACK server"):
            client.call("transport_locate", place="0")


def check_bars(client: Client, remote: JackRemote) -> None:
    """Check that bars are found by the present tempo, and not without one."""
    with pytest.raises(ConflictError, match="no JACK client gives the transport bars"):
        client.call("transport_locate", place="bar:17")
    remote.become_timebase_master(120)
    seen = wait_for(lambda: client.call("transport_status"), lambda it: it["bar"] is not None, "bars")
    assert (seen["beats_per_minute"], seen["beats_per_bar"], seen["ticks_per_beat"]) == (120, 4, 1920)
    client.call("transport_locate", place="start")
    found: dict[str, Any] = client.call("transport_locate", place="bar:17.3.960")
    assert found["is_reached"]
    assert found["frame"] == round((16 * 4 + 2.5) * RATE / 2)
    settled = wait_for(lambda: client.call("transport_status"), lambda it: it["bar"] == 17, "the bar")
    assert (settled["beat"], settled["tick"]) in ((3, 960), (3, 959))
    assert client.call("transport_locate", place="bar:1")["frame"] <= RATE // 2 // 1920 + 1
