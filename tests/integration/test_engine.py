"""A real engine on a real JACK server: exact samples in chunks, and an answer to everything that may come."""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from jackcapture.errors import ConflictError
from jackcapture.model.streams import AudioFormat, MidiFormat, SampleFormat, StreamDefinition
from jackcapture.model.takes import StreamStatus
from jackcapture.model.uris import parse_stream_uri
from jackcapture.protocol import messages
from jackcapture.protocol.framing import decode_envelope
from jackcapture.protocol.sockets import MAX_REQUEST_BYTES
from parts.engine import PATIENCE, EngineProcess
from parts.jackd import JackServer
from parts.messages import damaged
from parts.sources import StartSource, expected_samples, frames_of

CHUNK = 1 << 15
URI = "stream://rack/main"

StartEngine = Callable[[JackServer], EngineProcess]


@pytest.fixture
def start_engine(jack_server: JackServer) -> Iterator[StartEngine]:
    """A function that starts an engine; it is stopped when the test is over, before the server."""
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(EngineProcess(server.name)).start()


@pytest.fixture
def engine(start_engine: StartEngine, jack_server: JackServer) -> EngineProcess:
    """A running engine on a running server."""
    return start_engine(jack_server)


def define(
    uri: str = URI,
    channels: int = 2,
    sample_format: SampleFormat = SampleFormat.F32,
    sources: tuple[str, ...] = ("source:out_.*",),
    *,
    rate: int = 48_000,
    chunk: int = CHUNK,
) -> StreamDefinition:
    return StreamDefinition(parse_stream_uri(uri), "a rack", AudioFormat(rate, channels, sample_format), chunk, sources)


def run_frames(engine: EngineProcess, frames: int) -> int:
    """Wait for so many frames of JACK; return the 64-bit frame then."""
    begin = engine.state().frame
    engine.until(lambda: engine.state().frame >= begin + frames, f"JACK runs for {frames} frames")
    return engine.state().frame


def attach_and_hear(engine: EngineProcess, *definitions: StreamDefinition) -> int:
    """Attach streams and wait until their sources are heard; return a frame from which on they are."""
    for definition in definitions:
        state = engine.ask(messages.StreamAttach(definition), messages.StreamState)
        assert state.status is StreamStatus.STOPPED
        assert len(state.ports) == definition.audio.channels
        # JACK carries a connection out in a later cycle than the one in which it was made.
        uri = definition.uri
        engine.until(lambda uri=uri: all(port.connections for port in engine.stream(uri).ports), f"{uri} is connected")  # type: ignore[misc]
    return run_frames(engine, 8 * engine.state().period)


