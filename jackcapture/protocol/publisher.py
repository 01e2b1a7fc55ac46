"""The socket that events are published on: an XPUB on a listener of ours, so that what peers send it stays bounded.

To subscribers it is a PUB. ZeroMQ keeps every topic that somebody subscribes to, without a limit. Here nobody needs a
topic but the empty one, so whoever floods it with others is cut off, together with all: honest subscribers are back at
once, and what they missed is in the state.
"""

import contextlib
import logging
import os
import socket

import zmq

from jackcapture.protocol import sockets

log = logging.getLogger(__name__)

MAX_TOPICS = 100
"""Different topics that all subscribers together may have."""

MAX_MESSAGES = 10_000
"""What subscribers may send between two calls of `tend`."""

_BACKLOG = 100


class Publisher:
    """Publishes to all who are connected; one thread."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", runtime: str, name: str) -> None:
        """Listen; replaces what a process that died has left."""
        self._context = context
        self._address = sockets.socket_address(runtime, name)
        sockets.remove_socket(runtime, name)
        # Our own, so that the file stays while the ZeroMQ socket behind it is replaced.
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._listener.bind(os.path.join(runtime, name))
        self._listener.listen(_BACKLOG)
        self._topics = 0
        self._door = self._open()

    def send(self, data: bytes) -> None:
        """Send an event to all subscribers; those whose queue is full miss it."""
        self._door.send(data)

    def tend(self) -> None:
        """Look at what subscribers have sent, and cut all off if it is too much; call it about ten times a second."""
        for _ in range(MAX_MESSAGES):
            try:
                message = self._door.recv(zmq.DONTWAIT)
            except zmq.Again:
                return
            if len(message) > 1:
                self._topics += {1: 1, 0: -1}.get(message[0], 0)
            if self._topics > MAX_TOPICS:
                break
        log.warning(
            "subscribers sent more than %d topics, or more than %d messages at once: all are disconnected once",
            MAX_TOPICS,
            MAX_MESSAGES,
        )
        self._door.close(linger=0)
        self._topics = 0
        self._door = self._open()

    def close(self) -> None:
        """Send what is queued, and close; the file stays."""
        self._door.close()
        self._listener.close()

    def _open(self) -> "zmq.Socket[bytes]":
        door = self._context.socket(zmq.XPUB)
        sockets.configure_publisher(door)
        descriptor = os.dup(self._listener.fileno())
        door.setsockopt(zmq.USE_FD, descriptor)  # it closes that
        try:
            door.bind(self._address)
        except zmq.ZMQError:
            with contextlib.suppress(OSError):
                os.close(descriptor)
            raise
        return door
