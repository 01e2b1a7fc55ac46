"""ZeroMQ sockets in the runtime directory, and their limits."""

import contextlib
import os
import stat
from typing import Any

import zmq

from jackcapture.errors import InvalidValueError, StorageError
from jackcapture.protocol.framing import MAX_MESSAGE_BYTES

ENGINE_COMMANDS = "engine.sock"
ENGINE_EVENTS = "engine-events.sock"
CONTROL = "control.sock"
CONTROL_EVENTS = "control-events.sock"

MAX_REQUEST_BYTES = 4 << 20
"""The longest message that a ROUTER takes from outside."""

AnySocket = Any
"""A socket of pyzmq, blocking or of zmq.asyncio: both take the same options, but share no generic type."""

_MAX_PATH = 107  # of a Unix socket
_HIGH_WATER_MARK = 100_000  # an event more is dropped; state requests make up for it


def make_runtime_directory(path: str) -> str:
    """Make the directory of the sockets with mode 0700 and check that nobody else may enter; gives its real path."""
    for name in (ENGINE_COMMANDS, ENGINE_EVENTS, CONTROL, CONTROL_EVENTS):
        socket_address(path, name)  # raises if it is too long, before anything is made
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        found = os.stat(path)
    except OSError as error:
        raise StorageError(f"runtime directory {path} cannot be made: {error.strerror}", path=path) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise InvalidValueError(
            f"runtime directory {path} (mode {stat.S_IMODE(found.st_mode):04o}, user {found.st_uid}) must be a "
            f"directory of user {os.getuid()} with mode 0700: the sockets in it are open to whoever may enter",
            path=path,
        )
    return os.path.realpath(path)


def socket_address(runtime: str, name: str) -> str:
    """Give the ZeroMQ address of a socket; raises `InvalidValueError` if its path is too long for one."""
    path = os.path.join(runtime, name)
    if len(os.fsencode(path)) > _MAX_PATH:
        raise InvalidValueError(
            f"socket path {path} has {len(os.fsencode(path))} bytes: a Unix socket takes at most {_MAX_PATH}; "
            "choose a shorter --runtime",
            path=path,
        )
    return f"ipc://{path}"


def remove_socket(runtime: str, name: str) -> None:
    """Remove a socket's file, which ZeroMQ leaves, so that clients see at once that nobody is there."""
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(runtime, name))


def configure_router(socket: AnySocket) -> None:
    """Set what every ROUTER of ours has: bounded requests, errors for peers that have gone, no wait at the end."""
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_REQUEST_BYTES)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    socket.setsockopt(zmq.LINGER, 500)


def configure_publisher(socket: AnySocket) -> None:
    """Set what every PUB of ours has."""
    socket.setsockopt(zmq.SNDHWM, _HIGH_WATER_MARK)
    socket.setsockopt(zmq.LINGER, 500)


def configure_requester(socket: AnySocket) -> None:
    """Set what every DEALER of ours has."""
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
    socket.setsockopt(zmq.LINGER, 0)


def configure_subscriber(socket: AnySocket) -> None:
    """Set what every SUB of ours has, all topics subscribed."""
    socket.setsockopt(zmq.RCVHWM, _HIGH_WATER_MARK)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SUBSCRIBE, b"")


def reply_to(socket: "zmq.Socket[bytes]", identity: bytes, data: bytes) -> bool:
    """Send a reply without waiting; False if the peer has gone or does not read."""
    try:
        socket.send_multipart([identity, data], flags=zmq.DONTWAIT)
    except zmq.ZMQError as error:
        if error.errno in (zmq.EHOSTUNREACH, zmq.EAGAIN):
            return False
        raise
    return True
