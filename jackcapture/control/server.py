"""The ZeroMQ door: operations by name on a ROUTER in the runtime directory."""

import asyncio
import contextlib
import logging
import time

import zmq
import zmq.asyncio

from jackcapture.control.admission import Admission
from jackcapture.control.operations import Context, call
from jackcapture.control.operations.registry import Services
from jackcapture.errors import InvalidValueError, JackCaptureError
from jackcapture.protocol import messages, sockets
from jackcapture.protocol.framing import Envelope, decode_envelope, encode_envelope, envelope_id, error_payload

log = logging.getLogger(__name__)

PROGRESS_INTERVAL = 0.1
REPLY_SECONDS = 5.0
_RETRY_SECONDS = 0.002


class Server:
    """Serves calls side by side, each as a task on the asyncio loop."""

    def __init__(self, runtime: str, services: Services) -> None:
        self._runtime = runtime
        self._services = services
        self._context = zmq.asyncio.Context()
        self._router = self._context.socket(zmq.ROUTER)
        sockets.configure_router(self._router)
        self._router.bind(sockets.socket_address(runtime, sockets.CONTROL))
        self._calls: set[asyncio.Task[None]] = set()
        self._admission = Admission()

    async def serve(self) -> None:
        """Take calls until cancelled; what is no call, or one too many, is refused at once."""
        while True:
            identity, *frames = await self._router.recv_multipart()
            data = frames[0] if frames else b""
            with contextlib.ExitStack() as until_answered:
                try:
                    if len(frames) != 1:
                        raise InvalidValueError(f"a message of {len(frames)} frames: it must have one, an envelope")
                    until_answered.enter_context(self._admission.admit(identity, len(data)))
                except JackCaptureError as error:
                    await self.send(identity, envelope_id(data), error_payload(error), sockets.REPLY_PATIENCE)
                else:
                    task = asyncio.create_task(self._answer(identity, data, until_answered.pop_all()))
                    self._calls.add(task)
                    task.add_done_callback(self._calls.discard)
            # A socket that always has something to read would never let the calls themselves run.
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Wait for the calls under way, then close the socket."""
        await asyncio.gather(*self._calls, return_exceptions=True)
        self._router.close()
        sockets.remove_socket(self._runtime, sockets.CONTROL)
        self._context.term()

    async def _answer(self, identity: bytes, data: bytes, until_answered: contextlib.ExitStack) -> None:
        with until_answered:
            await self.send(identity, envelope_id(data), await self._carry_out(identity, data))

    async def _carry_out(self, identity: bytes, data: bytes) -> messages.Payload:
        payload: messages.Payload
        try:
            envelope = decode_envelope(data, messages.OperationCall)
            asked = envelope.payload
            assert isinstance(asked, messages.OperationCall)
            progress = _ProgressReports(self, identity, envelope.id)
            result = await call(Context(self._services, progress.report), asked.name, asked.arguments)
            payload = messages.OperationResult(result)
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
        while not await self._try_to_send(identity, number, payload):
            if time.monotonic() > deadline:
                log.warning("a client does not read: its answers are dropped")
                return
            await asyncio.sleep(_RETRY_SECONDS)

    async def _try_to_send(self, identity: bytes, number: int, payload: messages.Payload) -> bool:
        """Send without waiting: a client that does not read must not hold up the others. False: its queue is full."""
        try:
            await self._router.send_multipart([identity, encode_envelope(Envelope(number, payload))], zmq.DONTWAIT)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
        return True

    async def report(self, identity: bytes, number: int, progress: messages.OperationProgress) -> None:
        """Tell how far a call has come, if the client has room for it."""
        await self._try_to_send(identity, number, progress)


class _ProgressReports:
    """Sends how far a call has come, at most every `PROGRESS_INTERVAL`; `report` may be called on any thread."""

    def __init__(self, server: Server, identity: bytes, number: int) -> None:
        self._server = server
        self._identity = identity
        self._number = number
        self._loop = asyncio.get_running_loop()
        self._next = time.monotonic() + PROGRESS_INTERVAL

    def report(self, done: int, total: int, unit: str) -> None:
        """Take note; send if it is time."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + PROGRESS_INTERVAL
        message = messages.OperationProgress(done, total, unit)
        asyncio.run_coroutine_threadsafe(self._server.report(self._identity, self._number, message), self._loop)
