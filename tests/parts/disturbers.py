"""What a recorder has to live with: late clients, latencies, freewheeling, new buffer sizes, a moving transport.

What jackd2 1.9.21 does that these parts show (tests/integration/test_disturbers.py holds it to this):

- Freewheel stays on when the client that set it closes.
- The graph after freewheeling is the one from before it: what was connected meanwhile is gone, what was disconnected
  is connected again, a client that was activated meanwhile is not called any more. A client that has left meanwhile,
  in whatever way, is still waited for in every cycle, a second each (until others take its place): do not let clients
  leave a freewheeling server that is used afterwards. One that is killed also costs ten seconds at once.
- A connection is in effect from a later cycle on than the one in which jack_connect returns. Freewheel that is started
  in between forgets it.
- JACK's frame counter runs on without a jump when freewheeling starts and ends. When the buffer size changes, the last
  period of the old length is counted with the new one: the counter falls back, or skips, by the difference
  (tests/integration/test_graph.py).
- Setting freewheel to what it already is is an error; setting the buffer size to what it already is is not. The
  buffer size may be any number of frames up to 8192, also while freewheeling. With 1 the real-time threads of a busy
  machine leave nobody else the time to change it back: tests keep to 16 and more.
- JACK's microseconds are CLOCK_MONOTONIC_RAW, which is not what time.monotonic reads.
- An asynchronous server calls every client in every cycle but those that are not done, and those downstream of them.
  A client that was late is called again as soon as it is done, if its next cycle has begun meanwhile; at the end of
  both calls those downstream of it are called, with the same frame, twice if the second call takes a moment.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Protocol

from parts.jackd import JackServer
from parts.part import Part, counts


class TransportState(IntEnum):
    """JACK's numbers for what its transport does."""

    STOPPED = 0
    ROLLING = 1
    STARTING = 3


@dataclass(frozen=True)
class Transport:
    """What the transport does, and where it is."""

    state: TransportState
    frame: int


@dataclass(frozen=True)
class TransportPosition:
    """A frame of JACK's transport and the JACK frame at which it is there."""

    frame: int
    jack_frame: int


@dataclass(frozen=True)
class Now:
    """JACK's frame counter, and JACK's clock in microseconds, read right after it."""

    frame: int
    usecs: int


@dataclass(frozen=True)
class Lateness:
    """How many times a client has slept, how many frames of JACK's counter it was not called for, and how many times
    it was called again in the cycle that it had just been called for.
    """

    slept: int
    skipped: int
    again: int = 0


class JackRemote(Part):
    """A hand on a JACK server (see jack_remote.c), as a context manager: a process of its own, without ports.

    Every method raises RuntimeError when JACK refuses, and when the server or the process is gone.
    """

    def __init__(self, program: Path, server: JackServer | str | None, *, name: str = "remote") -> None:
        super().__init__(program, server, name, [])

    def freewheel(self, on: bool) -> None:
        """Start or end freewheeling. An error when that is the state already."""
        self.ask(f"freewheel {int(on)}")

    @contextmanager
    def freewheeling(self) -> Iterator[None]:
        """The server freewheels within the block."""
        self.freewheel(True)
        try:
            yield
        finally:
            self.freewheel(False)

    def set_buffer_size(self, frames: int) -> None:
        """Change the server's period; done, and known to all clients, when this returns."""
        if frames <= 0:
            raise ValueError(f"a period has at least one frame, not {frames}")
        self.ask(f"buffer {frames}")

    def buffer_size(self) -> int:
        """The server's period in frames."""
        return counts(self.ask("buffer 0"))["buffer"]

    def sample_rate(self) -> int:
        """The server's frames per second."""
        return counts(self.ask("rate"))["rate"]

    def now(self) -> Now:
        """The server's time."""
        said = counts(self.ask("time"))
        return Now(said["frame"], said["usecs"])

    def frame_to_usecs(self, frame: int) -> int:
        """The microsecond of a JACK frame, as jack_frames_to_time has it: extrapolated from the present cycle."""
        return counts(self.ask(f"frame_to_usecs {frame}"))["usecs"]

    def usecs_to_frame(self, usecs: int) -> int:
        """The JACK frame of a microsecond, as jack_time_to_frames has it."""
        return counts(self.ask(f"usecs_to_frame {usecs}"))["frame"]

    def transport_start(self) -> None:
        """Ask for the transport to roll; that takes a cycle or two."""
        self.ask("transport start")

    def transport_stop(self) -> None:
        """Ask for the transport to stop."""
        self.ask("transport stop")

    def locate(self, frame: int) -> None:
        """Ask for the transport to go to a frame."""
        self.ask(f"locate {frame}")

    def transport(self) -> Transport:
        """What the transport does at present."""
        said = counts(self.ask("transport"))
        return Transport(TransportState(said["state"]), said["frame"])

    def transport_position(self) -> TransportPosition:
        """A frame of the transport at the start of a cycle, and JACK's frame there, as a process callback has them."""
        said = counts(self.ask("transport position"))
        return TransportPosition(said["frame"], said["jack"])

    def become_timebase_master(self, tempo: int) -> None:
        """Give bars of four quarter notes at a tempo in beats per minute, as a function of the transport's frame."""
        self.ask(f"timebase {tempo}")

    def connect(self, source: str, target: str) -> None:
        """Connect two ports, by their full names; done when this returns. An error when they are already."""
        self.ask(f"connect {source}\t{target}")
        self._wait_for_connection(source, target, True)

    def disconnect(self, source: str, target: str) -> None:
        """Disconnect two ports; done when this returns. An error when they are not connected."""
        self.ask(f"disconnect {source}\t{target}")
        self._wait_for_connection(source, target, False)

    def connected(self, port: str) -> list[str]:
        """The full names of the ports that a port is connected to, sorted."""
        return sorted(self.ask(f"connections {port}").split("\t")[1:])

    def latency(self, port: str, *, capture: bool = True) -> tuple[int, int]:
        """The least and the largest capture (or playback) latency that a port reports."""
        said = counts(self.ask(f"{'capture' if capture else 'playback'} {port}"))
        return said["min"], said["max"]

    def xruns(self) -> int:
        """How many xruns JACK has told this client of."""
        return counts(self.ask("xruns"))["xruns"]

    def _wait_for_connection(self, source: str, target: str, there: bool) -> None:
        """JACK answers before the cycle from which the new graph is in effect; a busy machine makes that long."""
        deadline = time.monotonic() + self._patience
        while (target in self.connected(source)) != there:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{source} and {target}: JACK has not come to its new graph")


