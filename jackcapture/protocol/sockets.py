"""ZeroMQ sockets in the runtime directory, and their limits."""

import contextlib
import os
import socket
import stat
import struct
import time
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

MAX_QUEUED_REQUESTS = 64
"""Requests of one peer that ZeroMQ keeps until they are read; it takes no more from the peer meanwhile."""

MAX_QUEUED_REPLIES = 256
"""Replies to one peer that ZeroMQ keeps until the peer reads; any more are dropped."""

MAX_QUEUED_EVENTS = 10_000
"""Events for one subscriber that are kept until it reads; any more are dropped: state requests make up for it."""

REPLY_PATIENCE = 0.005
"""Seconds that the engine waits for room in the queue of replies to a peer."""

HANDSHAKE_SECONDS = 5.0
"""After so long a peer that connects and says nothing is let go."""

AnySocket = Any
"""A socket of pyzmq, blocking or of zmq.asyncio: both take the same options, but share no generic type."""

_MAX_PATH = 107  # of a Unix socket


def make_runtime_directory(path: str) -> str:
    """Make the directory of the sockets with mode 0700 and check that nobody else may enter; gives its real path."""
    for name in (ENGINE_COMMANDS, ENGINE_EVENTS, CONTROL, CONTROL_EVENTS):
        socket_address(path, name)  # raises if it is too long, before anything is made
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        found = os.stat(path)
    except OSError as error:
        raise StorageError(f"runtime directory {path} cannot be made: {error.strerror}", path=path) from error
    _check_private(path, found)
    return os.path.realpath(path)


def check_runtime_directory(path: str) -> None:
    """Check, before a peer in it is trusted, that nobody else may enter the directory; one that is not there is fine.

    Raises `InvalidValueError`.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        try:
            _check_private(path, os.stat(path))
        except PermissionError:
            raise InvalidValueError(
                f"runtime directory {path} is in a directory that user {os.getuid()} may not enter; name one of your "
                "own with --runtime",
                path=path,
            ) from None


def _check_private(path: str, found: os.stat_result) -> None:
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise InvalidValueError(
            f"runtime directory {path} (mode {stat.S_IMODE(found.st_mode):04o}, user {found.st_uid}) must be a "
            f"directory of user {os.getuid()} with mode 0700: the sockets in it are open to whoever may enter",
            path=path,
        )


def check_peer(descriptor: "socket.socket", path: str) -> int:
    """Give the process id of who listens behind a connected Unix socket; raises `InvalidValueError` for another user's.

    The kernel tells who that is (SO_PEERCRED): it cannot be made up.
    """
    pid, user, _ = struct.unpack("3i", descriptor.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if user != os.getuid():
        raise InvalidValueError(
            f"{path} is served by process {pid} of user {user}: it must be a process of user {os.getuid()}, because "
            "whoever serves it sees and decides what is recorded",
            path=path,
            pid=pid,
            user=user,
        )
    return int(pid)


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


def configure_router(door: AnySocket) -> None:
    """Set what every ROUTER of ours has: bounded requests and queues, errors for peers that have gone."""
    door.setsockopt(zmq.MAXMSGSIZE, MAX_REQUEST_BYTES)
    door.setsockopt(zmq.RCVHWM, MAX_QUEUED_REQUESTS)
    door.setsockopt(zmq.SNDHWM, MAX_QUEUED_REPLIES)
    door.setsockopt(zmq.HANDSHAKE_IVL, int(1000 * HANDSHAKE_SECONDS))
    door.setsockopt(zmq.ROUTER_MANDATORY, 1)
    door.setsockopt(zmq.LINGER, 500)


def configure_requester(door: AnySocket) -> None:
    """Set what every DEALER of ours has."""
    door.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
    door.setsockopt(zmq.LINGER, 0)


def configure_subscriber(door: AnySocket) -> None:
    """Set what every SUB of ours has, all topics subscribed."""
    door.setsockopt(zmq.RCVHWM, MAX_QUEUED_EVENTS)
    door.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
    door.setsockopt(zmq.LINGER, 0)
    door.setsockopt(zmq.SUBSCRIBE, b"")


def reply_to(door: "zmq.Socket[bytes]", identity: bytes, data: bytes) -> bool:
    """Send a reply, waiting `REPLY_PATIENCE` at most; False if the peer has gone or does not read."""
    deadline = time.monotonic() + REPLY_PATIENCE
    while True:
        try:
            door.send_multipart([identity, data], flags=zmq.DONTWAIT)
        except zmq.Again:  # perhaps only ZeroMQ's own thread has not come to it, in a burst of replies
            if time.monotonic() > deadline:
                return False
            time.sleep(REPLY_PATIENCE / 10)
            door.getsockopt(zmq.EVENTS)  # has it take note of what was sent meanwhile
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return False
            raise
        else:
            return True
