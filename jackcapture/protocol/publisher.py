"""The socket that events are published on: to subscribers, a PUB that sends everything to everybody.

It speaks ZMTP 3.0 (https://rfc.zeromq.org/spec/23) by itself. libzmq keeps every topic that any subscriber names, and
walks through all of them for each that goes: who connects again and again with other topics stops its publisher for
minutes, and fills its memory. Nobody needs topics here, so what subscribers send after the handshake is thrown away.
"""

import contextlib
import os
import select
import socket
import struct
import time
from collections import deque
from dataclasses import dataclass, field

from jackcapture.errors import StorageError
from jackcapture.protocol import sockets

MAX_SUBSCRIBERS = 64
MAX_QUEUED_BYTES = 4 << 20
"""Of events for one subscriber, besides what the kernel keeps."""

_BACKLOG = 100
_STEPS = 100  # of connections taken, and of reads, in one `tend`
_READ_BYTES = 1 << 16
_LINGER_SECONDS = 0.5

_GREETING_BYTES = 64
_MAX_HANDSHAKE_BYTES = 1024
_MECHANISM = b"NULL".ljust(20, b"\0")
_READY = b"\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB"
_COMMAND = 4  # the flag of a frame
_LONG = 2
_HANDSHAKE = b"\xff" + bytes(8) + b"\x7f\x03\x00" + _MECHANISM + bytes(32) + bytes((_COMMAND, len(_READY))) + _READY


@dataclass(slots=True)
class _Subscriber:
    connection: socket.socket
    deadline: float  # of the handshake
    heard: bytearray = field(default_factory=bytearray)  # of the handshake
    is_ready: bool = False
    unsent: deque[bytes] = field(default_factory=lambda: deque((_HANDSHAKE,)))
    unsent_bytes: int = len(_HANDSHAKE)


class Publisher:
    """Publishes to all who are connected and never waits for them; one thread."""

    def __init__(self, runtime: str, name: str) -> None:
        """Listen; replaces the socket file that a process that died has left."""
        sockets.socket_address(runtime, name)  # raises if it is too long
        sockets.remove_socket(runtime, name)
        path = os.path.join(runtime, name)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._listener.bind(path)
        except OSError as error:
            self._listener.close()
            raise StorageError(f"socket {path} cannot be made: {error.strerror}", path=path) from error
        self._listener.listen(_BACKLOG)
        self._events = select.epoll()
        self._events.register(self._listener, select.EPOLLIN)
        self._subscribers: dict[int, _Subscriber] = {}

    def fileno(self) -> int:
        """Give a descriptor that can be read from when there is something to `tend`."""
        return self._events.fileno()

    def send(self, data: bytes) -> None:
        """Send an event to all subscribers; those whose queue is full miss it."""
        frame = bytes((0, len(data))) + data if len(data) < 256 else struct.pack(">BQ", _LONG, len(data)) + data
        for subscriber in list(self._subscribers.values()):
            if (
                subscriber.is_ready
                and len(subscriber.unsent) < sockets.MAX_QUEUED_EVENTS
                and subscriber.unsent_bytes + len(frame) <= MAX_QUEUED_BYTES
            ):
                subscriber.unsent.append(frame)
                subscriber.unsent_bytes += len(frame)
            self._flush(subscriber)

    def tend(self) -> None:
        """Take new subscribers, hear the others, send what is left; call it when `fileno` says so, and now and then."""
        for descriptor, _ in self._events.poll(0, _STEPS):
            if descriptor == self._listener.fileno():
                self._accept()
            elif descriptor in self._subscribers:
                self._hear(self._subscribers[descriptor])
        now = time.monotonic()
        for subscriber in list(self._subscribers.values()):
            if not subscriber.is_ready and now > subscriber.deadline:
                self._drop(subscriber)
            else:
                self._flush(subscriber)

    def close(self) -> None:
        """Send what is queued, as far as somebody reads, and close; the file stays."""
        deadline = time.monotonic() + _LINGER_SECONDS
        while any(subscriber.unsent for subscriber in self._subscribers.values()) and time.monotonic() < deadline:
            self.tend()
            time.sleep(0.005)
        for subscriber in list(self._subscribers.values()):
            self._drop(subscriber)
        self._events.close()
        self._listener.close()

    def _accept(self) -> None:
        for _ in range(_STEPS):
            try:
                connection, _ = self._listener.accept()
            except OSError:  # there is none, or it has gone already, or there are no descriptors left
                return
            if len(self._subscribers) >= MAX_SUBSCRIBERS:
                connection.close()
                continue
            connection.setblocking(False)
            subscriber = _Subscriber(connection, time.monotonic() + sockets.HANDSHAKE_SECONDS)
            self._subscribers[connection.fileno()] = subscriber
            self._events.register(connection, select.EPOLLIN)
            self._flush(subscriber)

    def _hear(self, subscriber: _Subscriber) -> None:
        try:
            received = subscriber.connection.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._drop(subscriber)
        elif not subscriber.is_ready:
            subscriber.heard += received[:_MAX_HANDSHAKE_BYTES]
            try:
                subscriber.is_ready = _is_ready(subscriber.heard)
            except ValueError:
                self._drop(subscriber)
            if subscriber.is_ready:
                subscriber.heard = bytearray()

    def _flush(self, subscriber: _Subscriber) -> None:
        while subscriber.unsent:
            first = subscriber.unsent[0]
            try:
                sent = subscriber.connection.send(first, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            except OSError:
                self._drop(subscriber)
                return
            subscriber.unsent_bytes -= sent
            if sent == len(first):
                subscriber.unsent.popleft()
            else:
                subscriber.unsent[0] = first[sent:]

    def _drop(self, subscriber: _Subscriber) -> None:
        if self._subscribers.pop(subscriber.connection.fileno(), None) is not None:
            with contextlib.suppress(OSError):
                self._events.unregister(subscriber.connection)
            subscriber.unsent.clear()
            subscriber.connection.close()


def _is_ready(heard: bytearray) -> bool:
    """Tell whether a subscriber's handshake is complete; raises `ValueError` if it never will be."""
    if not b"\xff".startswith(heard[:1]) or (len(heard) > 10 and (heard[9] != 0x7F or heard[10] < 3)):
        raise ValueError("no ZMTP 3")
    if len(heard) < _GREETING_BYTES + 2:
        return False
    flags, size = heard[_GREETING_BYTES : _GREETING_BYTES + 2]
    if heard[12:32] != _MECHANISM or flags != _COMMAND:
        raise ValueError("another mechanism, or no command")
    command = heard[_GREETING_BYTES + 2 : _GREETING_BYTES + 2 + size]
    if len(command) < size:
        return False
    if not command.startswith(b"\x05READY"):
        raise ValueError("another command")
    return True
