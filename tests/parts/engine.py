"""A real engine process for one test: started on a JACK server, commanded over its sockets as control would."""

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import zmq

from jackcapture.model.streams import StreamDefinition
from jackcapture.protocol import messages, sockets
from jackcapture.protocol.framing import Broadcast, Envelope, decode_broadcast, decode_envelope, encode_envelope
from parts.jackd import SHARED_MEMORY, dying_with_us

Reply = TypeVar("Reply")

PATIENCE = 20.0
"""Seconds that anything may take on a busy machine."""


class EngineProcess:
    """An engine in a session of its own, as a context manager; its folders are removed with it.

    `server` is a JACK server's name. The runtime and staging directories lie in `folder`, which is short, as a Unix
    socket's path must be.
    """

    def __init__(self, server: str, *, ring_seconds: float = 2.0, folder: Path | None = None) -> None:
        self.server = server
        self._owns_folder = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix="jce-")) if folder is None else folder
        self.runtime = self.folder / "run"
        self.staging = Path(os.path.realpath(self.folder)) / "staging"
        self.staging.mkdir(exist_ok=True)
        self.rings = Path(tempfile.mkdtemp(prefix="jce-", dir=SHARED_MEMORY))
        self._ring_seconds = ring_seconds
        self._numbers = itertools.count(1)
        self._received: list[Broadcast] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the engine
        self._context = zmq.Context()
        self.requests = self.dealer()
        self._events: zmq.Socket[bytes] = self._context.socket(zmq.SUB)
        sockets.configure_subscriber(self._events)
        self._events.connect(sockets.socket_address(str(self.runtime), sockets.ENGINE_EVENTS))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._context.destroy(linger=0)
            self._log.close()
            shutil.rmtree(self.rings, ignore_errors=True)  # an engine that ended in order has removed it
            if self._owns_folder:
                shutil.rmtree(self.folder)

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None, "the engine was not started"
        return self._process.pid

    @property
    def log(self) -> str:
        """What the engine has written to standard error."""
        return os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, 0).decode(errors="replace")

    @property
    def resident_bytes(self) -> int:
        """The engine's memory (VmRSS)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))

    def start(self, *, connected: bool = True) -> Self:
        """Start the engine and return when it answers and, if asked for, has its JACK server."""
        self.spawn()
        self.until(lambda: self.state().connected or not connected, "the engine reaches its JACK server")
        return self

    def spawn(self) -> None:
        """Start the engine's process, and see to it that it ends with this one."""
        options = {
            "--runtime": str(self.runtime),
            "--staging": str(self.staging),
            "--rings": str(self.rings),
            "--server": self.server,
            "--ring-seconds": str(self._ring_seconds),
        }
        words = [word for option in options.items() for word in option]
        self._process = subprocess.Popen(
            [*dying_with_us(), sys.executable, "-m", "jackcapture.engine", *words],
            stdin=subprocess.DEVNULL,
            stderr=self._log,
            start_new_session=True,
        )

    def wait(self) -> int:
        """Wait for the engine to end by itself; return its exit status."""
        assert self._process is not None, "the engine was not started"
        return self._process.wait(PATIENCE)

    def stop(self) -> int:
        """End the engine (SIGTERM; SIGKILL when it does not obey); return its exit status, 0 if it never ran."""
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self.wait()

    def dealer(self) -> "zmq.Socket[bytes]":
        """A socket for requests, as control has it; a context manager."""
        socket: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        sockets.configure_requester(socket)
        socket.connect(sockets.socket_address(str(self.runtime), sockets.ENGINE_COMMANDS))
        return socket

    def send(self, payload: messages.Payload) -> int:
        """Send a request; return its id."""
        number = next(self._numbers)
        self.requests.send(encode_envelope(Envelope(number, payload)))
        return number

    def receive(self) -> Envelope:
        """The next reply."""
        deadline = time.monotonic() + PATIENCE
        while not self.requests.poll(100):
            self._check_alive()
            assert time.monotonic() < deadline, f"no reply in {PATIENCE:g} s; the engine's log:\n{self.log}"
        return decode_envelope(self.requests.recv())

    def call(self, payload: messages.Payload) -> messages.Payload:
        """Send a request and return its reply, errors included; no other request may be waiting for one."""
        number = self.send(payload)
        reply = self.receive()
        assert reply.id == number
        return reply.payload

    def ask(self, payload: messages.Payload, kind: type[Reply]) -> Reply:
        """Send a request whose reply must be of this kind."""
        reply = self.call(payload)
        assert isinstance(reply, kind), reply
        return reply

    def refusal(self, payload: messages.Payload) -> messages.Error:
        """Send a request that must be refused."""
        return self.ask(payload, messages.Error)

    def state(self, *, drain: bool = False) -> messages.EngineState:
        """The engine's state."""
        return self.ask(messages.StateRequest(drain), messages.EngineState)

    def stream(self, uri: str) -> messages.StreamState:
        """One stream's state."""
        return next(stream for stream in self.state().streams if stream.uri == uri)

    def chunk(self, size: int) -> str:
        """A fresh chunk in the staging directory."""
        path = self.staging / os.urandom(8).hex()
        with path.open("xb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        return str(path)

    def begin(
        self, definition: StreamDefinition, spares: int = 0, start_frame: int = messages.AT_ONCE, take: int = 1
    ) -> messages.StreamState:
        """Start a take at sample 0 with a chunk and some spares."""
        size = definition.chunk_size_bytes
        command = messages.StreamStart(definition.uri, definition, self.chunk(size), start_frame, take)
        state = self.ask(command, messages.StreamState)
        for _ in range(spares):
            self.ask(messages.StreamSwitchChunk(definition.uri, self.chunk(size)), messages.Done)
        return state

    def events(self) -> list[Broadcast]:
        """All broadcasts received so far."""
        while self._events.poll(0):
            self._received.append(decode_broadcast(self._events.recv()))
        return self._received

    def told(self, kind: type[Reply]) -> list[Reply]:
        """The events of one kind received so far."""
        return [broadcast.event for broadcast in self.events() if isinstance(broadcast.event, kind)]

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a condition holds; fail, with the engine's log, if it does not come to that."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self._check_alive()
            assert time.monotonic() < deadline, f"not in {PATIENCE:g} s: {what}; the engine's log:\n{self.log}"
            time.sleep(0.02)

    def _check_alive(self) -> None:
        assert self._process is not None, "the engine was not started"
        status = self._process.poll()
        assert status is None, f"the engine ended with status {status}; its log:\n{self.log}"