class LateClient(Part):
    """A client in the graph that sleeps `sleep_ms` in every `every`-th cycle, as a context manager.

    `times` ends that after so many; without it, it goes on, and with 0 it only observes. In the other cycles it takes
    `work_us`. A synchronous server waits for it; an asynchronous one goes on without it and without the clients
    downstream of it, and calls all others.
    """

    def __init__(
        self,
        program: Path,
        server: JackServer | str | None,
        sleep_ms: int,
        *,
        every: int = 1,
        times: int | None = None,
        work_us: int = 0,
        name: str = "late",
    ) -> None:
        options = ["--sleep-ms", str(sleep_ms), "--every", str(every), "--work-us", str(work_us)]
        if times is not None:
            options += ["--times", str(times)]
        super().__init__(program, server, name, options)
        self.input = f"{name}:in"
        self.output = f"{name}:out"

    def tell(self) -> Lateness:
        """What it has done and seen until now or, after its end, in all."""
        if self._process is None and not self.last_words:
            raise RuntimeError(f"{self.name} can tell nothing: it was not started, or was killed")
        said = counts(self.ask("tell") if self._process is not None else self.last_words[-1])
        return Lateness(said["slept"], said["skipped"], said.get("again", 0))


class LatentSource(Part):
    """A client whose outputs report a capture latency of `least` to `most` frames, as a context manager.

    They carry what FrameSource's do: every sample is its own JACK frame.
    """

    def __init__(
        self,
        program: Path,
        server: JackServer | str | None,
        least: int,
        most: int,
        *,
        channels: int = 1,
        name: str = "latent",
    ) -> None:
        options = ["--min", str(least), "--max", str(most), "--channels", str(channels)]
        super().__init__(program, server, name, options)
        self.ports = [f"{name}:out_{port}" for port in range(1, channels + 1)]

    def set_latency(self, least: int, most: int) -> None:
        """Report another latency from now on; JACK tells everyone."""
        self.ask(f"latency {least} {most}")


class StartJackRemote(Protocol):
    """What the fixture `jack_remote` gives: starts a JackRemote that is stopped when the test is over."""

    def __call__(self, server: JackServer | str | None, *, name: str = "remote") -> JackRemote: ...


class StartLateClient(Protocol):
    """What the fixture `late_client` gives: starts a LateClient that is stopped when the test is over."""

    def __call__(
        self,
        server: JackServer | str | None,
        sleep_ms: int,
        *,
        every: int = 1,
        times: int | None = None,
        work_us: int = 0,
        name: str = "late",
    ) -> LateClient: ...


class StartLatentSource(Protocol):
    """What the fixture `latent_source` gives: starts a LatentSource that is stopped when the test is over."""

    def __call__(
        self,
        server: JackServer | str | None,
        least: int,
        most: int,
        *,
        channels: int = 1,
        name: str = "latent",
    ) -> LatentSource: ...