def recorded(definition: StreamDefinition, state: messages.StreamState) -> npt.NDArray[np.float32]:
    """The take's samples: float32, shape (frames, channels)."""
    chunks = [chunk for chunk in state.chunks_done if chunk.take_number == state.take_number]
    data, position = b"", state.first_sample
    for index, chunk in enumerate(chunks):
        assert (chunk.chunk_index, chunk.first_sample) == (index, position)
        assert chunk.bytes_written == chunk.samples_written * definition.audio.frame_bytes
        data += Path(chunk.path).read_bytes()[: chunk.bytes_written]
        position += chunk.samples_written
    assert position == state.head_sample
    if definition.audio.sample_format is SampleFormat.F32:
        samples = np.frombuffer(data, "<f4")
    else:
        padded = np.zeros((len(data) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        samples = (padded.view("<i4")[:, 0] / 2.0**31).astype(np.float32)
    return samples.reshape(-1, definition.audio.channels)


def assert_exact(definition: StreamDefinition, state: messages.StreamState, first_channel: int = 0) -> None:
    """Each sample of the take is in its place, and no frame was lost."""
    samples = recorded(definition, state)
    expected = expected_samples(state.start_frame, *samples.shape, first_channel=first_channel)
    np.testing.assert_array_equal(samples, expected)
    assert (state.lost_frames, state.gap_count) == (0, 0)


def batched(many: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    """Messages in lists of `size`."""
    return iter(lambda: list(itertools.islice(many, size)), [])


@pytest.mark.parametrize("sample_format", [SampleFormat.F32, SampleFormat.I24])
def test_a_take_is_exact_from_attach_to_detach(
    engine: EngineProcess, jack_server: JackServer, frame_source: StartSource, sample_format: SampleFormat
) -> None:
    frame_source(jack_server)
    definition = define(sample_format=sample_format)
    attach_and_hear(engine, definition)
    engine.begin(definition, spares=20)
    engine.until(lambda: engine.stream(URI).head_sample > 4 * definition.chunk_frames, "four chunks are written")
    drained = engine.state(drain=True)
    assert drained.streams[0].start_frame + drained.streams[0].head_sample <= drained.frame
    state = engine.ask(messages.StreamStop(URI), messages.StreamState)
    assert (state.status, state.error, state.spares) == (StreamStatus.STOPPED, "", ())
    assert state.head_sample >= drained.streams[0].head_sample
    assert_exact(definition, state)
    assert all(chunk.samples_written == definition.chunk_frames for chunk in state.chunks_done[:-1])
    for chunk in state.chunks_done:
        assert abs(chunk.wall_clock_ns - time.time_ns()) < 60e9
        assert chunk.clocks

    engine.until(lambda: engine.told(messages.StreamChunkFull) == list(state.chunks_done), "all chunks are told of")
    heads = engine.told(messages.StreamHeadPosition)
    assert heads
    assert all(head.jack_frame == state.start_frame + head.sample_position for head in heads)
    broadcasts = engine.events()
    first = broadcasts[0].sequence
    assert [broadcast.sequence for broadcast in broadcasts] == list(range(first, first + len(broadcasts)))
    assert {broadcast.publisher for broadcast in broadcasts} == {drained.engine_id}

    assert engine.refusal(messages.StreamDetach(URI)).code == "conflict"  # the chunks are not released
    for chunk in state.chunks_done:
        engine.ask(messages.ChunkRelease(URI, chunk.path), messages.Done)
    assert engine.ask(messages.PortsRequest("rack-main_[12]$"), messages.PortList).ports
    engine.ask(messages.StreamDetach(URI), messages.Done)
    engine.until(lambda: not list(engine.rings.glob("*.ring")), "the ring is removed")
    assert not engine.ask(messages.PortsRequest("rack-main"), messages.PortList).ports
    engine.ask(messages.Shutdown(), messages.Done)
    assert engine.wait() == 0


def test_streams_start_together_in_the_past(
    engine: EngineProcess, jack_server: JackServer, frame_source: StartSource
) -> None:
    frame_source(jack_server, 3)
    one = define("stream://rack/one", 2, sources=("source:out_1", "source:out_2"))
    two = define("stream://rack/two", 1, sources=("source:out_3",))
    heard = attach_and_hear(engine, one, two)
    run_frames(engine, 10_000)
    for definition in (one, two):
        assert engine.begin(definition, spares=12, start_frame=heard).start_frame == heard
    end = run_frames(engine, 5_000) + 10_000
    for definition in (one, two):
        engine.send(messages.StreamStop(definition.uri, end))  # both, before either is answered
    for _ in (one, two):
        state = engine.receive().payload
        assert isinstance(state, messages.StreamState)
        assert (state.start_frame, state.head_sample) == (heard, end - heard)
        assert_exact(state.definition, state, first_channel=0 if state.uri == one.uri else 2)


def test_what_is_refused(engine: EngineProcess, tmp_path: Path) -> None:
    definition, staging = define(sources=()), engine.staging
    outside = tmp_path / "chunk"
    outside.write_bytes(bytes(CHUNK))
    (staging / "link").symlink_to(outside)
    (staging / "linked").symlink_to(tmp_path, target_is_directory=True)
    (staging / "folder").mkdir()
    os.mkfifo(staging / "fifo")
    paths = {
        str(outside): "invalid_value",
        "chunk": "invalid_value",
        f"{staging}/../staging-too": "invalid_value",
        f"{staging}/folder/../../run/engine.lock": "invalid_value",
        f"{staging}/linked/chunk": "invalid_value",
        f"{staging}/..": "invalid_value",
        f"{staging}/": "invalid_value",
        f"{staging}/a\0b": "invalid_value",
        "": "invalid_value",
        f"{staging}/link": "storage",
        f"{staging}/folder": "storage",
        f"{staging}/{'x' * 3000}": "storage",
        f"{staging}/{'x' * 5000}": "invalid_value",
        f"{staging}/fifo": "invalid_value",
        engine.chunk(CHUNK - 1): "invalid_value",
        f"{staging}/missing": "not_found",
    }
    for path, code in paths.items():
        refusal = engine.refusal(messages.StreamStart(URI, definition, path))
        assert (refusal.code, path) == (code, path), refusal
    assert engine.stream(URI).status is StreamStatus.STOPPED  # it was attached on the way

    wrong_rate = define("stream://rack/rate", rate=44_100)
    refusal = engine.refusal(messages.StreamAttach(wrong_rate))
    assert refusal.code == "conflict"
    assert "is defined at 44100 Hz, but JACK server" in refusal.message
    midi = StreamDefinition(parse_stream_uri("stream://rack/midi"), "keys", MidiFormat(44_100), 65_536)
    refusals: list[tuple[messages.Payload, str]] = [
        (messages.StreamStart("stream://rack/rate", wrong_rate, engine.chunk(CHUNK)), "conflict"),
        (messages.StreamAttach(midi), "conflict"),
        (messages.StreamAttach(define(channels=1)), "conflict"),
        (messages.StreamStart("stream://rack/other", definition, engine.chunk(CHUNK)), "invalid_value"),
        (messages.StreamStart(URI, definition, engine.chunk(CHUNK), start_frame=0), "conflict"),
        (messages.StreamStop(URI), "conflict"),
        (messages.StreamSwitchChunk(URI, engine.chunk(CHUNK)), "conflict"),
        (messages.StreamStop("stream://rack/other"), "not_found"),
        (messages.StreamDetach("stream://rack/other"), "not_found"),
        (messages.ChunkRelease("stream://rack/other", "/x"), "not_found"),
        (messages.StreamStop("rack"), "invalid_value"),
        (messages.PortsRequest("("), "invalid_value"),
        (messages.PortsRequest("x{99999}"), "invalid_value"),
        (messages.PortsRequest("(" * 5000 + ")" * 5000), "invalid_value"),
        (messages.Done(), "invalid_value"),
        (messages.OperationCall("stream_list", "{}"), "invalid_value"),
    ]
    for payload, code in refusals:
        refusal = engine.refusal(payload)
        assert (refusal.code, payload) == (code, payload), refusal
    hostile = define("stream://rack/hostile", 1, sources=("x{99999}", "(" * 150))
    engine.ask(messages.StreamAttach(hostile), messages.StreamState)

    path = engine.chunk(CHUNK)
    engine.ask(messages.StreamStart(URI, definition, path), messages.StreamState)
    refusal = engine.refusal(messages.StreamStart(URI, definition, engine.chunk(CHUNK)))
    assert (refusal.code, refusal.message) == ("conflict", f"{URI} is recording already")
    assert engine.refusal(messages.StreamSwitchChunk(URI, path)).code == "conflict"
    assert engine.refusal(messages.StreamDetach(URI)).code == "conflict"
    assert engine.refusal(messages.Shutdown()).code == "conflict"
    assert engine.ask(messages.StreamStop(URI), messages.StreamState).status is StreamStatus.STOPPED
    assert "Traceback" not in engine.log


def test_a_detach_that_follows_a_start_at_once_does_not_lose_the_take(engine: EngineProcess) -> None:
    definition = define(sources=())
    engine.ask(messages.StreamAttach(definition), messages.StreamState)
    start = engine.send(messages.StreamStart(URI, definition, engine.chunk(CHUNK)))
    detach = engine.send(messages.StreamDetach(URI))
    replies = {reply.id: reply.payload for reply in (engine.receive(), engine.receive())}
    assert isinstance(replies[start], messages.StreamState)
    refusal = replies[detach]
    assert isinstance(refusal, messages.Error)
    assert refusal.code == ConflictError.code
    assert engine.ask(messages.StreamStop(URI), messages.StreamState).head_sample > 0


def test_any_bytes_on_the_socket_leave_the_take_alone(
    engine: EngineProcess, jack_server: JackServer, frame_source: StartSource
) -> None:
    frame_source(jack_server)
    definition = define(sample_format=SampleFormat.I24, chunk=1 << 20)
    attach_and_hear(engine, definition)
    engine.begin(definition, spares=12)  # over a minute
    before = engine.resident_bytes
    with engine.dealer() as hostile:
        for number, batch in enumerate(batched(damaged(20_000, seed=4711), 200)):
            for data in batch:
                hostile.send(data)
            # One reply each. Now and then the bytes come in several frames, which is no message at all.
            for frames in ([batch[0][:16], batch[0][16:]], [b"", batch[0], b""], [b""], [b"\0"] * (number + 2)):
                hostile.send_multipart(frames)
            for _ in range(len(batch) + 4):
                assert hostile.poll(int(1000 * PATIENCE))
                decode_envelope(hostile.recv())
    with engine.dealer() as too_long:
        too_long.send(bytes(MAX_REQUEST_BYTES + 8))
        assert not too_long.poll(200)

    state = engine.ask(messages.StreamStop(URI), messages.StreamState)
    assert_exact(definition, state)
    grown = engine.resident_bytes - before
    assert grown < 20e6, f"{grown} bytes more"
    assert engine.stream(URI).status is StreamStatus.STOPPED


def test_a_take_waits_for_its_server_and_can_be_stopped_meanwhile(
    engine: EngineProcess, jack_server: JackServer, frame_source: StartSource
) -> None:
    frame_source(jack_server)
    definition = define()
    attach_and_hear(engine, definition)
    engine.begin(definition, spares=20)
    engine.until(lambda: engine.stream(URI).head_sample > 10_000, "a second chunk is begun")
    jack_server.kill()
    engine.until(lambda: bool(engine.told(messages.StreamError)), "the trouble is told of")
    (error,) = engine.told(messages.StreamError)
    reason = f"JACK server {jack_server.name!r} has gone; the take goes on when JACK is back"
    assert error == messages.StreamError(URI, reason, recoverable=True)
    engine.until(lambda: not engine.state().connected, "the engine knows that it has no server")
    state = engine.stream(URI)
    assert (state.status, state.error) == (StreamStatus.RECORDING, reason)
    assert [port.connections for port in state.ports] == [(), ()]
    state = engine.ask(messages.StreamStop(URI), messages.StreamState)
    assert (state.status, state.error) == (StreamStatus.STOPPED, "")
    assert state.head_sample > 10_000
    assert_exact(definition, state)
    assert engine.refusal(messages.StreamStart(URI, definition, engine.chunk(CHUNK))).code == "unreachable"
    assert engine.refusal(messages.PortsRequest()).code == "unreachable"
    assert len(list(engine.rings.glob("*.ring"))) == 1  # it waits, too

    jack_server.start()
    frame_source(jack_server)
    engine.until(lambda: engine.state().connected, "the engine is back on the server")
    assert [event.connected for event in engine.told(messages.JackState)][-2:] == [False, True]
    engine.until(lambda: all(port.connections for port in engine.stream(URI).ports), "the source is connected again")
    assert [port.port for port in engine.stream(URI).ports] == ["jackcapture:rack-main_1", "jackcapture:rack-main_2"]
    attach_and_hear_again = run_frames(engine, 1024)
    again = engine.begin(definition, spares=20, take=2)
    assert again.start_frame >= attach_and_hear_again
    run_frames(engine, 10_000)
    # The new server counts, and the source plays, from its own beginning; the engine's frames run on.
    assert again.start_frame > state.start_frame + state.head_sample
    frames_of(recorded(definition, engine.ask(messages.StreamStop(URI), messages.StreamState)))


def test_the_first_answer_knows_the_server(jack_server: JackServer) -> None:
    with EngineProcess(jack_server.name) as engine:
        engine.spawn()
        assert engine.state().connected
        jack_server.stop()
        engine.until(lambda: not engine.state().connected, "the engine knows that it has no server")
        jack_server.start()
        assert engine.call(messages.PortsRequest("^$")) == messages.PortList(())  # who needs it has it sought at once


def test_an_engine_waits_for_its_server(jack_server: JackServer) -> None:
    jack_server.stop()
    with EngineProcess(jack_server.name) as engine:
        state = engine.start(connected=False).state()
        assert (state.connected, state.sample_rate, state.frame, state.pid) == (False, 0, 0, engine.pid)
        assert engine.refusal(messages.StreamAttach(define())).code == "unreachable"
        jack_server.start()
        engine.until(lambda: engine.state().connected, "the engine finds its server")
        assert (engine.state().sample_rate, engine.state().period) == (48_000, 64)


def test_sigterm_ends_it_with_what_it_had_and_leaves_no_ring(
    engine: EngineProcess, jack_server: JackServer, frame_source: StartSource
) -> None:
    frame_source(jack_server)
    definition = define(chunk=1 << 20)
    heard = attach_and_hear(engine, definition)
    path = engine.chunk(1 << 20)
    engine.ask(messages.StreamStart(URI, definition, path, heard), messages.StreamState)
    run_frames(engine, 10_000)
    assert len(list(engine.rings.glob("*.ring"))) == 1
    assert engine.stop() == 0
    assert not engine.rings.exists()
    samples = np.frombuffer(Path(path).read_bytes(), "<f4").reshape(-1, 2)[:10_000]
    np.testing.assert_array_equal(samples, expected_samples(heard, 10_000, 2))
    assert "Traceback" not in engine.log


def test_a_second_engine_is_refused_with_the_firsts_process_id(engine: EngineProcess, jack_server: JackServer) -> None:
    with EngineProcess(jack_server.name, folder=engine.folder) as second:
        second.spawn()
        assert second.wait() == ConflictError.exit_status
        assert f"is in use by process {engine.pid} " in second.log
    assert engine.state().pid == engine.pid


def test_rings_of_an_engine_that_was_killed_are_removed_by_the_next(jack_server: JackServer) -> None:
    with EngineProcess(jack_server.name) as engine:
        left = engine.rings / "1-1.ring"
        left.write_bytes(bytes(100))
        engine.start()
        assert not left.exists()
