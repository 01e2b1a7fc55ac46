"""The real parts do what the other tests take for granted."""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import jack
import numpy as np
import numpy.typing as npt
import pytest

from parts import processes
from parts.build import build
from parts.jackd import JackServer, StartServer, registered_servers, traces
from parts.sources import FrameSource, StartSource, expected_samples, frames_of

Block = tuple[int, npt.NDArray[np.float32]]


@contextmanager
def client_on(server: JackServer, name: str = "judge") -> Iterator[jack.Client]:
    """A JACK-Client that is closed at the end, also when it was never activated."""
    client = jack.Client(name, servername=server.name, no_start_server=True)
    try:
        yield client
    finally:
        client.close()


def collect(server: JackServer, ports: list[str], blocks: int) -> list[Block]:
    """The first `blocks` periods after `ports` were connected: (JACK frame, float32 (frames, channels))."""
    collected: list[Block] = []
    errors: list[BaseException] = []
    done = threading.Event()
    connected = threading.Event()

    with client_on(server) as client:
        inputs = [client.inports.register(f"in_{n}") for n in range(1, len(ports) + 1)]

        @client.set_process_callback  # type: ignore[untyped-decorator]
        def process(frames: int) -> None:
            if not connected.is_set() or done.is_set():
                return
            try:
                block = np.stack([port.get_array().copy() for port in inputs], axis=1)
                collected.append((client.last_frame_time, block))
            except BaseException as error:
                errors.append(error)
            if errors or len(collected) >= blocks:
                done.set()

        client.activate()
        for source, target in zip(ports, inputs, strict=True):
            client.connect(source, target)
        # A new connection is heard from the next cycle on, so the first block after it may still be silent.
        seen = client.frame_time
        while (client.frame_time - seen) % 2**32 < 4 * server.period:
            pass
        connected.set()
        assert done.wait(20), f"{len(collected)} of {blocks} blocks after 20 s"
    assert not errors, errors
    return collected


def proven(blocks: list[Block], period: int, first_channel: int = 0) -> int:
    """Prove every sample of the blocks by their JACK frames; return the number of frames."""
    for frame, samples in blocks:
        assert samples.shape[0] == period
        expected = expected_samples(frame, *samples.shape, first_channel=first_channel)
        np.testing.assert_array_equal(samples, expected, err_msg=f"the block of JACK frame {frame}")
    frames = np.array([frame for frame, _ in blocks], dtype=np.int64)
    np.testing.assert_array_equal(np.diff(frames) % 2**32, period, err_msg="JACK's frame counter")
    whole = np.concatenate([samples for _, samples in blocks])
    assert frames_of(whole, first_channel=first_channel) == frames[0] % 2**23
    return len(whole)


@pytest.mark.parametrize("channels", [1, 2, 8])
def test_every_sample_of_every_channel_is_in_its_place(
    jack_server: JackServer, frame_source: StartSource, channels: int
) -> None:
    source = frame_source(jack_server, channels)
    assert proven(collect(jack_server, source.ports, 300), jack_server.period) == 300 * 64


def test_sources_beside_each_other_agree(jack_server: JackServer, frame_source: StartSource) -> None:
    one = frame_source(jack_server, 2, name="one")
    two = frame_source(jack_server, 3, first_channel=2, name="two")
    proven(collect(jack_server, one.ports + two.ports, 100), jack_server.period)
    proven(collect(jack_server, two.ports, 100), jack_server.period, first_channel=2)


@pytest.mark.parametrize(("period", "rate"), [(256, 48000), (1024, 96000)])
def test_other_periods_and_rates(
    start_jack_server: StartServer, frame_source: StartSource, period: int, rate: int
) -> None:
    server = start_jack_server(period=period, rate=rate)
    with client_on(server) as client:
        assert (client.blocksize, client.samplerate) == (period, rate)
    proven(collect(server, frame_source(server).ports, 40), period)


def test_an_asynchronous_server(start_jack_server: StartServer, frame_source: StartSource) -> None:
    server = start_jack_server(period=1024, asynchronous=True)
    assert "-S" not in server.command
    source = frame_source(server, 1)
    for frame, samples in collect(server, source.ports, 10):
        frames_of(samples)  # a late client may lose cycles here, but no block is torn
        assert frame >= 0


