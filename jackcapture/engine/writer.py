"""The writer thread: moves frames from the rings to the chunks. It alone touches pages that a disk backs."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jackcapture.engine.clock import EngineClock
from jackcapture.engine.recorder import Recorder
from jackcapture.errors import ConflictError
from jackcapture.model.takes import RUNNING

INTERVAL = 0.02
"""Seconds between two passes over the rings; they hold several hundred times as much."""


@dataclass(frozen=True, slots=True)
class _Request:
    action: Callable[[], Any]
    done: Callable[[Any], None]


class Writer(threading.Thread):
    """Runs all recorders. Requests are carried out in order, between two passes."""

    def __init__(self, fail: Callable[[Recorder, Exception], None]) -> None:
        super().__init__(name="writer", daemon=True)
        self._fail = fail
        self._recorders: list[Recorder] = []
        self._clock: EngineClock | None = None
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()

    def submit(self, action: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Have the writer run `action`, then `done` with its result or exception; any thread.

        `done` runs on the writer thread and must only hand over.
        """
        self._requests.put(_Request(action, done))

    @property
    def waiting(self) -> int:
        """How many requests wait, about; any thread."""
        return self._requests.qsize()

    def call(self, action: Callable[[], Any]) -> None:
        """Have the writer run `action` and wait for it; main thread. Raises what it raised."""
        finished = threading.Event()
        results: list[Any] = []

        def done(result: Any) -> None:
            results.append(result)
            finished.set()

        self.submit(action, done)
        finished.wait()
        if isinstance(results[0], Exception):
            raise results[0]

    def add(self, recorder: Recorder) -> None:
        """Begin to run a recorder; as a request."""
        self._recorders.append(recorder)

    def remove(self, recorder: Recorder) -> None:
        """Cease to run a recorder that neither records nor keeps chunks; as a request."""
        state = recorder.state
        if state.status in RUNNING or state.chunks_done:
            raise ConflictError(f"{state.uri} is recording or has unsealed chunks; stop it first", uri=state.uri)
        self._recorders.remove(recorder)
        recorder.close()

    def watch(self, clock: EngineClock | None) -> None:
        """Take the marks of a server from now on, also while no stream is there to do so; as a request."""
        self._take_marks()
        self._clock = clock

    def drain(self) -> None:
        """Move all that has been delivered, and take all marks; as a request."""
        self._take_marks()
        for recorder in list(self._recorders):
            self._advance(recorder)

    def finish(self) -> None:
        """End the thread and wait for it; main thread."""
        self._requests.put(None)
        self.join()

    def run(self) -> None:
        """Alternate between requests and passes until `finish`."""
        while True:
            try:
                request = self._requests.get(timeout=INTERVAL)
            except queue.Empty:
                self.drain()
                continue
            if request is None:
                return
            self._carry_out(request)

    def _carry_out(self, request: _Request) -> None:
        try:
            result = request.action()
        except Exception as error:
            result = error
        request.done(result)

    def _take_marks(self) -> None:
        if self._clock is not None:
            self._clock.refresh()

    def _advance(self, recorder: Recorder) -> None:
        try:
            recorder.advance()
        except Exception as error:  # one stream's trouble must not stop the others
            self._fail(recorder, error)
