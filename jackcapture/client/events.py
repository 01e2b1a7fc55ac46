"""The events of engine and control as Python sees them."""

import logging
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import zmq

from jackcapture.client.serving import control_in
from jackcapture.errors import InvalidValueError, JackCaptureError, UnreachableError
from jackcapture.protocol import sockets
from jackcapture.protocol.framing import Broadcast, decode_broadcast
from jackcapture.protocol.messages import ControlEvent, Event
from jackcapture.protocol.publisher import MAX_SUBSCRIBERS

log = logging.getLogger(__name__)

_WAKE_SECONDS = 0.2
"""After so long a thread that waits sees that another one has closed what it waits for."""

_LOOK_SECONDS = 1.0
"""After so long without an event, look whether control is still there."""


@dataclass(frozen=True, slots=True)
class EventsLost:
    """Events were published here that did not come. What they told of is in the state: ask `streams()`, or `status`.

    `count` is how many; None: engine or control is another one now, and nobody knows.
    """

    count: int | None


class Events:
    """An iterator over events: the values of protocol/messages.py, and an `EventsLost` where some are missing.

    It begins when it is made: what is published after that comes. Iterate in one thread; `close`, which ends the loop,
    may be called in any.
    """

    def __init__(self, runtime: str, timeout: float | None) -> None:
        """Subscribe; raises `UnreachableError` if there is no control, or if it takes no more subscribers."""
        self._runtime = runtime
        self._timeout = timeout
        self._control = control_in(runtime)
        control_in(runtime, sockets.CONTROL_EVENTS)
        self._context = zmq.Context()
        # Also of a loop that was left, and forgotten, without a close.
        self._release = weakref.finalize(self, self._context.destroy, linger=0)
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.SUB)
        self._is_closed = False
        self._reading = threading.Lock()
        self._lost = _Losses()
        self._next: deque[Event | EventsLost] = deque()
        try:
            self._subscribe()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event | EventsLost:
        with self._reading:
            try:
                found = None if self._is_closed else self._wait()
            except JackCaptureError:
                self._is_closed = True
                raise
            finally:
                if self._is_closed:
                    self._release()
        if found is None:
            raise StopIteration
        return found

    def close(self) -> None:
        """End the loop and the subscription; may be repeated."""
        self._is_closed = True
        if self._reading.acquire(blocking=False):  # else the thread that waits does the rest
            try:
                self._release()
            finally:
                self._reading.release()

    def _subscribe(self) -> None:
        sockets.configure_subscriber(self._socket)
        with self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED) as monitor:
            self._socket.connect(sockets.socket_address(self._runtime, sockets.CONTROL_EVENTS))
            if not monitor.poll(int(1000 * sockets.HANDSHAKE_SECONDS)):
                raise UnreachableError(
                    f"control in {self._runtime} takes no more subscribers of its events: it takes {MAX_SUBSCRIBERS}; "
                    "close some",
                    runtime=self._runtime,
                )
            self._socket.disable_monitor()

    def _wait(self) -> Event | EventsLost | None:
        """Give what comes next; None when there is nothing more."""
        began = looked = now = time.monotonic()
        while not self._next:
            wait = _WAKE_SECONDS
            if self._timeout is not None:
                wait = min(wait, began + self._timeout - now)
            if self._socket.poll(max(0, int(1000 * wait))):
                self._take(self._socket.recv())
            now = time.monotonic()
            if not self._next and self._timeout is not None and now >= began + self._timeout:
                self._is_closed = True
            if self._is_closed:
                return None
            if now - looked >= _LOOK_SECONDS:
                looked = now
                self._look()
        return self._next.popleft()

    def _take(self, data: bytes) -> None:
        try:
            broadcast = decode_broadcast(data)
        except InvalidValueError as error:
            log.warning("control published what is no event: %s", error)
            return
        lost = self._lost.before(broadcast)
        self._next.extend((broadcast.event,) if lost is None else (lost, broadcast.event))

    def _look(self) -> None:
        control = control_in(self._runtime)
        if control != self._control:
            self._control = control
            self._next.append(EventsLost(None))


class _Losses:
    """Finds by the numbers of events which are missing; engine and control each count their own."""

    def __init__(self) -> None:
        self._last: dict[bool, tuple[str, int]] = {}

    def before(self, broadcast: Broadcast) -> EventsLost | None:
        """Tell what is missing between this event and the last one from the same side."""
        is_of_control = isinstance(broadcast.event, ControlEvent)
        publisher, sequence = self._last.get(is_of_control, (broadcast.publisher, broadcast.sequence - 1))
        self._last[is_of_control] = (broadcast.publisher, broadcast.sequence)
        if publisher != broadcast.publisher:
            return EventsLost(None)
        missing = broadcast.sequence - sequence - 1
        return EventsLost(missing) if missing > 0 else None
