"""Fixtures for tests with real parts: JACK servers, frame sources, and the watch over what a run leaves."""

import itertools
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import hypothesis
import pytest

from parts import processes
from parts.build import build
from parts.bursts import Burst, BurstSource, StartBurstSource
from parts.command_line import CommandLine
from parts.disks import FreezableDisk, SmallDisk, memory_disk
from parts.disturbers import (
    JackRemote,
    LateClient,
    LatentSource,
    StartJackRemote,
    StartLateClient,
    StartLatentSource,
)
from parts.instruments import ClickResponder, Fluidsynth, StartClickResponder, StartFluidsynth
from parts.jackd import JackServer, StartServer
from parts.kept_store import KeptStore, make_store
from parts.midi import MidiSink, MidiSource, RawEvent, StartMidiSink, StartMidiSource
from parts.rig import RigProcess, StartRig
from parts.sources import FrameSource, StartSource
from parts.transport import StartTransportObserver, TransportObserver

# How long an example takes says nothing on a busy machine.
hypothesis.settings.register_profile("jackcapture", deadline=None)
hypothesis.settings.load_profile("jackcapture")


def pytest_configure() -> None:
    """Let SIGINT end what the tests start: who runs them in the background of a shell inherits that it is ignored."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs with a real server: it is held to real time, so that little may run beside it."""
    for item in items:
        if not {"start_jack_server", "start_rig", "pipewire"}.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.realtime)


@pytest.fixture(scope="session", autouse=True)
def no_process_left() -> Iterator[None]:
    """At the end of the run, no process that it started may live on; those that do are named, and ended."""
    run = processes.new_run()
    yield
    left = processes.still_there(lambda: processes.of_run(run), patience=5)
    processes.end(left)
    assert not left, "the tests left processes behind:\n" + "\n".join(map(str, left))


@pytest.fixture(scope="session")
def frame_source_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled frame_source."""
    return build("frame_source.c", tmp_path_factory.mktemp("parts"))


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that gives the compiled part of a name: each is compiled once, when it is first asked for."""
    folder = tmp_path_factory.mktemp("programs")
    return cache(lambda name: build(f"{name}.c", folder))


@pytest.fixture
def start_jack_server() -> Iterator[StartServer]:
    """A function that starts a server with JackServer's arguments; it is stopped when the test is over."""
    with ExitStack() as stack:

        def start(
            period: int = 64,
            rate: int = 48000,
            *,
            asynchronous: bool = False,
            client_timeout: int | None = 100,
            port_max: int = 512,
            hardware: tuple[int, int] = (2, 2),
        ) -> JackServer:
            server = JackServer(
                period,
                rate,
                asynchronous=asynchronous,
                client_timeout=client_timeout,
                port_max=port_max,
                hardware=hardware,
            )
            return stack.enter_context(server)

        yield start


@pytest.fixture
def jack_server(start_jack_server: StartServer) -> JackServer:
    """A running synchronous server: 64 frames a period, 48,000 frames a second."""
    return start_jack_server()


@pytest.fixture
def frame_source(start_jack_server: StartServer, frame_source_program: Path) -> Iterator[StartSource]:
    """A function that starts a source with FrameSource's arguments; it is stopped when the test is over."""
    # start_jack_server is asked for so that the sources end before their servers.
    with ExitStack() as stack:

        def start(
            server: JackServer | str | None,
            channels: int = 2,
            *,
            first_channel: int = 0,
            name: str = "source",
        ) -> FrameSource:
            source = FrameSource(frame_source_program, server, channels, first_channel=first_channel, name=name)
            return stack.enter_context(source)

        yield start


@pytest.fixture
def midi_source(
    start_jack_server: StartServer, program: Callable[[str], Path], tmp_path: Path
) -> Iterator[StartMidiSource]:
    """A function that starts a source with MidiSource's arguments; it is stopped when the test is over."""
    with ExitStack() as stack:

        def start(
            server: JackServer | str | None,
            *,
            rate: float | None = None,
            sysex: int | None = None,
            sysex_every: float | None = None,
            piece: int | None = None,
            clock: float | None = None,
            clock_stop_after: int | None = None,
            raw: Sequence[RawEvent] = (),
            name: str = "midi_source",
        ) -> MidiSource:
            source = MidiSource(
                program("midi_source"),
                server,
                tmp_path / f"{name}.events",
                rate=rate,
                sysex=sysex,
                sysex_every=sysex_every,
                piece=piece,
                clock=clock,
                clock_stop_after=clock_stop_after,
                raw=raw,
                name=name,
            )
            return stack.enter_context(source)

        yield start


@pytest.fixture
def midi_sink(
    start_jack_server: StartServer, program: Callable[[str], Path], tmp_path: Path
) -> Iterator[StartMidiSink]:
    """A function that starts a sink with MidiSink's arguments; it is stopped when the test is over."""
    with ExitStack() as stack:

        def start(server: JackServer | str | None, *, name: str = "midi_sink") -> MidiSink:
            sink = MidiSink(program("midi_sink"), server, tmp_path / f"{name}.events", name=name)
            return stack.enter_context(sink)

        yield start


