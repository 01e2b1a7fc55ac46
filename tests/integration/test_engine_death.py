"""An engine that dies: the next one goes on in its takes, with one gap, and every frame is in its place."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from jackcapture.formats.midi_records import iterate_records
from jackcapture.model.streams import AudioFormat, MidiFormat, SampleFormat, StreamDefinition
from jackcapture.model.takes import RUNNING, GapCause
from jackcapture.model.uris import parse_stream_uri
from jackcapture.protocol import messages
from parts.engine import EngineProcess
from parts.jackd import JackServer
from parts.midi import StartMidiSource
from parts.sources import StartSource, expected_samples, frames_of

RATE = 48_000
CHUNK = 65_536
AUDIO = StreamDefinition(
    parse_stream_uri("stream://rack/main"), "rack", AudioFormat(RATE, 2, SampleFormat.F32), CHUNK, ("source:out_.*",)
)
MIDI = StreamDefinition(
    parse_stream_uri("stream://rack/midi"), "rack", MidiFormat(RATE), 65_536, ("midi_source:out",)
)  # fmt: skip


@pytest.fixture
def engine(jack_server: JackServer) -> Iterator[EngineProcess]:
    with EngineProcess(jack_server.name) as engine:
        yield engine.start()


def die(engine: EngineProcess) -> None:
    """Kill the engine, and start the next one, which finds what it left."""
    os.kill(engine.pid, signal.SIGKILL)
    engine.wait()
    engine.start()


def record_more(engine: EngineProcess, definition: StreamDefinition, frames: int) -> None:
    """Wait until a stream has so many more frames, giving it chunks meanwhile as control would."""
    head = engine.stream(definition.uri).head_sample

    def enough() -> bool:
        state = engine.stream(definition.uri)
        assert state.status in RUNNING, engine.log
        if len(state.spares) < 16:
            chunk = engine.chunk(definition.chunk_size_bytes)
            reply = engine.call(messages.StreamSwitchChunk(definition.uri, chunk))
            assert reply == messages.Done(), (reply, engine.stream(definition.uri), engine.log)
        return state.head_sample >= head + frames and len(state.spares) >= 8

    engine.until(enough, f"{frames} more frames of {definition.uri}")


def take_of(engine: EngineProcess, definition: StreamDefinition) -> tuple[messages.StreamState, bytes]:
    """Stop a take; give its last state and its bytes, after a look at its chunks."""
    state = engine.ask(messages.StreamStop(definition.uri), messages.StreamState)
    assert state.error == ""
    position, data = state.first_sample, b""
    for index, full in enumerate(state.chunks_done):
        assert (full.chunk_index, full.first_sample) == (index, position)
        written = Path(full.path).read_bytes()
        assert not any(written[full.bytes_written :])
        data += written[: full.bytes_written]
        position += full.samples_written
    assert position == state.head_sample
    assert len(data) == state.head_bytes
    gaps = [gap for full in state.chunks_done for gap in full.gaps]
    assert state.gap_count == len(gaps)
    assert state.lost_frames == sum(gap.frames for gap in gaps)
    return state, data


def test_audio_goes_on_after_several_deaths(
    engine: EngineProcess, jack_server: JackServer, frame_source: StartSource
) -> None:
    frame_source(jack_server)
    engine.begin(AUDIO, spares=8)
    record_more(engine, AUDIO, RATE // 2)
    for _ in range(3):
        die(engine)
        engine.until(lambda: engine.stream(AUDIO.uri).status in RUNNING, "the take goes on")
        assert engine.stream(AUDIO.uri).take_number == 1
        engine.until(lambda: all(port.connections for port in engine.stream(AUDIO.uri).ports), "it is connected")
        record_more(engine, AUDIO, RATE // 2)
    state, data = take_of(engine, AUDIO)
    samples = np.frombuffer(data, "<f4").reshape(-1, 2)
    expected = expected_samples(state.start_frame, len(samples), 2)
    gaps = [gap for full in state.chunks_done for gap in full.gaps]
    assert [gap.cause for gap in gaps] == [GapCause.ENGINE_DIED] * 3
    end = 0
    for gap, after in zip(gaps, [*gaps[1:], None], strict=True):
        # All that JACK delivered to the engine that died is there, to the last frame before the gap.
        np.testing.assert_array_equal(samples[end : gap.position], expected[end : gap.position])
        gap_end = gap.position + gap.frames
        assert not samples[gap.position : gap_end].any()
        # The connections are made a moment after the first cycle, one after the other.
        end = gap_end + int(np.argmax(samples[gap_end:].all(axis=1)))
        assert end - gap_end < RATE // 2
        assert after is None or end < after.position
    np.testing.assert_array_equal(samples[end:], expected[end:])


def test_midi_goes_on(engine: EngineProcess, jack_server: JackServer, midi_source: StartMidiSource) -> None:
    source = midi_source(jack_server, rate=2000, clock=120)
    engine.begin(MIDI, spares=8)
    for _ in range(3):
        record_more(engine, MIDI, RATE)
        die(engine)
        engine.until(lambda: engine.stream(MIDI.uri).status in RUNNING, "the take goes on")
        engine.until(lambda: all(port.connections for port in engine.stream(MIDI.uri).ports), "it is connected")
    record_more(engine, MIDI, RATE)
    state, data = take_of(engine, MIDI)
    source.stop_emitting()
    gaps = [gap for full in state.chunks_done for gap in full.gaps]
    assert [gap.cause for gap in gaps] == [GapCause.ENGINE_DIED] * 3
    records = list(iterate_records(data))
    emitted = [(frame - state.start_frame, event) for frame, event in source.events()]
    # Outside of the gaps, and of the moment after each until it is connected again, everything is there once.
    begins = [0, *(gap.position + gap.frames for gap in gaps)]
    ends = [*(gap.position for gap in gaps), state.head_sample]
    for begin, end in zip(begins, ends, strict=True):
        got = [record for record in records if begin <= record[0] < end]
        first = got[0][0]
        assert first - begin < RATE // 2
        assert got == [record for record in emitted if first <= record[0] < end]
    assert all(any(begin <= at < end for begin, end in zip(begins, ends, strict=True)) for at, _ in records)


def test_a_server_that_died_as_well(engine: EngineProcess, jack_server: JackServer, frame_source: StartSource) -> None:
    source = frame_source(jack_server)
    engine.begin(AUDIO, spares=8)
    record_more(engine, AUDIO, RATE // 2)
    os.kill(engine.pid, signal.SIGKILL)  # first: what it records of a source that has gone is silence
    engine.wait()
    source.stop()
    jack_server.kill()
    engine.start(connected=False)
    state = engine.stream(AUDIO.uri)
    assert state.status in RUNNING
    assert "the take goes on when JACK is there" in state.error
    jack_server.start()
    frame_source(jack_server, name="source")
    engine.until(lambda: all(port.connections for port in engine.stream(AUDIO.uri).ports), "it is connected")
    # The head comes to the hole, and crosses it, chunk by chunk: what is heard lies behind it.
    while not (state := engine.stream(AUDIO.uri)).gap_count:
        record_more(engine, AUDIO, RATE // 8)
    (hole,) = [*state.gaps, *(gap for full in state.chunks_done for gap in full.gaps)]
    left = hole.position + hole.frames - state.head_sample
    record_more(engine, AUDIO, max(0, left) + RATE // 2)
    assert engine.stream(AUDIO.uri).error == ""
    state, data = take_of(engine, AUDIO)
    samples = np.frombuffer(data, "<f4").reshape(-1, 2)
    (gap,) = [gap for full in state.chunks_done for gap in full.gaps]
    assert gap.cause is GapCause.ENGINE_DIED
    expected = expected_samples(state.start_frame, gap.position, 2)
    np.testing.assert_array_equal(samples[: gap.position], expected)
    assert not samples[gap.position : gap.position + gap.frames].any()
    frames_of(samples[-RATE // 8 :])


def test_what_is_no_ring_is_removed_and_nothing_else_happens(engine: EngineProcess, jack_server: JackServer) -> None:
    os.kill(engine.pid, signal.SIGKILL)
    engine.wait()
    for name, data in (("a.ring", b""), ("b.ring", bytes(100_000)), ("b.ring.state", b"x" * 64), ("c", b"?")):
        (engine.rings / name).write_bytes(data)
    engine.start()
    assert engine.state().streams == ()
    assert os.listdir(engine.rings) == []
