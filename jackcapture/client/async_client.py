"""The Python door for asyncio: what `Client` does, with calls side by side.

async with AsyncClient() as jc:
    take = await jc.slice("stream://desk/main", "-30s", "head")
    await take.save("take.wav")
"""

import asyncio
import contextlib
import inspect
import itertools
import os
import time
import weakref
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

import zmq
import zmq.asyncio

from jackcapture.client.async_events import AsyncEvents
from jackcapture.client.async_results import AsyncSession, AsyncSlice
from jackcapture.client.replies import (
    CANCEL_SECONDS,
    LOOK_SECONDS,
    another_control,
    encode_call,
    given_arguments,
    result_of,
)
from jackcapture.client.serving import control_in, unreachable
from jackcapture.errors import InvalidValueError, JackCaptureError
from jackcapture.model.template_results import template_argument
from jackcapture.protocol import messages, sockets
from jackcapture.protocol.framing import Envelope, decode_envelope, encode_envelope
from jackcapture.settings import load_settings

AsyncProgress = Callable[[int, int, str], Awaitable[None] | None]
"""Told how much is done, of how much (0: unknown), and of what; on the event loop, and awaited if it can be."""


class AsyncClient:
    """A connection to control, for the tasks of one event loop. Raises the errors of jackcapture.errors.

    `runtime`, `config` and `timeout` are those of `Client`. Any number of tasks may call at a time.
    """

    def __init__(self, *, runtime: str | None = None, config: str | None = None, timeout: float = 600.0) -> None:
        self._runtime = load_settings({"runtime": runtime}, config=config).runtime
        self._timeout = timeout
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Queue[Envelope]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._events: weakref.WeakSet[AsyncEvents] = weakref.WeakSet()
        self._context: zmq.asyncio.Context | None = None
        self._door: zmq.asyncio.Socket | None = None
        sockets.check_runtime_directory(self._runtime)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection, and end what `events` gave."""
        for events in list(self._events):
            await events.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._door is not None:
            self._door.close()
            self._door = None
        if self._context is not None:
            self._context.term()
            self._context = None

    async def call(self, operation: str, *, progress: AsyncProgress | None = None, **arguments: Any) -> Any:
        """Do an operation by name and give its result as JSON values; `progress` is told (done, total, unit).

        To cancel the task, or an error of `progress`, cancels it before they are raised again; an operation that
        cannot be cancelled goes on, and a note of the error says so.
        """
        return await self.perform(operation, given_arguments(arguments), progress=progress)

    async def perform(
        self, operation: str, arguments: Mapping[str, Any], *, progress: AsyncProgress | None = None
    ) -> Any:
        """Do what `call` does, with arguments as they are: of any names, None among them."""
        control = control_in(self._runtime)
        number = next(self._numbers)
        data = encode_call(number, operation, arguments)
        replies = self._waiting[number] = asyncio.Queue()
        try:
            await self._socket().send(data)
            reply = await self._final_reply(number, control, progress)
        except asyncio.CancelledError as cancelled:
            await self._take_back(number, replies, cancelled)
            raise
        finally:
            self._waiting.pop(number, None)
        return result_of(reply, operation)

    def events(self, *, timeout: float | None = None) -> AsyncEvents:
        """Give the events of engine and control, from when it is entered, or iterated over first.

        The loop ends when this client is closed, or when none has come for `timeout` seconds. It raises
        `UnreachableError` if there is no control.
        """
        events = AsyncEvents(self._runtime, timeout)
        self._events.add(events)
        return events

    async def streams(self) -> list[dict[str, Any]]:
        """Give all streams with their state."""
        found: list[dict[str, Any]] = await self.call("stream_list")
        return found

    async def slice(self, uri: str, from_place: str, to_place: str, **how: Any) -> AsyncSlice:
        """Cut a range out of a stream, recorded or live; `how` as of `Client.slice`."""
        data = await self.call("stream_slice", uri=uri, from_place=from_place, to_place=to_place, **how)
        return AsyncSlice(self, data)

    async def overview(self, uri: str, from_place: str, to_place: str, *, points: int = 1000) -> dict[str, Any]:
        """Give what a range looks like, recorded or live: min, max and RMS per channel at most `points` times."""
        found: dict[str, Any] = await self.call(
            "stream_overview", uri=uri, from_place=from_place, to_place=to_place, points=points
        )
        return found

    async def waveform(
        self, uri: str, from_place: str, to_place: str, *, path: str | os.PathLike[str] | None = None, **how: Any
    ) -> dict[str, Any]:
        """Draw a range into an artifact and, with `path`, into that new file; `how` as of `Client.waveform`."""
        out = None if path is None else os.path.abspath(path)
        found: dict[str, Any] = await self.call(
            "stream_waveform", uri=uri, from_place=from_place, to_place=to_place, out=out, **how
        )
        return found

    async def grab(self, seconds: float, *uris: str) -> list[AsyncSlice]:
        """Cut the last seconds out of the named streams (none named: all that record), one common range."""
        found = await self.call("grab", duration=f"{seconds:.6f}", uris=list(uris) or None)
        return [AsyncSlice(self, data) for data in found]

    async def session(self, *uris: str, template: str | os.PathLike[str] | None = None, **how: Any) -> AsyncSession:
        """Create a session of streams that exist, and of those of a template; `how` as of `Client.session`."""
        named = None if template is None else template_argument(template)
        created = await self.call("session_create", streams=list(uris), template=named, **how)
        return AsyncSession(self, created["id"])

    async def open_session(self, session_id: str) -> AsyncSession:
        """Give a session that was created before; raises `NotFoundError`."""
        return AsyncSession(self, (await self.call("session_status", session_id=session_id))["id"])

    def _socket(self) -> zmq.asyncio.Socket:
        """Give the socket; the first call connects it, and begins to read on the loop that runs then."""
        if self._door is None:
            self._context = zmq.asyncio.Context()
            self._door = self._context.socket(zmq.DEALER)
            sockets.configure_requester(self._door)
            self._door.connect(sockets.socket_address(self._runtime, sockets.CONTROL))
            self._keep(self._read(self._door))
        return self._door

    def _keep(self, work: Any) -> "asyncio.Task[Any]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _read(self, door: zmq.asyncio.Socket) -> None:
        while True:
            data = await door.recv()
            with contextlib.suppress(InvalidValueError):  # then the call that it was for runs into its timeout
                envelope = decode_envelope(data)
                if envelope.id in self._waiting:  # else the late reply to a call that was given up
                    self._waiting[envelope.id].put_nowait(envelope)

    async def _final_reply(self, number: int, control: int, progress: AsyncProgress | None) -> messages.Payload:
        replies = self._waiting[number]
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                reply = (await asyncio.wait_for(replies.get(), LOOK_SECONDS)).payload
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise unreachable(self._runtime) from None
                if control_in(self._runtime) != control:
                    raise another_control(self._runtime) from None
                continue
            if not isinstance(reply, messages.OperationProgress):
                return reply
            deadline = time.monotonic() + self._timeout
            if progress is not None:
                try:
                    told = progress(reply.done, reply.total, reply.unit)
                    if inspect.isawaitable(told):
                        await told
                except Exception as error:
                    await self._take_back(number, replies, error)
                    raise

    async def _take_back(self, number: int, replies: "asyncio.Queue[Envelope]", error: BaseException) -> None:
        """Have control cancel a call, and wait a moment for its end; `error` gets a note if it goes on.

        Who is cancelled again meanwhile waits no longer, but the call is cancelled all the same.
        """
        with contextlib.suppress(asyncio.CancelledError):
            note = await asyncio.shield(self._keep(self._cancel(number, replies)))
            if note:
                error.add_note(note)

    async def _cancel(self, number: int, replies: "asyncio.Queue[Envelope]") -> str:
        cancel = Envelope(next(self._numbers), messages.OperationCancel(number))
        self._waiting[number] = self._waiting[cancel.id] = replies
        try:
            await self._socket().send(encode_envelope(cancel))
            deadline = time.monotonic() + CANCEL_SECONDS
            while True:
                reply = await asyncio.wait_for(replies.get(), max(0.0, deadline - time.monotonic()))
                if reply.id == number and not isinstance(reply.payload, messages.OperationProgress):
                    return ""
                if reply.id == cancel.id and isinstance(reply.payload, messages.Error):
                    return reply.payload.message
        except (TimeoutError, zmq.ZMQError, JackCaptureError):
            return ""
        finally:
            self._waiting.pop(number, None)
            self._waiting.pop(cancel.id, None)