@pytest.fixture
def burst_source(start_jack_server: StartServer, program: Callable[[str], Path]) -> Iterator[StartBurstSource]:
    """A function that starts a source with BurstSource's arguments; it is stopped when the test is over."""
    with ExitStack() as stack:

        def start(
            server: JackServer | str | None, bursts: Sequence[Burst], *, channels: int = 1, name: str = "source"
        ) -> BurstSource:
            source = BurstSource(program("burst_source"), server, bursts, channels=channels, name=name)
            return stack.enter_context(source)

        yield start


@pytest.fixture
def transport_observer(
    start_jack_server: StartServer, program: Callable[[str], Path], tmp_path: Path
) -> Iterator[StartTransportObserver]:
    """A function that starts an observer with TransportObserver's arguments; it is stopped when the test is over."""
    with ExitStack() as stack:

        def start(server: JackServer | str | None, *, name: str = "transport_observer") -> TransportObserver:
            observer = TransportObserver(program("transport_observer"), server, tmp_path / f"{name}.changes", name=name)
            return stack.enter_context(observer)

        yield start


@pytest.fixture
def jack_remote(start_jack_server: StartServer, program: Callable[[str], Path]) -> Iterator[StartJackRemote]:
    """A function that starts a remote with JackRemote's arguments; it is stopped when the test is over."""
    with ExitStack() as stack:

        def start(server: JackServer | str | None, *, name: str = "remote") -> JackRemote:
            return stack.enter_context(JackRemote(program("jack_remote"), server, name=name))

        yield start


@pytest.fixture
def late_client(start_jack_server: StartServer, program: Callable[[str], Path]) -> Iterator[StartLateClient]:
    """A function that starts a late client with LateClient's arguments; it is stopped when the test is over."""
    with ExitStack() as stack:

        def start(
            server: JackServer | str | None,
            sleep_ms: int,
            *,
            every: int = 1,
            times: int | None = None,
            work_us: int = 0,
            name: str = "late",
        ) -> LateClient:
            client = LateClient(
                program("late_client"), server, sleep_ms, every=every, times=times, work_us=work_us, name=name
            )
            return stack.enter_context(client)

        yield start


@pytest.fixture
def latent_source(start_jack_server: StartServer, program: Callable[[str], Path]) -> Iterator[StartLatentSource]:
    """A function that starts a source with LatentSource's arguments; it is stopped when the test is over."""
    with ExitStack() as stack:

        def start(
            server: JackServer | str | None, least: int, most: int, *, channels: int = 1, name: str = "latent"
        ) -> LatentSource:
            source = LatentSource(program("latent_client"), server, least, most, channels=channels, name=name)
            return stack.enter_context(source)

        yield start


@pytest.fixture(scope="session")
def command_line() -> Iterator[CommandLine]:
    """What runs commands as processes, quickly."""
    with CommandLine() as command_line:
        yield command_line


@pytest.fixture
def click_responder(start_jack_server: StartServer, program: Callable[[str], Path]) -> Iterator[StartClickResponder]:
    """A function that starts an instrument with ClickResponder's arguments; it is stopped when the test is over."""
    with ExitStack() as stack:

        def start(
            server: JackServer, delay: int, *, length: int = 1, hum: float = 0.0, name: str = "clicks"
        ) -> ClickResponder:
            made = ClickResponder(program("click_responder"), server, delay, length=length, hum=hum, name=name)
            return stack.enter_context(made)

        yield start


@pytest.fixture
def fluidsynth(start_jack_server: StartServer) -> Iterator[StartFluidsynth]:
    """A function that starts a fluidsynth on a server; it is stopped when the test is over."""
    with ExitStack() as stack:

        def start(server: JackServer, *, name: str = "fluidsynth") -> Fluidsynth:
            return stack.enter_context(Fluidsynth(server, name))

        yield start


@pytest.fixture
def start_rig(
    start_jack_server: StartServer, frame_source: StartSource, command_line: CommandLine, tmp_path: Path
) -> Iterator[StartRig]:
    """A function that runs jackcapture on a server; it is ended, before its sources and server, after the test."""
    with ExitStack() as stack:

        def start(
            server: JackServer | str, *, root: Path | None = None, environment: dict[str, str] | None = None
        ) -> RigProcess:
            return stack.enter_context(RigProcess(tmp_path, server, root, environment or {}, command_line))

        yield start


@pytest.fixture(scope="session")
def whole_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store in which all is right; made once, to be copied."""
    root = tmp_path_factory.mktemp("whole") / "store"
    make_store(root)
    return root


@pytest.fixture
def kept(whole_store: Path, tmp_path: Path) -> KeptStore:
    """A copy of that store."""
    shutil.copytree(whole_store, tmp_path / "store")
    return KeptStore(tmp_path / "store")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A function that mounts a file system of so many bytes and gives its directory; unmounted after the test."""
    with ExitStack() as stack:
        numbers = itertools.count(1)

        def mount(size: int) -> Path:
            return stack.enter_context(memory_disk(tmp_path / f"disk-{next(numbers)}", size))

        yield mount


@pytest.fixture
def freezable_disk(tmp_path: Path) -> Iterator[FreezableDisk]:
    """A disk whose file system can be frozen; thawed and unmounted after the test."""
    with FreezableDisk(tmp_path, 256 << 20) as disk:
        yield disk
