"""Tells systemd how a service is: sd_notify(3), over the socket that it names in the environment."""

import contextlib
import os
import socket
from collections.abc import Mapping


class Notifier:
    """Talks to the service manager; where there is none, every method does nothing."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # An abstract socket is written with @ (unix(7)).
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._interval = _watchdog_seconds(environment)

    @property
    def is_heard(self) -> bool:
        """Whether there is a service manager."""
        return bool(self._address)

    @property
    def watchdog_seconds(self) -> float | None:
        """How often the manager wants to hear that all is well, at least; None if it does not."""
        return self._interval

    def ready(self, status: str) -> None:
        """Tell that the service is ready."""
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def alive(self, status: str) -> None:
        """Tell that all is well, and how things are."""
        self._send(f"WATCHDOG=1\nSTATUS={_line(status)}")

    def stopping(self) -> None:
        """Tell that the service is ending; sealing what is recorded may take a while."""
        self._send("STOPPING=1\nSTATUS=sealing what is recorded")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # Without waiting: a manager that does not read, or has gone, must not hold up who looks after the recording.
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as sender:
            sender.sendto(message.encode(), self._address)


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """Read WATCHDOG_USEC, which counts only for the process that WATCHDOG_PID names (sd_watchdog_enabled(3))."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 else None


def _line(text: str) -> str:
    return " ".join(text.split())
