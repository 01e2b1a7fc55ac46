"""`for event in jc.events()` of a running rig: what it tells, what it says of a hole, and how it ends."""

import os
import signal

import pytest

from jackcapture.client import Event, Events, EventsLost
from jackcapture.client import events as client_events
from jackcapture.errors import UnreachableError
from jackcapture.protocol.messages import MidiOutputState, StreamChunkFull, StreamHeadPosition
from parts.jackd import JackServer
from parts.rig import StartRig
from parts.sources import StartSource

URI = "stream://desk/main"


def until(events: Events, kind: type) -> list[Event | EventsLost]:
    """What comes, up to the first of a kind."""
    came = []
    for event in events:
        came.append(event)
        if isinstance(event, kind):
            return came
    raise AssertionError(f"no {kind.__name__}; there came {came}")


def test_events_of_a_rig(
    jack_server: JackServer, frame_source: StartSource, start_rig: StartRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame_source(jack_server)
    rig = start_rig(jack_server)
    with rig.client() as client:
        sources = ["source:out_1", "source:out_2"]
        client.call("stream_create", uri=URI, channels=2, sources=sources, chunk_size_bytes=1 << 16)
        with client.events(timeout=20) as events, client.events(timeout=20) as others:
            client.call("stream_start", uris=[URI])
            came = until(events, StreamChunkFull) + until(events, StreamHeadPosition)
            assert until(others, StreamChunkFull) + until(others, StreamHeadPosition) == came
            full = next(event for event in came if isinstance(event, StreamChunkFull))
            assert (full.stream_uri, full.take_number, full.chunk_index, full.first_sample) == (URI, 1, 0, 0)
            assert (full.samples_written, full.bytes_written) == (8192, 1 << 16)
            head = came[-1]
            assert isinstance(head, StreamHeadPosition)
            assert head.sample_position >= 8192
            assert not any(isinstance(event, EventsLost) for event in came)

            # MIDI that its sender does not want any more ends, and the note that sounds.
            def refuse(sent: int, total: int, unit: str) -> None:
                assert (sent, total, unit) == (1, 2, "events")
                raise RuntimeError("enough of it")

            notes = [{"ms": 0, "data": "90 40 7f"}, {"ms": 600_000, "data": "80 40 40"}]
            with pytest.raises(RuntimeError, match="enough of it"):
                client.call("midi_send", progress=refuse, events=notes)
            output = until(events, MidiOutputState)[-1]
            assert isinstance(output, MidiOutputState)
            assert (output.is_done, output.sent, output.error) == (True, 1, "cancelled after 1 of 2 events")

            # Another engine goes on with the take; what the dead one had to say, nobody knows.
            os.kill(rig.ready["engine"], signal.SIGKILL)
            assert until(events, EventsLost)[-1] == EventsLost(None)
            assert isinstance(until(events, StreamHeadPosition)[-1], StreamHeadPosition)

            monkeypatch.setattr(client_events, "_LOOK_SECONDS", 0.1)
            assert rig.stop() == 0
            with pytest.raises(UnreachableError, match="control does not answer"):
                until(events, EventsLost)
