"""Control's connection to the engine: requests with replies, and events. On the asyncio loop."""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable
from typing import TypeVar

import zmq
import zmq.asyncio

from jackcapture.errors import JackCaptureError, UnreachableError
from jackcapture.protocol import messages, sockets
from jackcapture.protocol.framing import (
    Broadcast,
    Envelope,
    decode_broadcast,
    decode_envelope,
    encode_envelope,
    raised_from,
)

log = logging.getLogger(__name__)

REQUEST_SECONDS = 15.0
"""How long a reply may take; the engine's interpreter may be held for seconds while it loses nothing."""

Reply = TypeVar("Reply", bound=messages.Reply)


class EngineLink:
    """One DEALER and one SUB; both reconnect by themselves when the engine is started again.

    `on_event` is called with each broadcast, and with its bytes as they came.
    """

    def __init__(self, runtime: str, on_event: Callable[[Broadcast, bytes], None]) -> None:
        self._runtime = runtime
        self._context = zmq.asyncio.Context()
        self._requests = self._requester()
        self._events = self._context.socket(zmq.SUB)
        sockets.configure_subscriber(self._events)
        self._events.connect(sockets.socket_address(runtime, sockets.ENGINE_EVENTS))
        self._on_event = on_event
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[messages.Payload]] = {}
        self._replies = asyncio.create_task(self._receive_replies())
        self._broadcasts = asyncio.create_task(self._receive_events())

    async def request(
        self,
        command: messages.Command,
        expected: type[Reply],
        timeout: float = REQUEST_SECONDS,
    ) -> Reply:
        """Send a command and give its reply; raises what the engine answered, or `UnreachableError`."""
        number = next(self._numbers)
        future: asyncio.Future[messages.Payload] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await self._requests.send(encode_envelope(Envelope(number, command)))
            payload = await asyncio.wait_for(future, timeout)
        except TimeoutError:
            raise UnreachableError(f"the engine did not answer {type(command).__name__} within {timeout:g} s") from None
        finally:
            del self._waiting[number]
        if isinstance(payload, messages.Error):
            raise raised_from(payload)
        if not isinstance(payload, expected):
            raise UnreachableError(f"the engine answered {type(command).__name__} with {type(payload).__name__}")
        return payload

    async def reset(self, reason: str) -> None:
        """Give up all requests to an engine that has died: none may reach the next one, which knows nothing of them.

        They raise `UnreachableError`.
        """
        self._replies.cancel()
        await asyncio.gather(self._replies, return_exceptions=True)
        self._requests.close(linger=0)
        self._requests = self._requester()
        self._replies = asyncio.create_task(self._receive_replies())
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(UnreachableError(reason))

    def _requester(self) -> zmq.asyncio.Socket:
        socket = self._context.socket(zmq.DEALER)
        sockets.configure_requester(socket)
        socket.connect(sockets.socket_address(self._runtime, sockets.ENGINE_COMMANDS))
        return socket

    async def close(self) -> None:
        """End the receiving tasks and the sockets."""
        for task in (self._replies, self._broadcasts):
            task.cancel()
        await asyncio.gather(self._replies, self._broadcasts, return_exceptions=True)
        self._requests.close()
        self._events.close()
        self._context.term()

    async def _receive_replies(self) -> None:
        while True:
            await asyncio.sleep(0)  # a socket that always has something to read would not let go of the loop
            data = await self._requests.recv()
            with contextlib.suppress(asyncio.InvalidStateError):
                try:
                    envelope = decode_envelope(data, messages.Reply)
                except JackCaptureError as error:
                    log.warning("the engine sent a malformed reply: %s", error)
                    continue
                future = self._waiting.get(envelope.id)
                if future is not None:
                    future.set_result(envelope.payload)

    async def _receive_events(self) -> None:
        while True:
            await asyncio.sleep(0)
            data = await self._events.recv()
            try:
                broadcast = decode_broadcast(data)
            except JackCaptureError as error:
                log.warning("the engine sent a malformed event: %s", error)
                continue
            try:
                self._on_event(broadcast, data)
            except Exception:
                log.exception("while handling %s", type(broadcast.event).__name__)
