"""MIDI streams: every event, with its bytes and its frame, from the command line to the slice."""

import json
from typing import Any

import pytest

from jackcapture import Client
from jackcapture.errors import InvalidValueError
from parts.disturbers import StartJackRemote
from parts.jackd import StartServer
from parts.midi import MidiEvent, RawEvent, StartMidiSource, expected_sysex
from parts.rig import RATE, RigProcess, StartRig, wait_for
from parts.sources import StartSource, expected_samples

URI = "stream://keys/midi"


def record(rig: RigProcess, client: Client, *uris: str) -> None:
    """Start streams, once all their ports are connected."""
    for uri in uris:
        wait_for(
            lambda uri=uri: client.call("stream_status", uri=uri)["connections"],  # type: ignore[misc]
            lambda ports: bool(ports) and all(port["connections"] for port in ports),
            f"the connections of {uri}",
        )
    rig.cli("stream", "start", *uris)


def events_of(client: Client, uri: str = URI, from_place: str = "start", to_place: str = "head") -> list[MidiEvent]:
    return client.slice(uri, from_place, to_place).events()


def emitted_in(take: dict[str, Any], events: list[MidiEvent]) -> list[MidiEvent]:
    """What was emitted during a take, by sample position."""
    placed = ((frame - take["start_frame"], data) for frame, data in events)
    return [(at, data) for at, data in placed if 0 <= at < take["samples"]]


def events_of_kind(events: list[MidiEvent], *statuses: int) -> int:
    """Count the events with one of these status bytes."""
    return sum(data[0] in statuses for _, data in events)


def snapshots(rig: RigProcess, client: Client, uri: str) -> list[dict[str, Any]]:
    """The clock snapshots of the newest take, as its manifest has them."""
    clocks: list[dict[str, Any]] = rig.sealed_take(client, uri)["clocks"]
    return clocks


def test_a_flood_of_notes_a_long_sysex_and_a_clock(
    start_jack_server: StartServer, midi_source: StartMidiSource, start_rig: StartRig
) -> None:
    """10,000 notes a second, systems exclusive of 64 KiB in pieces, and MIDI clock."""
    server = start_jack_server()
    source = midi_source(server, rate=10_000, sysex=65_536, sysex_every=0.7, piece=3000, clock=120.0)
    rig = start_rig(server)
    with rig.client() as client:
        rig.cli("stream", "create", URI, "--midi", "--source", source.port, "--chunk-bytes", "65536")
        record(rig, client, URI)
        rig.wait_until_recorded(client, URI, 3 * RATE)
        live = client.slice(URI, "sample:40000", "sample:90001").events()  # of chunks sealed and in progress
        rig.wait_until_recorded(client, URI, 4 * RATE)
        (status,) = rig.cli("stream", "stop", URI)
        source.stop_emitting()
        take = status["takes"][0]
        truth = emitted_in(take, source.events())
        assert len(truth) > 39_000
        assert status["gap_count"] == 0
        assert events_of(client) == truth
        assert live == [(at, data) for at, data in truth if 40_000 <= at < 90_001]
        assert events_of(client, to_place="sample:1") == [event for event in truth if event[0] < 1]
        # The pieces are those that the source gave to JACK; together they are whole messages.
        pieces = [data for _, data in truth if not 0x80 <= data[0] < 0xF0 and data[0] < 0xF8 and len(data) > 3]
        joined = b"".join(pieces)
        whole = [number for number in range(40) if expected_sysex(number, 65_536) in joined]
        assert len(whole) >= 3  # of those that the source sent since it was connected, some before the take
        assert whole == list(range(whole[0], whole[0] + len(whole)))
        # Chunks end between frames, and hold what belongs to them.
        sealed = rig.sealed_take(client, URI)
        assert len(sealed["chunks"]) >= 8
        for clock in snapshots(rig, client, URI):
            before = [data for at, data in truth if at < clock["sample_position"]]
            assert clock["midi_clock"].get("ticks", 0) == before.count(b"\xf8")


