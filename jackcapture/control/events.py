"""Control's PUB socket: the engine's events as they came, and control's own."""

import secrets

import zmq

from jackcapture.protocol import sockets
from jackcapture.protocol.framing import Broadcast, encode_broadcast
from jackcapture.protocol.messages import Event


class EventPublisher:
    """Publishes to whoever listens; nothing here waits. On the asyncio loop."""

    def __init__(self, runtime: str) -> None:
        self._runtime = runtime
        self._id = secrets.token_hex(8)
        self._sequence = 0
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        sockets.configure_publisher(self._socket)
        self._socket.bind(sockets.socket_address(runtime, sockets.CONTROL_EVENTS))

    def forward(self, data: bytes) -> None:
        """Publish a broadcast of the engine as it came: with the engine's id and its sequence."""
        self._socket.send(data)

    def publish(self, event: Event) -> None:
        """Publish an event of control's own."""
        self._sequence += 1
        self._socket.send(encode_broadcast(Broadcast(self._sequence, self._id, event)))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        sockets.remove_socket(self._runtime, sockets.CONTROL_EVENTS)
        self._context.term()
