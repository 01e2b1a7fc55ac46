"""Who serves the sockets of a runtime directory: asked before each use, because ZeroMQ would wait for anyone."""

import os
import socket

from jackcapture.errors import UnreachableError
from jackcapture.protocol import sockets


def control_in(runtime: str, name: str = sockets.CONTROL) -> int:
    """Give the process id of the control that serves a socket; raises `UnreachableError` at once if there is none.

    Raises `InvalidValueError` if the directory, or who serves it, is another user's, or its path is too long.
    """
    sockets.check_runtime_directory(runtime)
    sockets.socket_address(runtime, name)  # raises if the path is too long for one
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        path = os.path.join(runtime, name)
        if probe.connect_ex(path):
            raise unreachable(runtime)
        return sockets.check_peer(probe, path)


def unreachable(runtime: str) -> UnreachableError:
    """Give the error for a control that does not answer."""
    return UnreachableError(
        f"control does not answer in {runtime}; start it with 'jackcapture up', or name its --runtime",
        runtime=runtime,
    )
