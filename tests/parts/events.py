"""Listens to control's events."""

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import zmq

from jackcapture.protocol import sockets
from jackcapture.protocol.framing import Broadcast, decode_broadcast

Kind = TypeVar("Kind")

PATIENCE = 20.0


class Listener:
    """A subscriber of control's events, which it keeps; a context manager."""

    def __init__(self, runtime: Path) -> None:
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.SUB)
        sockets.configure_subscriber(self._socket)
        self._socket.connect(sockets.socket_address(str(runtime), sockets.CONTROL_EVENTS))
        self.heard: list[Broadcast] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.destroy(linger=0)

    def wait_for(self, kind: type[Kind], holds: Callable[[Kind], bool]) -> Kind:
        """Wait for an event of a kind for which something holds; give the first."""
        deadline = time.monotonic() + PATIENCE
        looked = 0
        while True:
            for broadcast in self.heard[looked:]:
                looked += 1
                if isinstance(broadcast.event, kind) and holds(broadcast.event):
                    return broadcast.event
            left = deadline - time.monotonic()
            assert left > 0, f"no such {kind.__name__} in {PATIENCE:g} s"
            if self._socket.poll(int(1000 * left)):
                self.heard.append(decode_broadcast(self._socket.recv()))