def test_midi_clock_is_counted_through_stop_song_position_and_continue(
    start_jack_server: StartServer, midi_source: StartMidiSource, start_rig: StartRig
) -> None:
    server = start_jack_server()
    source = midi_source(server, clock=300.0, clock_stop_after=300)
    rig = start_rig(server)
    with rig.client() as client:
        rig.cli("stream", "create", URI, "--midi", "--source", source.port)
        record(rig, client, URI)
        wait_for(
            lambda: [data[0] for _, data in events_of(client)],
            lambda kinds: 0xFC in kinds and kinds[kinds.index(0xFC) :].count(0xF8) > 200,
            "the clock goes on after its stop",
            40,
        )
        (status,) = rig.cli("stream", "stop", URI)
        source.stop_emitting()
        truth = emitted_in(status["takes"][0], source.events())
        clocks = snapshots(rig, client, URI)
    assert events_of_kind(truth, 0xFC, 0xF2, 0xFB) == 3
    for clock in clocks:
        ticks = since_start = 0
        is_running = False
        for at, data in truth:
            if at >= clock["sample_position"]:
                break
            ticks += data == b"\xf8"
            since_start += data == b"\xf8" and is_running
            if data[0] == 0xF2:
                since_start = 6 * (data[1] | data[2] << 7)
            is_running = data[0] in (0xFA, 0xFB) or (is_running and data[0] != 0xFC)
        # What has its initial value is left out.
        counted = {"ticks": ticks, "ticks_since_start": since_start, "is_running": is_running}
        assert clock["midi_clock"] == {name: value for name, value in counted.items() if value}
    assert clocks[-1]["midi_clock"]["is_running"]


def test_bytes_that_are_no_midi_are_kept_as_they_came(
    start_jack_server: StartServer, midi_source: StartMidiSource, start_rig: StartRig
) -> None:
    server = start_jack_server()
    raw = [b"\x00", b"", b"\x90\x40", b"\xff" * 100, b"\xf0\x01", b"\x40\x40\x40\x40", bytes(32_000)]
    source = midi_source(
        server, raw=[RawEvent(data, cycle=1500 + 50 * number, offset=number) for number, data in enumerate(raw)]
    )
    rig = start_rig(server)
    with rig.client() as client:
        rig.cli("stream", "create", URI, "--midi", "--source", source.port)
        record(rig, client, URI)
        rig.wait_until_recorded(client, URI, 3 * RATE)
        (status,) = rig.cli("stream", "stop", URI)
        source.stop_emitting()
        assert [data for _, data in source.events()] == raw
        assert events_of(client) == emitted_in(status["takes"][0], source.events())


def test_audio_and_midi_begin_on_one_frame_and_a_stop_in_a_note_keeps_it(
    start_jack_server: StartServer, midi_source: StartMidiSource, frame_source: StartSource, start_rig: StartRig
) -> None:
    server = start_jack_server()
    frame_source(server)
    source = midi_source(server, rate=3)
    rig = start_rig(server)
    audio = "stream://test/stereo"
    with rig.client() as client:
        rig.cli("stream", "create", audio, "--channels", "2", "--source", "source:out_.*")
        rig.cli("stream", "create", URI, "--midi", "--source", source.port)
        record(rig, client, audio, URI)
        rig.wait_until_recorded(client, URI, 2 * RATE)
        grabbed = {piece["stream_uri"]: piece for piece in client.grab(1)}
        takes = {status["uri"]: status["takes"][0] for status in rig.cli("stream", "stop", audio, URI)}
        source.stop_emitting()
        assert takes[audio]["start_frame"] == takes[URI]["start_frame"]
        assert takes[audio]["samples"] == takes[URI]["samples"]
        truth = emitted_in(takes[URI], source.events())
        assert events_of(client) == truth
        assert truth[0][1][0] & 0xF0 in (0x80, 0x90)
        first, last = grabbed[URI]["sample_range"]
        assert grabbed[audio]["sample_range"] == [first, last]
        assert grabbed[URI].events() == [event for event in truth if first <= event[0] < last]
        samples = grabbed[audio].array()
        assert (samples == expected_samples(takes[audio]["start_frame"] + first, last - first, 2)).all()
        with pytest.raises(InvalidValueError, match="holds MIDI events, no samples"):
            grabbed[URI].array()
        with pytest.raises(InvalidValueError, match="no MIDI events"):
            grabbed[audio].events()
        refused = rig.cli("slice", URI, "--from", "start", "--to", "head", "--format", "wav", status=2)
        assert "'wav' is not a format for a slice of stream://keys/midi" in refused["error"]["message"]


