"""The ZeroMQ door: operations by name on a ROUTER in the runtime directory."""

import asyncio
import logging
import time

import zmq
import zmq.asyncio

from jackcapture.control.operations import Context, call
from jackcapture.control.operations.registry import Services
from jackcapture.errors import InvalidValueError, JackCaptureError
from jackcapture.protocol import messages, sockets
from jackcapture.protocol.framing import Envelope, decode_envelope, encode_envelope, envelope_id, error_payload

log = logging.getLogger(__name__)

PROGRESS_INTERVAL = 0.1


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

    async def serve(self) -> None:
        """Take calls until cancelled."""
        while True:
            identity, *frames = await self._router.recv_multipart()
            task = asyncio.create_task(self._answer(identity, frames))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)

    async def close(self) -> None:
        """Wait for the calls under way, then close the socket."""
        await asyncio.gather(*self._calls, return_exceptions=True)
        self._router.close()
        sockets.remove_socket(self._runtime, sockets.CONTROL)
        self._context.term()

    async def _answer(self, identity: bytes, frames: list[bytes]) -> None:
        data = frames[0]
        number = envelope_id(data)
        payload: messages.Payload
        try:
            if len(frames) != 1:
                raise InvalidValueError(f"a message of {len(frames)} frames: it must have one, an envelope")
            envelope = decode_envelope(data)
            if not isinstance(envelope.payload, messages.OperationCall):
                raise InvalidValueError(f"{type(envelope.payload).__name__} is no operation call")
            progress = _ProgressReports(self, identity, number)
            result = await call(
                Context(self._services, progress.report), envelope.payload.name, envelope.payload.arguments
            )
            payload = messages.OperationResult(result)
        except JackCaptureError as error:
            payload = error_payload(error)
        except Exception as error:
            log.exception("an operation failed for a reason that nobody foresaw")
            payload = error_payload(JackCaptureError(f"{type(error).__name__}: {error}; control's log says more"))
        await self.send(identity, number, payload)

    async def send(self, identity: bytes, number: int, payload: messages.Payload) -> None:
        """Send a message to a client; one that has gone is no matter."""
        try:
            await self._router.send_multipart([identity, encode_envelope(Envelope(number, payload))])
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise


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
        asyncio.run_coroutine_threadsafe(self._server.send(self._identity, self._number, message), self._loop)
