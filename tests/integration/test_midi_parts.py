"""The MIDI source and the MIDI sink agree on every byte and frame, and say what JACK does with what does not fit."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from parts.disturbers import JackRemote, StartJackRemote
from parts.jackd import JackServer
from parts.midi import (
    MidiEvent,
    MidiSink,
    MidiSource,
    RawEvent,
    StartMidiSink,
    StartMidiSource,
    expected_note,
    expected_sysex,
    read_events,
)

LARGEST = 32720
"""Bytes of the largest event that fits an empty MIDI buffer of jackd2 1.9.21, whatever the period."""


@pytest.fixture
def remote(jack_server: JackServer, jack_remote: StartJackRemote) -> JackRemote:
    return jack_remote(jack_server)


def received(sink: MidiSink, least: int) -> None:
    """Wait until the sink has received so many events."""
    deadline = time.monotonic() + 60
    while (events := sink.flush().events) < least:
        assert time.monotonic() < deadline, f"{events} of {least} events"


def cycles_later(remote: JackRemote, count: int) -> None:
    """Wait until JACK's counter has gone on by so many periods."""
    period = remote.buffer_size()
    start = remote.now().frame
    deadline = time.monotonic() + 60
    while (remote.now().frame - start) % 2**32 < count * period:
        assert time.monotonic() < deadline


def agreed(source: MidiSource, sink: MidiSink) -> list[MidiEvent]:
    """Stop the source; all that it emitted, which is all that the sink received."""
    emitted = source.stop_emitting()
    got = sink.flush()
    events = source.events()
    assert sink.events() == events
    assert (emitted.events, got.events) == (len(events), len(events))
    return events


def frames(events: list[MidiEvent]) -> list[int]:
    """The frames since the first event."""
    return [(frame - events[0][0]) % 2**32 for frame, _ in events]


