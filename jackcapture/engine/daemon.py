"""The engine process: a ROUTER for commands, a PUB for events, a JACK client that comes and goes with its server."""

import contextlib
import functools
import logging
import math
import os
import queue
import secrets
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import zmq

from jackcapture._version import VERSION
from jackcapture.engine.commands import Commands
from jackcapture.engine.hooks import NO_HOOKS, Hooks
from jackcapture.engine.jack_client import JackClient
from jackcapture.engine.midi_output import MidiOutputs
from jackcapture.engine.recorder import Recorder
from jackcapture.engine.ring import Anchor
from jackcapture.engine.streams import EngineStreams
from jackcapture.engine.transport import TransportCommands
from jackcapture.engine.writer import Writer
from jackcapture.errors import InvalidValueError, JackCaptureError, UnreachableError
from jackcapture.memory import Trimmer
from jackcapture.model.takes import RUNNING
from jackcapture.protocol import messages, sockets
from jackcapture.protocol.framing import (
    Broadcast,
    Envelope,
    decode_envelope,
    encode_broadcast,
    encode_envelope,
    envelope_id,
    error_payload,
)
from jackcapture.protocol.publisher import Publisher

log = logging.getLogger(__name__)

HEAD_INTERVAL = 0.1
FIRST_RETRY = 0.05
"""Seconds between two attempts to reach a JACK server, at first: an attempt may fail while other servers come or go."""

LAST_RETRY = 0.5
"""The same after some attempts, each of which doubles them: nobody is there, and one costs four milliseconds."""

RECEIVE_SECONDS = 0.05
"""How long requests are taken before the rest is looked after, however many there are."""

CYCLE_WAIT = 0.005
"""Seconds between two looks while somebody waits for the next JACK cycle."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What an engine is started with; `orphan_seconds`: it ends after so long without control and with nothing kept."""

    runtime: str
    staging_directory: str
    ring_directory: str
    server: str
    client_name: str = "jackcapture"
    ring_seconds: float = 10.0
    orphan_seconds: float = 30.0
    hooks: Hooks = NO_HOOKS


