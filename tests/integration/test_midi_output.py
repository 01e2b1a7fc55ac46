"""MIDI output: every event at its exact frame as a sink sees it, and the late ones told."""

from collections.abc import Iterator

import pytest

from jackcapture.protocol import messages
from jackcapture.protocol.messages import AT_ONCE, MidiEvent, MidiOutputState
from parts.engine import EngineProcess
from parts.jackd import JackServer
from parts.midi import MidiSink, StartMidiSink

OUT = "out"


@pytest.fixture
def engine(jack_server: JackServer) -> Iterator[EngineProcess]:
    with EngineProcess(jack_server.name) as engine:
        yield engine.start()


def note(number: int, *, on: bool = True, channel: int = 0) -> bytes:
    return bytes([(0x90 if on else 0x80) | channel, number, 0x40])


def send(engine: EngineProcess, events: list[MidiEvent], start: int = AT_ONCE, to: str = r".*:in") -> MidiOutputState:
    return engine.ask(messages.MidiSend(OUT, (to,), start, tuple(events)), MidiOutputState)


def when_done(engine: EngineProcess) -> MidiOutputState:
    """Wait for the end, as the state says it; events tell of nothing else, and may come later, or not yet be heard."""
    engine.until(lambda: engine.state().midi_outputs[0].is_done, "the events are sent")
    done = engine.state().midi_outputs[0]
    assert all(told.is_done for told in engine.told(MidiOutputState))
    return done


def received(sink: MidiSink) -> list[tuple[int, bytes]]:
    return sink.events()


def test_events_are_sent_at_their_frames(
    engine: EngineProcess, jack_server: JackServer, midi_sink: StartMidiSink
) -> None:
    sink = midi_sink(jack_server)
    # Several in a period, some at one frame, one at each side of a period's end, a long one, and one after a pause.
    frames = [0, 0, 1, 5, 63, 64, 65, 127, 128, 1000, 1000, 24_000]
    sysex = b"\xf0" + bytes(n % 128 for n in range(20_000)) + b"\xf7"
    data = [note(n) for n in range(10)] + [b"\xf8", sysex]
    events = [MidiEvent(frame, message) for frame, message in zip(frames, data, strict=True)]
    state = send(engine, events)
    assert (state.events, state.is_done, state.error) == (12, False, "")
    done = when_done(engine)
    assert (done.sent, done.late, done.late_count, done.error) == (12, (), 0, "")
    assert received(sink) == [(state.start_frame + event.frame, event.data) for event in events]
    assert done.port.connections == (sink.port,)


