"""Fixtures for tests with real parts: JACK servers, frame sources, and the watch over what a run leaves."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from parts import processes
from parts.build import build
from parts.jackd import JackServer, StartServer
from parts.rig import RigProcess, StartRig
from parts.sources import FrameSource, StartSource


@pytest.fixture(scope="session", autouse=True)
def no_process_left() -> Iterator[None]:
    """At the end of the run, no process that it started may live on; those that do are named, and ended."""
    run = processes.new_run()
    yield
    left = processes.still_there(run, patience=5)
    processes.end(left)
    assert not left, "the tests left processes behind:\n" + "\n".join(map(str, left))


@pytest.fixture(scope="session")
def frame_source_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled frame_source."""
    return build("frame_source.c", tmp_path_factory.mktemp("parts"))


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
        ) -> JackServer:
            server = JackServer(
                period, rate, asynchronous=asynchronous, client_timeout=client_timeout, port_max=port_max
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
def start_rig(start_jack_server: StartServer, frame_source: StartSource, tmp_path: Path) -> Iterator[StartRig]:
    """A function that runs jackcapture on a server; it is ended, before its sources and server, after the test."""
    with ExitStack() as stack:

        def start(
            server: JackServer | str, *, root: Path | None = None, environment: dict[str, str] | None = None
        ) -> RigProcess:
            return stack.enter_context(RigProcess(tmp_path, server, root, environment or {}))

        yield start
