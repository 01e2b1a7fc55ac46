"""Control's commands, carried out. Main thread; what touches chunks is handed to the writer."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from jackcapture.engine.chunks import check_chunk_path, check_path_length
from jackcapture.engine.jack_client import JackClient
from jackcapture.engine.midi_output import MidiOutputs
from jackcapture.engine.recorder import Recorder
from jackcapture.engine.streams import EngineStreams
from jackcapture.engine.transport import TransportCommands
from jackcapture.engine.writer import Writer
from jackcapture.errors import ConflictError, InvalidValueError, JackCaptureError
from jackcapture.model.takes import RUNNING
from jackcapture.protocol import messages
from jackcapture.protocol.framing import error_payload

log = logging.getLogger(__name__)

Reply = Callable[[messages.Payload], None]

MAX_NAMED_STREAMS = 1024
"""Streams that one request may name; an engine has fewer."""

MAX_WAITING = 4096
"""Commands that may wait for the writer."""


class Engine(Protocol):
    """What the commands need of the daemon."""

    writer: Writer
    streams: EngineStreams
    outputs: MidiOutputs
    transport: TransportCommands
    staging_directory: str

    def jack(self) -> JackClient:
        """Give the JACK client; raises `UnreachableError` while there is none."""

    def state(self, uris: tuple[str, ...]) -> messages.EngineState:
        """Give the state of the engine and of the named streams (none named: all)."""

    def on_main(self, action: Callable[[], None]) -> None:
        """Have the main thread run `action`; any thread."""

    def end_soon(self) -> None:
        """End the engine after the replies are sent."""


@dataclass(frozen=True, slots=True)
class Commands:
    """Carries out one command after another; each is answered once, at once or later."""

    engine: Engine

    def handle(self, payload: messages.Payload, reply: Reply) -> None:
        """Carry out a command; every failure is answered with an error."""
        try:
            self._dispatch(payload, reply)
        except JackCaptureError as error:
            reply(error_payload(error))
        except Exception as error:  # one bad command must not end the takes of all others
            log.exception("%s failed", type(payload).__name__)
            reply(error_payload(JackCaptureError(f"{type(error).__name__}: {error}")))

    def _dispatch(self, payload: messages.Payload, reply: Reply) -> None:
        match payload:
            case messages.StreamAttach():
                self._attach(payload, reply)
            case messages.StreamDetach():
                self.engine.streams.detach(payload.uri)
                reply(messages.Done())
            case messages.StreamStart():
                self._start(payload, reply)
            case messages.StreamSwitchChunk():
                path = check_chunk_path(payload.new_chunk_path, self.engine.staging_directory)
                recorder = self._recorder(payload.uri)
                self._on_writer(lambda: recorder.add_spare(path), reply, messages.Done)
            case messages.StreamStop():
                self._stop(payload, reply)
            case messages.ChunkRelease():
                check_path_length(payload.path)
                recorder = self._recorder(payload.uri)
                self._on_writer(lambda: recorder.release(payload.path), reply, messages.Done)
            case messages.StateRequest():
                self._state(payload, reply)
            case messages.PortsRequest():
                reply(messages.PortList(tuple(self.engine.jack().ports(payload.pattern))))
            case messages.MidiSend() | messages.MidiCancel():
                reply(self._midi(payload))
            case messages.TransportStart() | messages.TransportStop() | messages.TransportLocate():
                self.engine.transport.command(payload, self.engine.jack(), reply)
            case messages.Shutdown():
                self._shut_down(reply)
            case _:
                raise InvalidValueError(f"{type(payload).__name__} is no command to the engine")

    def _attach(self, command: messages.StreamAttach, reply: Reply) -> None:
        uri = command.definition.uri

        def attached(error: JackCaptureError | None) -> None:
            reply(self._stream_state(uri) if error is None else error_payload(error))

        self.engine.streams.attach(command.definition, self.engine.jack(), attached)

    def _start(self, command: messages.StreamStart, reply: Reply) -> None:
        path = check_chunk_path(command.chunk_path, self.engine.staging_directory)
        if command.definition.uri != command.uri:
            raise InvalidValueError(f"start of {command.uri} with the definition of {command.definition.uri}")

        def start(error: JackCaptureError | None) -> None:
            if error is not None:
                reply(error_payload(error))
                return
            recorder = self._recorder(command.uri)
            self._on_writer(
                lambda: recorder.start(path, command.start_frame, command.take_number, command.first_sample),
                reply,
                lambda: self._stream_state(command.uri),
            )

        self.engine.streams.attach(command.definition, self.engine.jack(), start)

    def _stop(self, command: messages.StreamStop, reply: Reply) -> None:
        recorder = self._recorder(command.uri)

        def stopped() -> None:
            self.engine.on_main(lambda: self._answer(reply, lambda: self._stream_state(command.uri)))

        self._on_writer(lambda: recorder.stop(command.stop_frame, stopped), reply, None)

    def _state(self, request: messages.StateRequest, reply: Reply) -> None:
        if len(request.uris) > MAX_NAMED_STREAMS:
            raise InvalidValueError(
                f"{len(request.uris)} streams are named: at most {MAX_NAMED_STREAMS} may be; name none to ask for all"
            )
        if not request.drain and not request.hold:
            reply(self.engine.state(request.uris))
            return
        streams = self.engine.streams.all() if request.hold else ()
        held = [it.recorder for it in streams if not request.uris or it.definition.uri in request.uris]

        def look() -> None:
            for recorder in held:
                recorder.hold(request.hold_frames)
            if request.drain:
                self.engine.writer.drain()

        # The frame of the answer is read when all are held, so that it is in each of their rings.
        self._on_writer(look, reply, lambda: self.engine.state(request.uris))

    def _midi(self, command: messages.MidiSend | messages.MidiCancel) -> messages.MidiOutputState:
        if isinstance(command, messages.MidiCancel):
            return self.engine.outputs.cancel(command.output)
        return self.engine.outputs.send(command, self.engine.jack())

    def _shut_down(self, reply: Reply) -> None:
        recording = [state.uri for state in self.engine.state(()).streams if state.status in RUNNING]
        if recording:
            raise ConflictError(f"{', '.join(recording)} records; stop it first", uris=recording)
        reply(messages.Done())
        self.engine.end_soon()

    def _recorder(self, uri: str) -> Recorder:
        return self.engine.streams.find(uri).recorder

    def _stream_state(self, uri: str) -> messages.StreamState:
        return self.engine.streams.find(uri).state()

    def _on_writer(
        self, action: Callable[[], Any], reply: Reply, result: Callable[[], messages.Payload] | None
    ) -> None:
        """Run `action` on the writer, then answer with `result` on the main thread (None: it answers by itself)."""
        if self.engine.writer.waiting >= MAX_WAITING:
            raise ConflictError(f"{MAX_WAITING} commands wait for the writer already; ask again when some are answered")

        def done(outcome: Any) -> None:
            if isinstance(outcome, JackCaptureError):
                error = outcome
                self.engine.on_main(lambda: reply(error_payload(error)))
            elif isinstance(outcome, Exception):
                unforeseen = JackCaptureError(f"{type(outcome).__name__}: {outcome}")
                self.engine.on_main(lambda: reply(error_payload(unforeseen)))
            elif result is not None:
                self.engine.on_main(lambda: self._answer(reply, result))

        self.engine.writer.submit(action, done)

    @staticmethod
    def _answer(reply: Reply, result: Callable[[], messages.Payload]) -> None:
        try:
            payload = result()
        except JackCaptureError as error:
            payload = error_payload(error)
        reply(payload)