def test_a_client_that_pauses_delays_the_synchronous_server_and_loses_nothing(
    jack_server: JackServer, frame_source: StartSource
) -> None:
    source = frame_source(jack_server, 2)

    def pause() -> None:
        source.signal(signal.SIGSTOP)
        threading.Event().wait(0.2)
        source.signal(signal.SIGCONT)

    pausing = threading.Timer(0.1, pause)
    pausing.start()
    try:
        blocks = collect(jack_server, source.ports, 600)
    finally:
        pausing.join()
    proven(blocks, jack_server.period)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_source_ends_on_signals(jack_server: JackServer, frame_source: StartSource, number: signal.Signals) -> None:
    source = frame_source(jack_server)
    source.signal(number)
    assert source.wait() == 0
    with client_on(jack_server) as client:
        assert client.get_ports("source:") == []


def test_a_source_ends_when_its_standard_input_closes(jack_server: JackServer, frame_source: StartSource) -> None:
    source = frame_source(jack_server)
    source.close_stdin()
    assert source.wait() == 0


def end_by_kill(server: JackServer) -> None:
    server.kill()


def end_by_stop(server: JackServer) -> None:
    server.stop()


@pytest.mark.parametrize("end", [end_by_kill, end_by_stop])
def test_a_source_ends_with_its_server(
    jack_server: JackServer, frame_source: StartSource, end: Callable[[JackServer], None]
) -> None:
    source = frame_source(jack_server)
    end(jack_server)
    assert source.wait() == 3


def test_a_killed_server_comes_back_under_its_name(jack_server: JackServer, frame_source: StartSource) -> None:
    first = frame_source(jack_server)
    pid = jack_server.pid
    jack_server.kill()
    assert first.wait() == 3
    assert not jack_server.running
    jack_server.start()
    assert jack_server.pid != pid
    proven(collect(jack_server, frame_source(jack_server).ports, 50), jack_server.period)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--name and --channels are needed"),
        (["--name", "x", "--channels", "0"], 'not "0"'),
        (["--name", "x", "--channels", "2x"], 'not "2x"'),
        (["--name", "x", "--channels", "2", "--first-channel", "-1"], 'not "-1"'),
        (["--name", "x", "--channels", "2", "--bogus"], "--bogus"),
        (["--name", "x", "--channels", "2", "more"], "nothing beside options"),
    ],
)
def test_wrong_options_are_named(frame_source_program: Path, arguments: list[str], message: str) -> None:
    done = subprocess.run(
        [str(frame_source_program), *arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


def test_a_source_without_a_server_says_so(frame_source_program: Path) -> None:
    with pytest.raises(RuntimeError, match=r'JACK server "jct-nowhere"'):
        FrameSource(frame_source_program, "jct-nowhere").start()


def test_a_server_that_does_not_start_shows_its_log() -> None:
    with JackServer() as first:
        second = JackServer()
        second.name = first.name
        with pytest.raises(RuntimeError, match=r"(?s)ended with status.*log ends:.*already active"):
            second.start()
        assert first.running
        assert registered_servers()[first.name] == first.pid
    assert traces(first.name) == []


def test_nothing_of_a_server_remains_twenty_times_in_a_row() -> None:
    for _ in range(20):
        with JackServer() as server:
            assert traces(server.name) != []
            assert registered_servers()[server.name] == server.pid
        assert traces(server.name) == []


def test_nothing_of_a_killed_server_remains_ten_times_in_a_row(frame_source_program: Path) -> None:
    # More often than the registry has places.
    for _ in range(10):
        with JackServer() as server:
            source = FrameSource(frame_source_program, server).start()
            source.kill()
            server.kill()
            assert server.name in registered_servers()
        assert traces(server.name) == []


def test_a_start_frees_the_places_of_killed_servers() -> None:
    lost = JackServer()
    lost.start()
    lost.kill()  # and never stopped, as if this run had been killed as well
    with JackServer():
        assert lost.name not in registered_servers()
    assert traces(lost.name) == []


def test_a_server_and_its_source_die_with_the_process_that_started_them(
    frame_source_program: Path,
) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from parts.jackd import JackServer\n"
        "from parts.sources import FrameSource\n"
        "server = JackServer().start()\n"
        "source = FrameSource(Path(sys.argv[1]), server).start()\n"
        "print(server.name, server.pid, source.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    tests = Path(__file__).parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", script, str(frame_source_program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tests)},
    ) as starter:
        assert starter.stdout is not None
        name, *pids = starter.stdout.readline().split()
        watched = [os.pidfd_open(int(pid)) for pid in pids]
        starter.kill()
    try:
        for descriptor in watched:
            assert wait_readable(descriptor, 10), "it outlives the process that started it"
    finally:
        for descriptor in watched:
            os.close(descriptor)
    # Their new parent has to notice, too: to jackd, a process nobody has waited for is alive.
    assert not [pid for pid in map(int, pids) if still_listed(pid, 10)]
    with JackServer():
        assert traces(name) == []  # ended cleanly, or cleaned up after