def test_ten_thousand_notes_a_second_arrive_with_their_frames(
    jack_server: JackServer, remote: JackRemote, midi_source: StartMidiSource, midi_sink: StartMidiSink
) -> None:
    source, sink = midi_source(jack_server, rate=10_000), midi_sink(jack_server)
    remote.connect(source.port, sink.port)
    received(sink, 20_000)
    events = agreed(source, sink)
    assert [data for _, data in events] == [expected_note(n) for n in range(len(events))]
    assert frames(events) == [n * 48_000 // 10_000 for n in range(len(events))]
    assert sink.flush().lost == 0


def test_notes_may_share_a_frame(
    jack_server: JackServer, remote: JackRemote, midi_source: StartMidiSource, midi_sink: StartMidiSink
) -> None:
    source, sink = midi_source(jack_server, rate=100_000), midi_sink(jack_server)
    remote.connect(source.port, sink.port)
    received(sink, 50_000)
    events = agreed(source, sink)
    assert frames(events) == [n * 48_000 // 100_000 for n in range(len(events))]


def test_sysex_arrives_in_pieces_with_nothing_but_the_clock_between(
    jack_server: JackServer, remote: JackRemote, midi_source: StartMidiSource, midi_sink: StartMidiSink
) -> None:
    source = midi_source(jack_server, rate=10_000, sysex=65536, sysex_every=0.1, clock=500)
    sink = midi_sink(jack_server)
    remote.connect(source.port, sink.port)
    received(sink, 10_000)
    events = agreed(source, sink)

    messages: list[list[MidiEvent]] = []
    notes = 0
    whole = True
    for frame, data in events:
        if data in (b"\xfa", b"\xf8"):
            continue
        if data[0] == 0xF0:
            assert whole
            messages.append([])
        elif whole:
            assert data == expected_note(notes)
            notes += 1
            continue
        assert len(data) == 4096
        messages[-1].append((frame, data))
        whole = data[-1] == 0xF7
    assert whole
    assert notes > 1000
    assert len(messages) > 1
    for number, pieces in enumerate(messages):
        assert b"".join(data for _, data in pieces) == expected_sysex(number, 65536)
        first = pieces[0][0]
        start_of_cycle = pieces[1][0] - jack_server.period
        assert 0 <= (first - start_of_cycle) % 2**32 < jack_server.period
        assert frames(pieces[1:]) == [64 * n for n in range(15)]
    ticks = [frame for frame, data in events if data == b"\xf8"]
    assert [(frame - ticks[0]) % 2**32 for frame in ticks] == [n * 240 for n in range(len(ticks))]


def test_a_piece_is_as_large_as_jack_has_room_for(
    jack_server: JackServer, remote: JackRemote, midi_source: StartMidiSource, midi_sink: StartMidiSink
) -> None:
    source, sink = midi_source(jack_server, sysex=65536, piece=65536), midi_sink(jack_server)
    remote.connect(source.port, sink.port)
    received(sink, 3)
    events = agreed(source, sink)
    assert [len(data) for _, data in events] == [LARGEST, LARGEST, 65536 - 2 * LARGEST]
    assert b"".join(data for _, data in events) == expected_sysex(0, 65536)


def test_stop_waits_for_the_end_of_a_sysex(
    jack_server: JackServer, remote: JackRemote, midi_source: StartMidiSource, midi_sink: StartMidiSink
) -> None:
    source, sink = midi_source(jack_server, sysex=20_000, piece=10), midi_sink(jack_server)
    remote.connect(source.port, sink.port)
    received(sink, 1)
    events = agreed(source, sink)
    assert b"".join(data for _, data in events) == expected_sysex(0, 20_000)


def test_the_clock_starts_stops_and_goes_on_at_exact_frames(
    jack_server: JackServer, remote: JackRemote, midi_source: StartMidiSource, midi_sink: StartMidiSink
) -> None:
    source, sink = midi_source(jack_server, clock=130, clock_stop_after=24), midi_sink(jack_server)
    remote.connect(source.port, sink.port)
    received(sink, 40)
    events = agreed(source, sink)
    expected = [(0, b"\xfa")]
    for tick in range(100):
        frame = round(tick * 48_000 * 60 / (130 * 24))
        said = {24: [b"\xfc"], 25: [b"\xf2\x04\x00"], 26: [b"\xfb", b"\xf8"]}.get(tick, [b"\xf8"])
        expected += [(frame, data) for data in said]
    assert list(zip(frames(events), (data for _, data in events), strict=True)) == expected[: len(events)]


def test_raw_bytes_are_carried_whatever_they_are(
    jack_server: JackServer, remote: JackRemote, midi_source: StartMidiSource, midi_sink: StartMidiSink
) -> None:
    raw = [
        RawEvent(b"\xf7", 3, 63),
        RawEvent(b"", 2, 5),
        RawEvent(b"\x01\x02", 2, 5),
        RawEvent(b"\xf0\x90", 3, 1),
        RawEvent(b"\xff" * 1000, 0),
    ]
    source, sink = midi_source(jack_server, raw=raw), midi_sink(jack_server)
    remote.connect(source.port, sink.port)
    received(sink, 5)
    events = agreed(source, sink)
    assert [data for _, data in events] == [b"\xff" * 1000, b"", b"\x01\x02", b"\xf0\x90", b"\xf7"]
    assert frames(events) == [0, 2 * 64 + 5, 2 * 64 + 5, 3 * 64 + 1, 3 * 64 + 63]


@pytest.mark.parametrize(
    ("raw", "sizes", "refused", "lost"),
    [
        ([RawEvent(b"1", 1, 64)], [], 1, 0),  # a place beyond the period is an error of the writer, not a loss
        ([RawEvent(b"1" * (LARGEST + 1), 1)], [], 1, 1),
        ([RawEvent(b"1" * LARGEST, 1), RawEvent(b"2", 1)], [LARGEST], 1, 1),
        ([RawEvent(b"1" * (LARGEST - 20), 1), RawEvent(b"2" * 8, 1)], [LARGEST - 20, 8], 0, 0),
        ([RawEvent(b"1" * (LARGEST - 20), 1), RawEvent(b"2" * 9, 1)], [LARGEST - 20], 1, 1),
    ],
)
def test_what_jack_refuses_is_not_in_the_log(
    jack_server: JackServer,
    remote: JackRemote,
    midi_source: StartMidiSource,
    midi_sink: StartMidiSink,
    raw: list[RawEvent],
    sizes: list[int],
    refused: int,
    lost: int,
) -> None:
    source, sink = midi_source(jack_server, raw=[*raw, RawEvent(b"end", 2)]), midi_sink(jack_server)
    remote.connect(source.port, sink.port)
    received(sink, len(sizes) + 1)
    assert source.stop_emitting().refused == refused
    assert [len(data) for _, data in agreed(source, sink)] == [*sizes, 3]
    # The only connection's buffer is the source's own, hence so is its count of what it lost.
    assert sink.flush().lost == lost


def test_events_that_do_not_fit_the_mix_of_two_sources_are_lost(
    jack_server: JackServer, remote: JackRemote, midi_source: StartMidiSource, midi_sink: StartMidiSink
) -> None:
    one = midi_source(jack_server, rate=96_000, name="one")
    two = midi_source(jack_server, sysex=32_000, piece=32_000, sysex_every=0.05, name="two")
    sink = midi_sink(jack_server)
    remote.connect(one.port, sink.port)
    remote.connect(two.port, sink.port)
    deadline = time.monotonic() + 60
    while sink.flush().lost == 0:
        assert time.monotonic() < deadline
    sent = one.stop_emitting().events + two.stop_emitting().events
    got = sink.flush()
    # In every cycle with losses, JACK counts one more than there are.
    assert sent - got.events < got.lost < 2 * (sent - got.events)


def test_nothing_is_emitted_without_a_listener(
    jack_server: JackServer, remote: JackRemote, midi_source: StartMidiSource, midi_sink: StartMidiSink
) -> None:
    source, sink = midi_source(jack_server, rate=5000, sysex=5000, piece=100), midi_sink(jack_server)
    cycles_later(remote, 20)
    for _ in range(5):
        before = sink.flush().events
        remote.connect(source.port, sink.port)
        received(sink, before + 30)
        remote.disconnect(source.port, sink.port)
        after = sink.flush()
        cycles_later(remote, 20)
        assert sink.flush() == after
    events = agreed(source, sink)
    notes = [data for _, data in events if len(data) == 3]
    assert notes == [expected_note(n) for n in range(len(notes))]


def test_two_sinks_hear_the_same(
    jack_server: JackServer, remote: JackRemote, midi_source: StartMidiSource, midi_sink: StartMidiSink
) -> None:
    source = midi_source(jack_server, rate=10_000)
    early, late = midi_sink(jack_server, name="early"), midi_sink(jack_server, name="late")
    remote.connect(source.port, early.port)
    received(early, 1000)
    remote.connect(source.port, late.port)
    received(late, 1000)
    events = agreed(source, early)
    heard = late.events()
    assert events[-len(heard) :] == heard


def test_the_log_is_whole_however_the_source_ends(
    jack_server: JackServer, remote: JackRemote, midi_source: StartMidiSource, midi_sink: StartMidiSink
) -> None:
    sink = midi_sink(jack_server)
    source = midi_source(jack_server, rate=10_000)
    remote.connect(source.port, sink.port)
    received(sink, 1000)
    with pytest.raises(RuntimeError, match="still emits"):
        source.events()
    source.close_stdin()
    assert source.wait() == 0
    events = source.events()
    assert source.last_words == [f"emitted {len(events)} refused 0"]
    # What was emitted in the cycle in which the client was closed may not have been heard.
    heard = sink.events()
    assert heard == events[: len(heard)]
    assert len(events) - len(heard) <= 2 * 64 * 10_000 // 48_000

    second = midi_source(jack_server, rate=10_000, name="second")
    remote.connect(second.port, sink.port)
    received(sink, len(heard) + 1000)
    jack_server.kill()
    assert second.wait() == 3
    assert sink.wait() == 3
    whole = sink.events()[len(heard) :]
    assert len(whole) >= 1000
    assert second.events()[: len(whole)] == whole


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--log is needed"),
        (["--log", "{log}"], "--name is needed"),
        (["--name", "x", "--log", "/no/such/folder/log"], "cannot write the log /no/such/folder/log"),
        (["--rate", "fast"], 'not "fast"'),
        (["--sysex", "1"], 'not "1"'),
        (["--sysex", "9", "--clock-stop-after", "3"], "exclude each other"),
        (["--raw", "9"], "HEX@CYCLE"),
        (["--raw", "9@1"], "HEX@CYCLE"),
        (["--raw", "90@1+x"], 'not "x"'),
        (["--bogus"], "--bogus"),
        (["more"], 'not "more"'),
    ],
)
def test_wrong_options_are_named(
    program: Callable[[str], Path], tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = subprocess.run(
        [str(program("midi_source")), *(word.format(log=tmp_path / "log") for word in arguments)],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_a_source_without_a_server_says_so(program: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r'JACK server "jct-nowhere"'):
        MidiSource(program("midi_source"), "jct-nowhere", tmp_path / "log").start()


def test_an_unknown_command_is_an_error(jack_server: JackServer, midi_sink: StartMidiSink) -> None:
    with pytest.raises(RuntimeError, match='there is no command "dance"'):
        midi_sink(jack_server).ask("dance")


def test_a_log_that_is_not_whole_is_not_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    event = (7).to_bytes(8, "little") + (2).to_bytes(4, "little") + b"ab"
    log.write_bytes(event * 2)
    assert read_events(log) == [(7, b"ab"), (7, b"ab")]
    log.write_bytes(event + event[:11])
    with pytest.raises(ValueError, match="within the head of event 1"):
        read_events(log)
    log.write_bytes(event + event[:-1])
    with pytest.raises(ValueError, match="within event 1"):
        read_events(log)
