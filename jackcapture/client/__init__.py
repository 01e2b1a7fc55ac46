"""The Python door: a client of a running control process.

with Client() as jc:
    jc.slice("stream://desk/main", "-30s", "head").save("take.wav")
"""

import contextlib
import itertools
import os
import time
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any

import zmq

from jackcapture.client.events import Events, EventsLost
from jackcapture.client.replies import (
    CANCEL_SECONDS,
    LOOK_SECONDS,
    another_control,
    encode_call,
    given_arguments,
    result_of,
)
from jackcapture.client.serving import control_in, unreachable
from jackcapture.client.sessions import Session
from jackcapture.client.slices import Slice
from jackcapture.errors import JackCaptureError
from jackcapture.model.progress import Progress
from jackcapture.model.template_results import template_argument
from jackcapture.protocol import messages, sockets
from jackcapture.protocol.framing import Envelope, decode_envelope, encode_envelope
from jackcapture.protocol.messages import Event
from jackcapture.settings import load_settings

if TYPE_CHECKING:
    from jackcapture.client.async_client import AsyncClient

__all__ = ["AsyncClient", "Client", "Event", "Events", "EventsLost", "Session", "Slice"]


def __getattr__(name: str) -> Any:
    if name == "AsyncClient":  # it brings asyncio, which a command line must not wait for
        from jackcapture.client.async_client import AsyncClient  # noqa: PLC0415

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Client:
    """A connection to control; for one thread. Raises the errors of jackcapture.errors.

    `root`, `runtime` and `config` are as on the command line; only `runtime` matters to a client.
    """

    def __init__(self, *, runtime: str | None = None, config: str | None = None, timeout: float = 600.0) -> None:
        self._runtime = load_settings({"runtime": runtime}, config=config).runtime
        self._timeout = timeout
        self._numbers = itertools.count(1)
        self._events: weakref.WeakSet[Events] = weakref.WeakSet()
        sockets.check_runtime_directory(self._runtime)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        sockets.configure_requester(self._socket)
        self._socket.connect(sockets.socket_address(self._runtime, sockets.CONTROL))

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, and end what `events` gave."""
        for events in list(self._events):
            events.close()
        self._socket.close()
        self._context.term()

    def call(self, operation: str, *, progress: Progress | None = None, **arguments: Any) -> Any:
        """Do an operation by name and give its result as JSON values; `progress` is told (done, total, unit).

        Ctrl-C (KeyboardInterrupt), and an error of `progress`, cancel it before they are raised again; an operation
        that cannot be cancelled goes on, and a note of the error says so.
        """
        control = control_in(self._runtime)
        number = next(self._numbers)
        data = encode_call(number, operation, given_arguments(arguments))
        try:
            self._socket.send(data)
            reply = self._final_reply(number, control, progress)
        except KeyboardInterrupt as interrupt:
            self._cancel(number, interrupt)
            raise
        return result_of(reply, operation)

    def events(self, *, timeout: float | None = None) -> Events:
        """Give the events of engine and control from now on, to iterate over; several may be open at a time.

        The loop ends when this client is closed, or when none has come for `timeout` seconds. Raises
        `UnreachableError`, here and in the loop, if there is no control.
        """
        events = Events(self._runtime, timeout)
        self._events.add(events)
        return events

    def streams(self) -> list[dict[str, Any]]:
        """Give all streams with their state."""
        found: list[dict[str, Any]] = self.call("stream_list")
        return found

    def slice(self, uri: str, from_place: str, to_place: str, **how: Any) -> Slice:
        """Cut a range out of a stream, recorded or live.

        `how` are the other arguments of the operation `stream_slice`: output_format, sample_format, between_takes,
        virtual, chase, midi_file_type.
        """
        return Slice(self, self.call("stream_slice", uri=uri, from_place=from_place, to_place=to_place, **how))

    def overview(self, uri: str, from_place: str, to_place: str, *, points: int = 1000) -> dict[str, Any]:
        """Give what a range looks like, recorded or live: min, max and RMS per channel at most `points` times."""
        found: dict[str, Any] = self.call(
            "stream_overview", uri=uri, from_place=from_place, to_place=to_place, points=points
        )
        return found

    def waveform(
        self, uri: str, from_place: str, to_place: str, *, path: str | os.PathLike[str] | None = None, **how: Any
    ) -> dict[str, Any]:
        """Draw a range, recorded or live, into an artifact and, with `path`, into that new file.

        It is a picture, or, with `output_format` dat or json, its peaks in audiowaveform's formats. `how` are the other
        arguments of the operation `stream_waveform`: width, height; points, frames_per_point, bits.
        """
        out = None if path is None else os.path.abspath(path)
        found: dict[str, Any] = self.call(
            "stream_waveform", uri=uri, from_place=from_place, to_place=to_place, out=out, **how
        )
        return found

    def grab(self, seconds: float, *uris: str) -> list[Slice]:
        """Cut the last seconds out of the named streams (none named: all that record), one common range."""
        found = self.call("grab", duration=f"{seconds:.6f}", uris=list(uris) or None)
        return [Slice(self, data) for data in found]

    def session(self, *uris: str, template: str | os.PathLike[str] | None = None, **how: Any) -> Session:
        """Create a session of streams that exist, and of those of a template, by its name or file, which are made.

        `how` are the other arguments of the operation `session_create`: name, mode, follow_transport, on_relocate,
        settings. What is given wins over the template.
        """
        named = None if template is None else template_argument(template)
        return self.open_session(self.call("session_create", streams=list(uris), template=named, **how)["id"])

    def open_session(self, session_id: str) -> Session:
        """Give a session that was created before; raises `NotFoundError`."""
        return Session(self, self.call("session_status", session_id=session_id)["id"])

    def _final_reply(self, number: int, control: int, progress: Progress | None) -> messages.Payload:
        deadline = time.monotonic() + self._timeout
        while True:
            envelope = self._receive(deadline, control)
            if envelope.id != number:
                continue  # the late reply to a call that was given up
            if not isinstance(envelope.payload, messages.OperationProgress):
                return envelope.payload
            deadline = time.monotonic() + self._timeout
            if progress is not None:
                told = envelope.payload
                try:
                    progress(told.done, told.total, told.unit)
                except Exception as error:
                    self._cancel(number, error)
                    raise

    def _cancel(self, number: int, error: BaseException) -> None:
        """Have control cancel a call, and wait a moment for its end; `error` gets a note if it goes on."""
        cancel = Envelope(next(self._numbers), messages.OperationCancel(number))
        deadline = time.monotonic() + CANCEL_SECONDS
        with contextlib.suppress(zmq.Again, JackCaptureError):
            self._socket.send(encode_envelope(cancel), zmq.DONTWAIT)
            while self._socket.poll(max(0, int(1000 * (deadline - time.monotonic())))):
                reply = decode_envelope(self._socket.recv())
                if reply.id == number and not isinstance(reply.payload, messages.OperationProgress):
                    return
                if reply.id == cancel.id and isinstance(reply.payload, messages.Error):
                    error.add_note(reply.payload.message)
                    return

    def _receive(self, deadline: float, control: int) -> Envelope:
        while not self._socket.poll(int(1000 * LOOK_SECONDS)):
            if time.monotonic() > deadline:
                raise unreachable(self._runtime)
            if control_in(self._runtime) != control:
                raise another_control(self._runtime)
        return decode_envelope(self._socket.recv())