def test_ten_thousand_events_in_less_than_a_second_at_a_given_frame(
    engine: EngineProcess, jack_server: JackServer, midi_sink: StartMidiSink
) -> None:
    sink = midi_sink(jack_server)
    send(engine, [MidiEvent(0, note(1))])  # connects, so that the next ones need no lead
    when_done(engine)
    engine.events().clear()
    start = engine.state().frame + 5 * 48_000 + 7  # what a busy machine needs to take them in is no lateness of JACK's
    events = [MidiEvent(n * 7 // 2, note(n % 128, on=n % 2 == 0)) for n in range(10_000)]
    assert send(engine, events, start).start_frame == start
    done = when_done(engine)
    assert (done.sent, done.late_count) == (10_000, 0)
    assert received(sink)[1:] == [(start + event.frame, event.data) for event in events]


def test_late_events_are_sent_at_once_and_told(
    engine: EngineProcess, jack_server: JackServer, midi_sink: StartMidiSink
) -> None:
    sink = midi_sink(jack_server)
    send(engine, [MidiEvent(0, note(1))])
    when_done(engine)
    engine.events().clear()
    engine.until(lambda: engine.state().frame > 48_000, "JACK has counted a second")
    start = engine.state().frame - 48_000
    send(engine, [MidiEvent(0, note(2)), MidiEvent(100, note(3)), MidiEvent(144_000, note(4))], start)
    done = when_done(engine)
    assert (done.sent, done.late_count, done.error) == (3, 2, "")
    (_, first), (two, _), (three, _), (four, last) = received(sink)
    assert two == three  # as soon as may be, together
    assert four == start + 144_000
    assert (first, last) == (note(1), note(4))
    assert done.late == (messages.LateEvent(0, two - start), messages.LateEvent(1, three - start - 100))
    assert two - start > 48_000


def test_what_does_not_fit_into_a_period_is_late_and_told(
    engine: EngineProcess, jack_server: JackServer, midi_sink: StartMidiSink
) -> None:
    """JACK's buffer takes 32 KiB a period."""
    sink = midi_sink(jack_server)
    sysex = b"\xf0" + bytes(30_000) + b"\xf7"
    state = send(engine, [MidiEvent(0, sysex), MidiEvent(0, sysex), MidiEvent(1, note(1))])
    done = when_done(engine)
    first, second, third = received(sink)
    assert first == (state.start_frame, sysex)
    assert (second[1], third[1]) == (sysex, note(1))
    assert done.late == (
        messages.LateEvent(1, second[0] - state.start_frame),
        messages.LateEvent(2, third[0] - state.start_frame - 1),
    )
    assert 0 < second[0] - state.start_frame <= 64
    assert second[0] == third[0]


def test_a_cancelled_send_ends_its_notes_and_says_how_far_it_came(
    engine: EngineProcess, jack_server: JackServer, midi_sink: StartMidiSink
) -> None:
    sink = midi_sink(jack_server)
    events = [MidiEvent(0, note(60)), MidiEvent(1, note(61)), MidiEvent(2, note(61, on=False))]
    events += [MidiEvent(3, note(62, channel=5)), MidiEvent(48_000 * 60, note(63))]
    state = send(engine, events)
    engine.until(lambda: engine.state().midi_outputs[0].sent == 4, "four events are sent")
    refused = engine.refusal(messages.MidiSend(OUT, (), AT_ONCE, (MidiEvent(0, note(1)),)))
    assert refused.code == "conflict"
    assert "'out' is sending: 1 events are left" in refused.message
    engine.ask(messages.MidiCancel(OUT), MidiOutputState)
    done = when_done(engine)
    assert (done.sent, done.error) == (4, "cancelled after 4 of 5 events")
    engine.until(lambda: len(received(sink)) == 6, "the notes are ended")
    got = received(sink)
    assert got[:4] == [(state.start_frame + event.frame, event.data) for event in events[:4]]
    assert [data for _, data in got[4:]] == [note(60, on=False), note(62, on=False, channel=5)]
    engine.events().clear()
    send(engine, [MidiEvent(0, note(64))])  # it can be used again
    assert when_done(engine).sent == 1


def test_notes_do_not_hang_when_the_engine_ends(
    engine: EngineProcess, jack_server: JackServer, midi_sink: StartMidiSink
) -> None:
    sink = midi_sink(jack_server)
    send(engine, [MidiEvent(0, note(60)), MidiEvent(48_000 * 60, note(60, on=False))])
    engine.until(lambda: engine.state().midi_outputs[0].sent == 1, "the note begins")
    assert engine.stop() == 0
    assert [data for _, data in received(sink)] == [note(60), note(60, on=False)]


def test_an_output_comes_back_with_its_server(
    engine: EngineProcess, jack_server: JackServer, midi_sink: StartMidiSink
) -> None:
    sink = midi_sink(jack_server)
    send(engine, [MidiEvent(0, note(60)), MidiEvent(48_000 * 60, note(61))])
    engine.until(lambda: engine.state().midi_outputs[0].sent == 1, "the note begins")
    sink.stop()
    jack_server.kill()
    done = when_done(engine)
    assert (done.sent, done.is_done) == (1, True)
    assert "has gone" in done.error
    engine.events().clear()
    jack_server.start()
    second = midi_sink(jack_server, name="second")
    engine.until(lambda: engine.state().connected, "the server is back")
    state = send(engine, [MidiEvent(0, note(62)), MidiEvent(10, note(63))], to="second:in")
    assert when_done(engine).late_count == 0
    assert received(second) == [(state.start_frame % (1 << 32), note(62)), (state.start_frame + 10, note(63))] or [
        data for _, data in received(second)
    ] == [note(62), note(63)]  # the new server counts from its own beginning


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (messages.MidiSend(OUT, (), AT_ONCE, ()), "invalid_value", "0 events: 1 to 1000000"),
        (messages.MidiSend("Out put", (), AT_ONCE, (MidiEvent(0, note(1)),)), "invalid_value", "no name of a MIDI out"),
        (messages.MidiSend(OUT, ("nobody",), AT_ONCE, (MidiEvent(0, note(1)),)), "not_found", "names no MIDI input"),
        (messages.MidiSend(OUT, ("(",), AT_ONCE, (MidiEvent(0, note(1)),)), "not_found", "names no MIDI input"),
        (messages.MidiSend(OUT, (), 1 << 60, (MidiEvent(0, note(1)),)), "conflict", "at most 86400 s"),
        (
            messages.MidiSend(OUT, (), AT_ONCE, (MidiEvent(5, note(1)), MidiEvent(4, note(1)))),
            "invalid_value",
            "event 1 is at frame 4, before the one before it at 5",
        ),
        *(
            (messages.MidiSend(OUT, (), AT_ONCE, (MidiEvent(0, note(1)), MidiEvent(0, data))), "invalid_value", says)
            for data, says in (
                (b"", "event 1: '' is no MIDI message: it must begin with a status byte"),
                (b"\x40\x7f", "event 1: '40 7F' is no MIDI message: it must begin with a status byte"),
                (b"\x90\x40", "'90 40' is no MIDI message: status 90 makes 3 bytes, not 2"),
                (b"\x90\x40\x7f\x41\x7f", "status 90 makes 3 bytes, not 5"),
                (b"\x90\x80\x7f", "its data bytes must be 00 to 7F"),
                (b"\xf0\x01\x02", "a system exclusive \\(F0\\) ends with F7"),
                (b"\xf0\x01\x90\xf7", "its data bytes must be 00 to 7F"),
                (b"\xf0" + bytes(32_000) + b"\xf7", "at most 32000 can be sent at once"),
                (b"\xf4", "'F4' is no MIDI message"),
                (b"\xf7", "'F7' is no MIDI message"),
            )
        ),
        (messages.MidiCancel("nothing"), "not_found", "no MIDI output 'nothing'; there are: none"),
    ],
)
def test_what_is_refused_sends_nothing(engine: EngineProcess, command: messages.Command, code: str, says: str) -> None:
    refusal = engine.refusal(command)
    assert refusal.code == code
    with pytest.raises(ValueError, match=says):
        raise ValueError(refusal.message)
    assert all(state.events == 0 for state in engine.state().midi_outputs)
