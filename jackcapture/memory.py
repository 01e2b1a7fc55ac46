"""Gives memory that was in use for a moment back to the system, so that a process of weeks stays as small as it is."""

import ctypes
import time

_INTERVAL = 10.0


class Trimmer:
    """Has the C library give back what it keeps of freed memory, every ten seconds; one thread.

    A burst of connections or messages leaves some megabytes in pieces, which glibc does not give back by itself. Where
    there is another C library nothing is done.
    """

    def __init__(self) -> None:
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._next = time.monotonic() + _INTERVAL

    def tend(self) -> None:
        """Do it if it is time."""
        now = time.monotonic()
        if self._trim is not None and now >= self._next:
            self._next = now + _INTERVAL
            self._trim(0)
