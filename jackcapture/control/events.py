"""Control's publishing socket: the engine's events as they came, and control's own."""

import asyncio
import secrets

from jackcapture.protocol import sockets
from jackcapture.protocol.framing import Broadcast, encode_broadcast
from jackcapture.protocol.messages import Event
from jackcapture.protocol.publisher import Publisher

_TEND_INTERVAL = 0.2
"""Seconds after which events go that a subscriber had no room for."""


class EventPublisher:
    """Publishes to whoever listens; nothing here waits. On the asyncio loop."""

    def __init__(self, runtime: str) -> None:
        self._runtime = runtime
        self._id = secrets.token_hex(8)
        self._sequence = 0
        self._publisher = Publisher(runtime, sockets.CONTROL_EVENTS)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._publisher.fileno(), self._publisher.tend)
        self._timer = self._loop.call_later(_TEND_INTERVAL, self._tend)

    def forward(self, data: bytes) -> None:
        """Publish a broadcast of the engine as it came: with the engine's id and its sequence."""
        self._publisher.send(data)

    def publish(self, event: Event) -> None:
        """Publish an event of control's own."""
        self._sequence += 1
        self._publisher.send(encode_broadcast(Broadcast(self._sequence, self._id, event)))

    def close(self) -> None:
        """Close the socket."""
        self._timer.cancel()
        self._loop.remove_reader(self._publisher.fileno())
        self._publisher.close()
        sockets.remove_socket(self._runtime, sockets.CONTROL_EVENTS)

    def _tend(self) -> None:
        self._publisher.tend()
        self._timer = self._loop.call_later(_TEND_INTERVAL, self._tend)
