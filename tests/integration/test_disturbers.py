"""The parts that disturb do what they say, and jackd does under them what their module says it does."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from parts import rig
from parts.disturbers import (
    JackRemote,
    LateClient,
    Lateness,
    StartJackRemote,
    StartLateClient,
    StartLatentSource,
    Transport,
    TransportState,
)
from parts.jackd import JackServer, StartServer
from parts.midi import StartMidiSink, StartMidiSource

FAST = 2.0
"""Freewheeling is at least so many times faster than the clock; it is 20 and more on an idle machine."""


@pytest.fixture
def remote(jack_server: JackServer, jack_remote: StartJackRemote) -> JackRemote:
    return jack_remote(jack_server)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; fail when it does not come to that."""
    rig.wait_for(condition, bool, "the condition", 30)


def speed(remote: JackRemote) -> float:
    """How fast JACK's frames pass, over at least a tenth of a second: 1 is as fast as the clock says."""
    rate = remote.sample_rate()
    before = remote.now()
    while (after := remote.now()).usecs - before.usecs < 100_000:
        pass
    return ((after.frame - before.frame) % 2**32) / rate / ((after.usecs - before.usecs) / 1_000_000)


def test_the_remote_knows_the_server(start_jack_server: StartServer, jack_remote: StartJackRemote) -> None:
    remote = jack_remote(start_jack_server(period=256, rate=44100))
    assert (remote.buffer_size(), remote.sample_rate()) == (256, 44100)
    assert remote.connected("system:playback_1") == []


def test_the_remote_converts_frames_to_times_and_back(remote: JackRemote) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) // 1000
    now = remote.now()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) // 1000
    assert before <= now.usecs <= after
    usecs = remote.frame_to_usecs(now.frame)
    # JACK corrects its line from cycle to cycle, and by much after a busy machine has delayed one.
    assert abs(usecs - now.usecs) < 500_000
    assert abs(remote.usecs_to_frame(usecs) - now.frame) < 24_000
    second = remote.frame_to_usecs(now.frame + 48_000) - remote.frame_to_usecs(now.frame)
    assert 200_000 < second < 5_000_000


def test_the_buffer_size_changes_and_no_event_is_lost(
    jack_server: JackServer, remote: JackRemote, midi_source: StartMidiSource, midi_sink: StartMidiSink
) -> None:
    source, sink = midi_source(jack_server, rate=10_000), midi_sink(jack_server)
    remote.connect(source.port, sink.port)
    for period in (128, 1024, 100, 16, 64, 64):
        remote.set_buffer_size(period)
        assert remote.buffer_size() == period
        heard = sink.flush().events
        wait_for(lambda heard=heard: sink.flush().events > heard + 100)  # type: ignore[misc]
    assert remote.connected(source.port) == [sink.port]
    source.stop_emitting()
    sink.flush()
    assert sink.events() == source.events()


def test_a_buffer_size_that_jack_refuses_changes_nothing(remote: JackRemote) -> None:
    remote.set_buffer_size(8192)
    with pytest.raises(RuntimeError, match="'buffer 8193': JACK says -1"):
        remote.set_buffer_size(8193)
    assert remote.buffer_size() == 8192
    with pytest.raises(ValueError, match="at least one frame"):
        remote.set_buffer_size(0)


def test_freewheeling_is_faster_than_the_clock_and_loses_nothing(
    jack_server: JackServer, remote: JackRemote, midi_source: StartMidiSource, midi_sink: StartMidiSink
) -> None:
    source, sink = midi_source(jack_server, rate=1000), midi_sink(jack_server)
    remote.connect(source.port, sink.port)
    with remote.freewheeling():
        wait_for(lambda: speed(remote) > FAST)
        with pytest.raises(RuntimeError, match="'freewheel 1': JACK says -1"):
            remote.freewheel(True)
    wait_for(lambda: 0.5 < speed(remote) < 1.5)
    with pytest.raises(RuntimeError, match="'freewheel 0': JACK says -1"):
        remote.freewheel(False)
    source.stop_emitting()
    sink.flush()
    events = source.events()
    assert sink.events() == events
    # The counter runs through both changes without a jump.
    start = events[0][0]
    assert [(frame - start) % 2**32 for frame, _ in events] == [48 * n for n in range(len(events))]


