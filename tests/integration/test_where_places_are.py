"""Every form of place against a recording whose positions are known."""

import re

import numpy as np
import pytest

from jackcapture import Client
from jackcapture.errors import InvalidValueError, NotFoundError
from parts.disturbers import StartJackRemote
from parts.jackd import JackServer
from parts.rig import RATE, StartRig, wait_for
from parts.sources import StartSource, frames_of

URI = "stream://desk/main"
TEMPO = 120
BEAT = RATE * 60 // TEMPO
TICK = BEAT // 1920 + 1
"""Frames, rounded up: JACK tells whole ticks, and so where a bar is to within one."""


def position_of(client: Client, place: str) -> int:
    """The sample position that a place means, proven by the samples there."""
    piece = client.slice(URI, place, f"{place}+1ms", output_format="raw")
    first, last = piece["sample_range"]
    assert last - first == RATE // 1000
    takes = client.call("stream_status", uri=URI)["takes"]
    take = next(take for take in reversed(takes) if take["first_sample"] <= first)
    assert frames_of(piece.array()) == (take["start_frame"] + first - take["first_sample"]) % (1 << 23)
    return int(first)


def test_every_place_is_where_it_says(
    jack_server: JackServer, frame_source: StartSource, jack_remote: StartJackRemote, start_rig: StartRig
) -> None:
    frame_source(jack_server)
    remote = jack_remote(jack_server)
    rig = start_rig(jack_server)
    with rig.client() as client:
        remote.become_timebase_master(TEMPO)
        client.call("stream_create", uri=URI, channels=2, sources=["source:out_1", "source:out_2"])
        client.call("stream_start", uris=[URI])
        rig.wait_until_recorded(client, URI, RATE // 4)
        remote.locate(10_000)
        remote.transport_start()
        seen = wait_for(remote.transport_position, lambda at: at.frame > 30_000, "the transport rolls")
        rig.wait_until_recorded(client, URI, 3 * RATE)
        known = remote.transport_position()
        remote.transport_stop()
        head = client.call("stream_status", uri=URI)["head_sample"]
        rig.wait_until_recorded(client, URI, head + RATE // 4)
        first = client.call("stream_stop", uris=[URI])[0]["takes"][0]
        client.call("stream_start", uris=[URI])
        rig.wait_until_recorded(client, URI, first["samples"] + RATE // 2)
        second = client.call("stream_stop", uris=[URI])[0]["takes"][1]
        end = second["first_sample"] + second["samples"]

        assert position_of(client, "start") == 0
        assert position_of(client, "start+100ms") == RATE // 10
        assert position_of(client, "head-100ms") == position_of(client, "-100ms") == end - RATE // 10
        assert position_of(client, "sample:12345") == 12345
        assert position_of(client, "sample:12345-10ms") == 12345 - 480
        assert position_of(client, "take:1.start") == 0
        assert position_of(client, "take:1.end-20ms") == first["samples"] - 960
        assert position_of(client, "take:2.start") == second["first_sample"] == first["samples"]
        assert position_of(client, "take:2.end-20ms") == end - 960

        for sample in (0, 20_000, first["samples"] + 10_000):
            when = client.slice(URI, f"sample:{sample}", f"sample:{sample + 100}")["wall_clock"]
            error = 2 * when["error_ms"] * RATE / 1000 + 2
            assert abs(position_of(client, when["from"]) - sample) <= error
            later = position_of(client, f"{when['from']}+50ms")
            assert abs(later - sample - 2400) <= error

        at = position_of(client, f"transport:{known.frame}")
        assert at == known.jack_frame - first["start_frame"]
        assert position_of(client, f"transport:{seen.frame}") == seen.jack_frame - first["start_frame"]
        assert position_of(client, f"transport:{known.frame}-5ms") == at - 240
        bar = known.frame // (4 * BEAT) + 1
        assert position_of(client, f"bar:{bar}") == pytest.approx(at - (known.frame - (bar - 1) * 4 * BEAT), abs=TICK)
        assert position_of(client, f"bar:{bar}-10ms") == position_of(client, f"bar:{bar}") - 480
        assert position_of(client, "bar:1.3") == pytest.approx(at - known.frame + 2 * BEAT, abs=TICK)
        assert position_of(client, "bar:1.3.960") == pytest.approx(
            at - known.frame + 2 * BEAT + BEAT * 960 // 1920, abs=TICK
        )

        shown = client.call("stream_clock", uri=URI, place=f"transport:{known.frame}")
        assert (shown["sample_position"], shown["take"]) == (at, 1)
        assert shown["jack_frame"] == known.jack_frame
        assert (shown["transport"]["state"], shown["transport"]["frame"]) == ("rolling", known.frame)
        beats = known.frame / BEAT
        counted = (
            (shown["transport"]["bar"] - 1) * 4 + shown["transport"]["beat"] - 1 + shown["transport"]["tick"] / 1920
        )
        assert abs(counted - beats) * 1920 <= 1 + shown["transport"]["error_ticks"]
        assert shown["midi_clock"] is None
        when = client.slice(URI, f"sample:{at}", f"sample:{at + 10}")["wall_clock"]
        assert shown["wall_clock"]["at"][:19] == when["from"][:19]
        head = rig.cli("clock", URI)
        assert (head["sample_position"], head["take"], head["in_gap"]) == (end, 2, False)
        assert rig.cli("clock", URI, "sample:99999999", status=3)["error"]["details"] == {"position": 99999999}

        begin = client.slice(URI, "start", "head")["wall_clock"]
        refused: tuple[tuple[str, type[Exception], str], ...] = (
            ("2001-01-01T00:00:00Z", NotFoundError, begin["from"][:16]),
            ("2101-01-01T00:00:00Z", NotFoundError, begin["to"][:16]),
            ("take:3.start", NotFoundError, "takes 1 to 2"),
            ("transport:4000000000", NotFoundError, "between the frames"),
            ("bar:999", NotFoundError, "bars"),
            ("bar:1.9", InvalidValueError, "beat"),
            ("mark:none", NotFoundError, "no mark 'none'"),
            ("session:none.start", NotFoundError, "no session 'none'"),
            ("segment:1.end", NotFoundError, "no segment 1"),
            ("sample:999999999", InvalidValueError, "lies after --to"),
        )
        for place, kind, said in refused:
            with pytest.raises(kind, match=re.escape(said)):
                client.slice(URI, place, "head")


def test_a_transport_that_never_moved_has_no_places(
    jack_server: JackServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    frame_source(jack_server)
    rig = start_rig(jack_server)
    with rig.client() as client:
        client.call("stream_create", uri=URI, channels=1, sources=["source:out_1"])
        client.call("stream_start", uris=[URI])
        rig.wait_until_recorded(client, URI, RATE // 10)
        for place in ("bar:1", "transport:100"):
            with pytest.raises(NotFoundError, match="transport did not move"):
                client.slice(URI, place, "head")
        samples = client.slice(URI, "-50ms", "head").array()
        assert np.all(samples != 0)