class EngineDaemon:
    """Runs the engine; all methods on the main thread unless they say otherwise."""

    def __init__(self, settings: EngineSettings) -> None:
        self.staging_directory = os.path.realpath(settings.staging_directory)
        self._settings = settings
        self._id = secrets.token_hex(8)
        self._since_ns = time.time_ns()
        self._sequence = 0
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._publisher: Publisher | None = None  # while it runs
        self._commands = Commands(self)
        self._client: JackClient | None = None
        self._anchors: dict[int, Anchor] = {}  # by sample rate: where the frames of the next server go on
        self._hooks = settings.hooks
        self._next_attempt = 0.0
        self._retry_seconds = FIRST_RETRY
        self._next_head = 0.0
        self._control_seen = time.monotonic()
        self._ending = False
        self._last_reason = ""
        self.writer = Writer(_recorder_failed)
        self.outputs = MidiOutputs(self._announce)
        self.streams = EngineStreams(self.writer, settings.ring_directory, settings.ring_seconds, self._publish_later)
        self.transport = TransportCommands(self.streams.transport_changes, self.streams.observe)

    # --- what the commands use ---

    def jack(self) -> JackClient:
        """Give the JACK client, sought once more if there is none; raises `UnreachableError` then."""
        if self._client is None or self._client.has_shut_down:
            self._next_attempt = 0.0
            self._keep_jack(time.monotonic())
        if self._client is None or self._client.has_shut_down:
            raise UnreachableError(
                self._last_reason or f"JACK server {self._settings.server!r} is not running",
                server=self._settings.server,
            )
        return self._client

    def state(self, uris: tuple[str, ...]) -> messages.EngineState:
        """Give the state of the engine and of the named streams (none named: all)."""
        client = self._client
        observation = self.streams.observe()
        frame = 0 if client is None else client.next_frame
        states = (stream.state() for stream in self.streams.all())
        return messages.EngineState(
            engine_id=self._id,
            pid=os.getpid(),
            since_ns=self._since_ns,
            version=VERSION,
            server=self._settings.server,
            connected=client is not None and not client.has_shut_down,
            client_name=self._settings.client_name if client is None else client.name,
            sample_rate=0 if client is None else client.sample_rate,
            period=0 if client is None else client.period,
            xruns=0 if client is None else client.xruns,
            frame=frame,
            wall_clock_ns=0 if observation is None else observation.wall_clock_of(frame),
            streams=tuple(state for state in states if not uris or state.uri in uris),
            warnings=tuple(self.streams.warnings),
            midi_outputs=self.outputs.states(),
            transport=self.transport.now(),
            transport_changes=() if uris else self.streams.transport_changes.newest,
        )

    def on_main(self, action: Callable[[], None]) -> None:
        """Have the main thread run `action`; any thread."""
        self._inbox.put(action)
        os.eventfd_write(self._wake, 1)

    def end_soon(self) -> None:
        """End the loop after this round."""
        self._ending = True

    # --- the loop ---

    def run(self) -> None:
        """Serve until SIGTERM, a shutdown command, or for lack of anybody to serve."""
        runtime = sockets.make_runtime_directory(self._settings.runtime)
        sockets.configure_router(self._router)
        self._router.bind(sockets.socket_address(runtime, sockets.ENGINE_COMMANDS))
        self._publisher = Publisher(runtime, sockets.ENGINE_EVENTS)
        signal.signal(signal.SIGTERM, lambda *_: self.on_main(self.end_soon))
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's interrupt is for `up`, which ends us in order
        # We hold the lock: what is there is of an engine that died.
        self._anchors = self.streams.adopt()
        self.writer.start()
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._wake, zmq.POLLIN)
        poller.register(self._publisher.fileno(), zmq.POLLIN)
        trimmer = Trimmer()
        try:
            self._keep_jack(time.monotonic())  # before anybody is told whether JACK is there
            while not self._ending:
                trimmer.tend()
                is_waiting = any(part.awaits_cycle() for part in (self.streams, self.outputs, self.transport))
                interval = CYCLE_WAIT if is_waiting else HEAD_INTERVAL
                if self._client is None:
                    interval = min(interval, max(0.0, self._next_attempt - time.monotonic()))
                ready = dict(poller.poll(math.ceil(1000 * interval)))
                if self._wake in ready:
                    os.eventfd_read(self._wake)
                self._run_inbox()
                if self._router in ready:
                    self._receive()
                self._tick()
        finally:
            self._finish()

    def _run_inbox(self) -> None:
        while True:
            try:
                action = self._inbox.get_nowait()
            except queue.Empty:
                return
            try:
                action()
            except Exception:  # a reply that fails must not end the takes
                log.exception("an action for the main thread failed")

    def _receive(self) -> None:
        deadline = time.monotonic() + RECEIVE_SECONDS
        while time.monotonic() < deadline:
            try:
                identity, *frames = self._router.recv_multipart(flags=zmq.DONTWAIT)
            except zmq.Again:
                return
            data = frames[0] if frames else b""
            try:
                if len(frames) != 1:
                    raise InvalidValueError(f"a message of {len(frames)} frames: it must have one, an envelope")
                envelope = decode_envelope(data, messages.Command)
            except JackCaptureError as error:
                log.warning("refused a message of %d bytes: %s", len(data), error)
                self._reply(identity, envelope_id(data), error_payload(error))
                continue
            self._control_seen = time.monotonic()
            self._commands.handle(envelope.payload, functools.partial(self._reply, identity, envelope.id))

    def _reply(self, identity: bytes, number: int, payload: messages.Payload) -> None:
        if not sockets.reply_to(self._router, identity, encode_envelope(Envelope(number, payload))):
            log.warning("the reply %s found nobody", type(payload).__name__)

    def _tick(self) -> None:
        now = time.monotonic()
        if self._publisher is not None:
            self._publisher.tend()
        self._keep_jack(now)
        self.streams.tick()
        self.outputs.tick()
        self.transport.tick()
        if now >= self._next_head:
            self._next_head = now + HEAD_INTERVAL
            self._publish_heads()
        if now - self._control_seen > self._settings.orphan_seconds and not self._keeps_anything():
            log.warning("no control for %.0f s and nothing recorded: ending", now - self._control_seen)
            self._ending = True

    def _keep_jack(self, now: float) -> None:
        """Notice that the server has gone, or look for one."""
        reason = ""
        if self._client is not None and self._client.has_shut_down:
            reason = f"JACK server {self._settings.server!r} has gone"
        elif self._client is not None and self._client.is_deactivated():
            reason = f"JACK server {self._settings.server!r} has deactivated us"
        if reason:
            log.error("%s", reason)
            self._leave_jack(reason)
            self._announce(messages.JackState(self._settings.server, connected=False, reason=reason))
        if self._client is None and now >= self._next_attempt:
            try:
                client = JackClient(self._settings.client_name, self._settings.server, self._anchors, self._hooks)
            except JackCaptureError as error:
                if self._last_reason != error.message:
                    self._last_reason = error.message
                    log.warning("%s", error)
                self._next_attempt = time.monotonic() + self._retry_seconds
                self._retry_seconds = min(2 * self._retry_seconds, LAST_RETRY)
                return
            self._last_reason = ""
            self._retry_seconds = FIRST_RETRY
            self._hooks = replace(self._hooks, fail_at_cycle=0)
            self._client = client
            self.streams.connect(client)
            self.outputs.connect(client)
            log.info("client %s on JACK server %s, %d Hz", client.name, client.server, client.sample_rate)
            self._announce(messages.JackState(self._settings.server, connected=True, reason=""))

    def _leave_jack(self, reason: str) -> None:
        if self._client is not None:
            self._client.close()
            anchor = self._client.anchor()  # only now: no cycle comes after it
            if anchor is not None:
                self._anchors[self._client.sample_rate] = anchor
            self.streams.disconnect(reason)
            self.outputs.disconnect(reason)
            self.transport.disconnect(reason)
        self._client = None

    def _publish_heads(self) -> None:
        observation = self.streams.observe()
        for stream in self.streams.all():
            state = stream.state()
            if state.status not in RUNNING or observation is None:
                continue
            frame = state.start_frame + state.head_sample - state.first_sample
            self._announce(
                messages.StreamHeadPosition(
                    stream_uri=state.uri,
                    sample_position=state.head_sample,
                    byte_position=state.head_bytes,
                    wall_clock_ns=observation.wall_clock_of(frame),
                    jack_frame=frame,
                    ring_fill=state.ring_fill,
                )
            )

    def _publish_later(self, event: messages.Event) -> None:
        """Publish an event; any thread."""
        self.on_main(lambda: self._announce(event))

    def _announce(self, event: messages.Event) -> None:
        self._sequence += 1
        if self._publisher is not None:
            self._publisher.send(encode_broadcast(Broadcast(self._sequence, self._id, event)))

    def _keeps_anything(self) -> bool:
        """Whether the engine holds what only control can put away."""
        states = [stream.state() for stream in self.streams.all()]
        return any(state.status in RUNNING or state.chunks_done for state in states)

    def _finish(self) -> None:
        """End all takes with what they have; the chunks are control's to seal."""
        self.outputs.close()
        self._leave_jack("the engine was ended")  # control stops all takes before it ends an engine
        self.streams.close("the engine was ended")
        self._run_inbox()
        self.writer.finish()
        self._router.close()
        if self._publisher is not None:
            self._publisher.close()
        for name in (sockets.ENGINE_COMMANDS, sockets.ENGINE_EVENTS):
            sockets.remove_socket(self._settings.runtime, name)
        with contextlib.suppress(OSError):
            os.rmdir(self._settings.ring_directory)
        self._context.term()
        os.close(self._wake)


def _recorder_failed(recorder: Recorder, error: Exception) -> None:
    """End a take that cannot go on; writer thread."""
    log.error("%s: %s", recorder.state.uri, error, exc_info=error)
    recorder.abandon(f"{type(error).__name__}: {error}")