def test_freewheeling_outlives_the_client_that_asked_for_it(
    jack_server: JackServer, jack_remote: StartJackRemote, remote: JackRemote
) -> None:
    other = jack_remote(jack_server, name="other")
    other.freewheel(True)
    other.stop()
    wait_for(lambda: speed(remote) > FAST)
    remote.freewheel(False)


def test_connections_after_freewheeling_are_those_from_before(
    jack_server: JackServer, remote: JackRemote, midi_source: StartMidiSource, midi_sink: StartMidiSink
) -> None:
    source, sink = midi_source(jack_server, rate=1000), midi_sink(jack_server)
    with remote.freewheeling():
        remote.connect(source.port, sink.port)
        wait_for(lambda: sink.flush().events > 10)
    wait_for(lambda: remote.connected(source.port) == [])
    remote.connect(source.port, sink.port)
    with remote.freewheeling():
        remote.disconnect(source.port, sink.port)
    wait_for(lambda: remote.connected(source.port) == [sink.port])
    heard = sink.flush().events
    wait_for(lambda: sink.flush().events > heard)


def test_a_client_that_joins_a_freewheeling_server_is_not_called_after_it(
    jack_server: JackServer, remote: JackRemote, midi_sink: StartMidiSink
) -> None:
    before = midi_sink(jack_server, name="before")
    with remote.freewheeling():
        within = midi_sink(jack_server, name="within")
        within.flush()
    before.flush()
    with pytest.raises(RuntimeError, match="within has not answered"):
        within.ask("flush", patience=1)
    midi_sink(jack_server, name="after").flush()


def test_the_transport_rolls_stops_and_is_where_it_is_sent(remote: JackRemote) -> None:
    assert remote.transport() == Transport(TransportState.STOPPED, 0)
    remote.transport_start()
    wait_for(lambda: remote.transport().state is TransportState.ROLLING and remote.transport().frame > 0)
    remote.locate(1_000_000)
    wait_for(lambda: remote.transport().frame > 1_000_000)
    remote.transport_stop()
    wait_for(lambda: remote.transport().state is TransportState.STOPPED)
    remote.locate(77)
    wait_for(lambda: remote.transport() == Transport(TransportState.STOPPED, 77))


def test_the_remote_connects_by_name_and_tells_errors(remote: JackRemote) -> None:
    remote.connect("system:capture_1", "system:playback_2")
    assert remote.connected("system:playback_2") == ["system:capture_1"]
    with pytest.raises(RuntimeError, match="JACK says"):
        remote.connect("system:capture_1", "system:playback_2")
    remote.disconnect("system:capture_1", "system:playback_2")
    assert remote.connected("system:playback_2") == []
    with pytest.raises(RuntimeError, match="JACK says"):
        remote.connect("system:capture_1", "no such port")
    with pytest.raises(RuntimeError, match='there is no port "no such port"'):
        remote.connected("no such port")
    with pytest.raises(RuntimeError, match='there is no command "dance 1"'):
        remote.ask("dance 1")


def test_a_remote_whose_server_is_gone_says_so(jack_server: JackServer, remote: JackRemote) -> None:
    jack_server.kill()
    assert remote.wait() == 3
    with pytest.raises(RuntimeError, match="remote is not running"):
        remote.now()


def test_a_remote_is_not_left_waiting_for_a_server_that_dies(jack_server: JackServer, remote: JackRemote) -> None:
    def change_again_and_again() -> None:
        while True:
            remote.set_buffer_size(128)
            remote.set_buffer_size(64)

    jack_server.kill()
    with pytest.raises(RuntimeError, match=r"does not hear|has ended|has not answered|JACK says"):
        change_again_and_again()


