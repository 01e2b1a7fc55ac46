"""What `up` tells systemd: that it is ready, and, as its watchdog asks, that control answers, and how it is."""

import time
from typing import Any

from jackcapture.cli.text import duration
from jackcapture.client import Client
from jackcapture.errors import JackCaptureError
from jackcapture.processes.notify import Notifier

_DEFAULT_INTERVAL = 30.0
_PART = 4  # of the watchdog's time passes between two signs of life
_PATIENCE = 2.0


class Service:
    """The service that `up` is; on the thread of `up`."""

    def __init__(self, runtime: str, notifier: Notifier | None = None) -> None:
        self._runtime = runtime
        self._notifier = notifier or Notifier()
        self._interval = (self._notifier.watchdog_seconds or _DEFAULT_INTERVAL * _PART) / _PART
        self._due = time.monotonic() + self._interval

    def ready(self, status: dict[str, Any]) -> None:
        """Tell that it is ready."""
        self._notifier.ready(summary(status))

    def tend(self) -> None:
        """Tell that all is well, if it is time and control answers; else the watchdog ends what hangs."""
        if not self._notifier.is_heard or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._interval
        try:
            with Client(runtime=self._runtime, timeout=_PATIENCE) as client:
                status = client.call("status")
        except JackCaptureError:
            return
        self._notifier.alive(summary(status))

    def stopping(self) -> None:
        """Tell that it is ending."""
        self._notifier.stopping()


def summary(status: dict[str, Any]) -> str:
    """Say in one line what records, and how long the disk lasts."""
    recording = sum(stream["status"] in ("recording", "starved") for stream in status["streams"])
    gaps = sum(stream["gap_count"] for stream in status["streams"])
    jack = status["jack"]
    server = f"JACK {jack['server']}" if jack["running"] else f"no JACK server {jack['server']}"
    left = status["store"]["seconds_left"]
    room = "" if left is None else f", disk for {duration(left)}"
    return f"{server}, {recording} of {len(status['streams'])} streams record, {gaps} gaps{room}"
