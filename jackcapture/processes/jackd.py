"""A private JACK server on the dummy driver, for `up --dummy` and the demo."""

import os
import shutil
import subprocess
import tempfile
import time
from types import TracebackType

from jackcapture.errors import NotFoundError, UnreachableError
from jackcapture.processes import children

START_SECONDS = 10.0
_END_SECONDS = 10.0
_CLIENT_TIMEOUT_MS = 500  # the server waits ten times as long for a client that is late
_PORT_MAX = 1024


class DummyServer:
    """`jackd -d dummy` in synchronous mode: it waits for its clients, so that a noisy machine loses nothing."""

    def __init__(self, sample_rate: int = 48000, period: int = 256) -> None:
        self.name = f"jackcapture-{os.getpid()}"
        self._arguments = ["-r", str(sample_rate), "-p", str(period)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until a client could enter; raises `UnreachableError` with what it said."""
        jackd = shutil.which("jackd")
        if jackd is None:
            raise NotFoundError("jackd is not installed; install jackd2 (./bootstrap setup does)")
        command = [jackd, "-n", self.name, "-p", str(_PORT_MAX), "-t", str(_CLIENT_TIMEOUT_MS), "-S", "-d", "dummy"]
        with tempfile.TemporaryFile() as output:
            self._process = children.start([*command, *self._arguments], output=output)
            deadline = time.monotonic() + START_SECONDS
            while not self._is_ready():
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    output.seek(0)
                    said = output.read().decode(errors="replace").strip().splitlines()[-5:]
                    raise UnreachableError(f"jackd did not start: {' / '.join(said)}", command=" ".join(command))
                time.sleep(children.POLL_INTERVAL)

    def stop(self) -> None:
        """End it; its clients should have left, since jackd may die of a client that goes at the same moment."""
        if self._process is not None:
            children.end(self._process, _END_SECONDS)
            self._process = None

    def __enter__(self) -> "DummyServer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _is_ready(self) -> bool:
        """Whether the server's socket is there; libjack names it after user, server and a count."""
        folder = "/dev/shm"  # noqa: S108 - where libjack puts it
        marks = (f"jack_sem.{os.getuid()}_{self.name}_freewheel", f"jack_sem.{os.getuid()}_{self.name}_system")
        return all(os.path.exists(os.path.join(folder, mark)) for mark in marks)