def still_listed(pid: int, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while (there := Path(f"/proc/{pid}").exists()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return there


def wait_readable(descriptor: int, patience: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(patience * 1000))


def test_the_watch_finds_a_process_that_has_detached_itself() -> None:
    detach = (
        "import subprocess, sys\n"
        "nowhere = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL}\n"
        "child = subprocess.Popen(['sleep', '60'], start_new_session=True, **nowhere)\n"
        "print(child.pid, flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", detach], check=True, capture_output=True, text=True)
    pid = int(done.stdout)
    run = os.environ[processes.MARK]
    found = [process for process in processes.of_run(run) if process.pid == pid]
    try:
        assert [(process.command, process.marked) for process in found] == [("sleep 60", True)]
    finally:
        processes.end(found)
    assert pid not in [process.pid for process in processes.still_there(lambda: processes.of_run(run), patience=5)]


def test_a_part_that_does_not_compile_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", "no-such-compiler --flag")
    with pytest.raises(RuntimeError, match="apt-get install gcc"):
        build("frame_source.c", tmp_path)
    monkeypatch.setenv("CC", "cc -DJackServerName=!")
    with pytest.raises(RuntimeError, match="error"):
        build("frame_source.c", tmp_path)


def test_a_missing_jackd_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="apt-get install jackd2"):
        JackServer().start()


def test_expected_samples_are_exact_in_float32_and_24_bits() -> None:
    samples = expected_samples(2**23 - 3, 6, 2)
    assert samples.dtype == np.float32
    assert samples.shape == (6, 2)
    scaled = samples.astype(np.float64) * 2**23
    assert scaled[:, 0].tolist() == [2**23 - 3, 2**23 - 2, 2**23 - 1, 0, 1, 2]
    assert scaled[:, 1].tolist() == [65534, 65535, 65536, 65537, 65538, 65539]
    # and the 32-bit counter's wrap is invisible
    np.testing.assert_array_equal(expected_samples(2**32 - 2, 4, 3), expected_samples(-2, 4, 3))


def test_frames_of_gives_the_frame_back() -> None:
    for first in (0, 1, 65536, 2**23 - 2):
        assert frames_of(expected_samples(first, 1000, 4)) == first
    assert frames_of(expected_samples(7, 10, 2, first_channel=5), first_channel=5) == 7
    assert frames_of(expected_samples(2**23 + 9, 10, 1).astype(np.float64)) == 9


def test_frames_of_names_the_first_sample_out_of_place() -> None:
    samples = expected_samples(100, 50, 3)
    samples[20:, 1] = samples[19:-1, 1]
    with pytest.raises(
        AssertionError,
        match=r"index 20, channel 1: found \S+ \(frame 119\), expected \S+ \(frame 120\); 30 of 150 ",
    ):
        frames_of(samples)
    samples = expected_samples(100, 50, 3)
    samples[3, 2] = 0.1
    with pytest.raises(AssertionError, match=r"index 3, channel 2: found \S+ \(no frame number\)"):
        frames_of(samples)
    samples[0, 0] = np.nan
    with pytest.raises(AssertionError, match="index 0, channel 0: found"):
        frames_of(samples)
    with pytest.raises(AssertionError, match="no samples"):
        frames_of(np.zeros((0, 2), dtype=np.float32))
    with pytest.raises(AssertionError, match="shape"):
        frames_of(np.zeros(5, dtype=np.float32))
