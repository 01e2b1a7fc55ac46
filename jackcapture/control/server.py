"""The ZeroMQ door: operations by name on a ROUTER in the runtime directory."""

import asyncio
import contextlib
import enum
import logging
import time

import zmq
import zmq.asyncio

from jackcapture.control.admission import Admission
from jackcapture.control.calls import Call, Calls
from jackcapture.control.operations import Context, call
from jackcapture.control.operations.registry import Services, is_cancellable
from jackcapture.errors import InvalidValueError, JackCaptureError
from jackcapture.protocol import messages, sockets
from jackcapture.protocol.framing import (
    Envelope,
    decode_envelope,
    encode_envelope,
    envelope_id,
    envelope_kind,
    error_payload,
)

log = logging.getLogger(__name__)

PROGRESS_INTERVAL = 0.1
REPLY_SECONDS = 5.0
MAX_WAITING_ANSWERS = 2048
"""Calls under way and answers that wait for room; beyond it an answer waits `REPLY_PATIENCE`."""

_RETRY_SECONDS = 0.002


class _Sent(enum.Enum):
    YES = enum.auto()
    NO_ROOM = enum.auto()
    NOBODY_THERE = enum.auto()


class Server:
    """Serves calls side by side, each as a task on the asyncio loop."""

    def __init__(self, runtime: str, services: Services) -> None:
        self._runtime = runtime
        self._services = services
        self._context = zmq.asyncio.Context()
        self._router = self._context.socket(zmq.ROUTER)
        sockets.configure_router(self._router)
        self._router.bind(sockets.socket_address(runtime, sockets.CONTROL))
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls = Calls()
        self._admission = Admission()

    async def serve(self) -> None:
        """Take calls until cancelled; what is no call, or one too many, is refused at once."""
        while True:
            identity, *frames = await self._router.recv_multipart()
            await self._take(identity, frames)
            # A socket that always has something to read would never let the calls themselves run.
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Wait for the calls under way, then close the socket."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._router.close()
        sockets.remove_socket(self._runtime, sockets.CONTROL)
        self._context.term()

    async def _take(self, identity: bytes, frames: list[bytes]) -> None:
        data = frames[0] if frames else b""
        reply: messages.Payload
        with contextlib.ExitStack() as until_answered:
            try:
                if len(frames) != 1:
                    raise InvalidValueError(f"a message of {len(frames)} frames: it must have one, an envelope")
                if envelope_kind(data) is messages.OperationCancel:
                    reply = self._cancel(identity, data)
                else:
                    until_answered.enter_context(self._admission.admit(identity, len(data)))
                    task = asyncio.create_task(self._answer(identity, data, until_answered.pop_all()))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                    return
            except JackCaptureError as error:
                reply = error_payload(error)
            await self._refuse(identity, envelope_id(data), reply)

    async def _refuse(self, identity: bytes, number: int, reply: messages.Payload) -> None:
        """Answer what is no call, with patience as long as few answers wait: nobody holds up who comes next."""
        if len(self._tasks) >= MAX_WAITING_ANSWERS:
            await self.send(identity, number, reply, sockets.REPLY_PATIENCE)
            return
        task = asyncio.create_task(self.send(identity, number, reply))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _cancel(self, identity: bytes, data: bytes) -> messages.Payload:
        """Cancel a call; at once, and whatever is under way: who has too many calls can still take one back."""
        asked = decode_envelope(data, messages.OperationCancel).payload
        assert isinstance(asked, messages.OperationCancel)
        self._calls.cancel(identity, asked.call)
        return messages.Done()

    async def _answer(self, identity: bytes, data: bytes, until_answered: contextlib.ExitStack) -> None:
        with until_answered:
            await self.send(identity, envelope_id(data), await self._carry_out(identity, data))

    async def _carry_out(self, identity: bytes, data: bytes) -> messages.Payload:
        payload: messages.Payload
        try:
            envelope = decode_envelope(data, messages.OperationCall)
            asked = envelope.payload
            assert isinstance(asked, messages.OperationCall)
            # Nothing is awaited before this, so a cancel that was sent after the call finds it.
            this = Call(identity, envelope.id, asked.name, cancellable=is_cancellable(asked.name))
            with self._calls.entered(this):
                context = Context(self._services, _ProgressReports(self, this).report, this.check)
                payload = messages.OperationResult(await call(context, asked.name, asked.arguments))
        except JackCaptureError as error:
            payload = error_payload(error)
        except Exception as error:
            log.exception("an operation failed for a reason that nobody foresaw")
            payload = error_payload(JackCaptureError(f"{type(error).__name__}: {error}; control's log says more"))
        return payload

    async def send(
        self, identity: bytes, number: int, payload: messages.Payload, patience: float = REPLY_SECONDS
    ) -> None:
        """Send a message to a client; one that has gone, or does not read for `patience` seconds, is no matter."""
        deadline = time.monotonic() + patience
        while await self._try_to_send(identity, number, payload) is _Sent.NO_ROOM:
            if time.monotonic() > deadline:
                log.warning("a client does not read: its answers are dropped")
                return
            await asyncio.sleep(_RETRY_SECONDS)

    async def _try_to_send(self, identity: bytes, number: int, payload: messages.Payload) -> _Sent:
        """Send without waiting: a client that does not read must not hold up the others."""
        try:
            await self._router.send_multipart([identity, encode_envelope(Envelope(number, payload))], zmq.DONTWAIT)
        except zmq.Again:
            return _Sent.NO_ROOM
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return _Sent.NOBODY_THERE
        return _Sent.YES

    async def report(self, this: Call, progress: messages.OperationProgress) -> None:
        """Tell how far a call has come, if its client has room for it; cancel it if the client has gone."""
        if await self._try_to_send(this.client, this.number, progress) is _Sent.NOBODY_THERE:
            this.cancel("its client has gone")


class _ProgressReports:
    """Sends how far a call has come, at most every `PROGRESS_INTERVAL`; `report` may be called on any thread."""

    def __init__(self, server: Server, this: Call) -> None:
        self._server = server
        self._call = this
        self._loop = asyncio.get_running_loop()
        self._next = time.monotonic() + PROGRESS_INTERVAL

    def report(self, done: int, total: int, unit: str) -> None:
        """Take note; send if it is time. Raises `OperationCancelledError` if the call is to end."""
        self._call.check()
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + PROGRESS_INTERVAL
        message = messages.OperationProgress(done, total, unit)
        asyncio.run_coroutine_threadsafe(self._server.report(self._call, message), self._loop)