def test_events_that_jack_lost_are_a_gap_and_the_others_are_kept(
    start_jack_server: StartServer, midi_source: StartMidiSource, start_rig: StartRig
) -> None:
    """Two sources together send more in a cycle than one buffer of JACK's holds."""
    server = start_jack_server()
    half = bytes([0xF0, *bytes(20_000), 0xF7])
    first = midi_source(server, raw=[RawEvent(half, cycle=3000)], rate=100, name="first")
    second = midi_source(server, sysex=60_000, sysex_every=0.1, piece=20_000, name="second")
    rig = start_rig(server)
    with rig.client() as client:
        rig.cli("stream", "create", URI, "--midi", "--source", "(first|second):out")
        record(rig, client, URI)
        rig.wait_until_recorded(client, URI, 6 * RATE)
        (status,) = rig.cli("stream", "stop", URI)
        for source in (first, second):
            source.stop_emitting()
        got = events_of(client)
        truth = sorted(emitted_in(status["takes"][0], first.events() + second.events()), key=lambda event: event[0])
        gaps = status["gaps"]
        assert {gap["cause"] for gap in gaps} <= {"midi_lost"}
        for gap in gaps:
            assert gap["frames"] == 64
        lost = [event for event in truth if event not in got]
        assert all(any(gap["position"] <= at < gap["position"] + 64 for gap in gaps) for at, _ in lost)
        assert sorted(got) == sorted(event for event in truth if event not in lost)


def test_clock_snapshots_tell_what_jack_did(
    start_jack_server: StartServer, frame_source: StartSource, start_rig: StartRig, jack_remote: StartJackRemote
) -> None:
    """Transport, freewheel and another buffer size, each at the frame where it came."""
    server = start_jack_server()
    frame_source(server)
    remote = jack_remote(server)
    rig = start_rig(server)
    audio = "stream://test/stereo"

    def head() -> int:
        position: int = client.call("stream_status", uri=audio)["head_sample"]
        return position

    with rig.client() as client:
        rig.cli("stream", "create", audio, "--channels", "2", "--source", "source:out_.*")
        record(rig, client, audio)
        for step in (
            remote.transport_start,
            lambda: remote.locate(96_000),
            remote.transport_stop,
            lambda: remote.set_buffer_size(128),
        ):
            rig.wait_until_recorded(client, audio, head() + RATE // 2)
            step()
        rig.wait_until_recorded(client, audio, head() + RATE // 2)
        with remote.freewheeling():
            rig.wait_until_recorded(client, audio, head() + 10 * RATE)
        rig.wait_until_recorded(client, audio, head() + RATE // 2)
        rig.cli("stream", "stop", audio)
        clocks = snapshots(rig, client, audio)
    reasons = [reason for clock in clocks for reason in clock["reasons"] if reason not in ("take", "xrun", "gap")]
    assert [reason for reason in reasons if reason != "freewheel"][-1] == "period"
    assert reasons.count("freewheel") == 2
    assert reasons.count("relocation") == 1
    assert reasons.count("transport") >= 2
    relocated = next(clock for clock in clocks if "relocation" in clock["reasons"])
    assert relocated["transport"]["frame"] == 96_000
    wheel = [clock["is_freewheeling"] for clock in clocks if "freewheel" in clock["reasons"]]
    assert wheel == [True, False]
    assert clocks[0]["reasons"][-1] == clocks[-1]["reasons"][-1] == "take"
    assert (clocks[0]["period"], clocks[-1]["period"]) == (64, 128)
    start = clocks[0]["jack_frame"] - clocks[0]["sample_position"]
    assert all(clock["jack_frame"] - clock["sample_position"] == start for clock in clocks)
    assert [clock["sample_position"] for clock in clocks] == sorted({clock["sample_position"] for clock in clocks})
    calm = [clock for clock in clocks if not clock["is_freewheeling"]]
    # About one a second, and those at changes and at the ends of chunks.
    assert len(calm) < 40, json.dumps(calm)