def test_ports_report_the_latency_that_is_asked_for(
    jack_server: JackServer, remote: JackRemote, latent_source: StartLatentSource
) -> None:
    source = latent_source(jack_server, 100, 250, channels=2)
    for port in source.ports:
        wait_for(lambda port=port: remote.latency(port) == (100, 250))  # type: ignore[misc]
        assert remote.latency(port, capture=False) == (0, 0)
    source.set_latency(7, 7)
    for port in source.ports:
        wait_for(lambda port=port: remote.latency(port) == (7, 7))  # type: ignore[misc]
    with pytest.raises(RuntimeError, match="latency MIN MAX"):
        source.set_latency(8, 7)


def test_a_listener_has_the_latency_of_what_it_hears(
    jack_server: JackServer, remote: JackRemote, latent_source: StartLatentSource, late_client: StartLateClient
) -> None:
    one = latent_source(jack_server, 100, 250, name="one")
    two = latent_source(jack_server, 50, 200, name="two")
    listener = late_client(jack_server, 1, times=0)
    remote.connect(one.ports[0], listener.input)
    wait_for(lambda: remote.latency(listener.input) == (100, 250))
    remote.connect(two.ports[0], listener.input)
    wait_for(lambda: remote.latency(listener.input) == (50, 250))
    remote.disconnect(one.ports[0], listener.input)
    wait_for(lambda: remote.latency(listener.input) == (50, 200))


def test_a_late_client_makes_itself_and_those_after_it_skip_frames_of_an_asynchronous_server(
    start_jack_server: StartServer, jack_remote: StartJackRemote, late_client: StartLateClient
) -> None:
    server = start_jack_server(period=256, asynchronous=True)
    remote = jack_remote(server)
    late = late_client(server, 30, every=10)
    after = late_client(server, 1, times=0, name="after")
    remote.connect(late.output, after.input)
    wait_for(lambda: late.tell().slept >= 5 and late.tell().skipped > 0 and after.tell().skipped > 0)
    assert remote.xruns() > 0
    # Whole periods are skipped: the counter stays on its grid.
    assert late.tell().skipped % 256 == 0
    assert after.tell().skipped % 256 == 0
    assert after.tell().slept == 0


def test_a_late_client_that_has_work_makes_an_asynchronous_server_call_those_after_it_twice(
    start_jack_server: StartServer, jack_remote: StartJackRemote, late_client: StartLateClient
) -> None:
    server = start_jack_server(period=1024, asynchronous=True)
    late = late_client(server, 50, every=5, work_us=2000)
    after = late_client(server, 1, times=0, name="after")
    jack_remote(server).connect(late.output, after.input)
    wait_for(lambda: after.tell().again >= 3)
    assert after.tell().skipped % 1024 == 0


def test_a_synchronous_server_waits_for_a_late_client(
    jack_server: JackServer, remote: JackRemote, late_client: StartLateClient
) -> None:
    late = late_client(jack_server, 20, every=10)
    after = late_client(jack_server, 1, times=0, name="after")
    remote.connect(late.output, after.input)
    wait_for(lambda: late.tell().slept >= 10)
    assert late.tell().skipped == 0
    assert after.tell() == Lateness(slept=0, skipped=0)


def test_a_late_client_sleeps_as_often_as_it_shall_and_tells_it_at_its_end(
    jack_server: JackServer, late_client: StartLateClient
) -> None:
    late = late_client(jack_server, 1, every=3, times=2)
    wait_for(lambda: late.tell().slept == 2)
    late.stop()
    assert late.tell() == Lateness(slept=2, skipped=0)


def test_a_late_client_that_was_killed_tells_nothing(
    jack_server: JackServer, late_client: StartLateClient, program: Callable[[str], Path]
) -> None:
    late = late_client(jack_server, 1, times=0)
    late.kill()
    with pytest.raises(RuntimeError, match="was not started, or was killed"):
        late.tell()
    with pytest.raises(RuntimeError, match="must be a whole number"):
        LateClient(program("late_client"), jack_server, 0, name="never").start()
