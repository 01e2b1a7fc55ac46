"""Reads for those who must not wait for a disk that has stalled: after a while they get what was read last."""

import asyncio
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

PATIENCE = 1.0
"""Seconds that a read may take before an older answer is better than none."""

_THREADS = 4

Answer = TypeVar("Answer")


class PatientReads:
    """Reads on threads of their own, so that none waits behind a write that has stalled; on the asyncio loop.

    Each kind of read has a key. One that has stalled is not begun again until it is over.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="read")
        self._known: dict[Hashable, Any] = {}
        self._stalled: dict[Hashable, tuple[asyncio.Future[Any], float]] = {}

    async def read(self, key: Hashable, work: Callable[[], Answer]) -> Answer:
        """Give what `work` reads now or, if it takes longer than `PATIENCE`, what the last read of this key gave.

        The first read of a key has nothing to fall back on, and waits.
        """
        future, began = self._stalled.get(key, (None, time.monotonic()))
        if future is None:
            future = asyncio.get_running_loop().run_in_executor(self._threads, work)
            await asyncio.wait([future], timeout=PATIENCE)
            if not future.done() and key not in self._stalled:
                self._stalled[key] = future, began
                future.add_done_callback(lambda done: self._end_stall(key, done))
        if future.done() or key not in self._known:
            self._known[key] = await asyncio.shield(future)
        answer: Answer = self._known[key]
        return answer

    def stalled_seconds(self) -> float:
        """Give how long the oldest read that has stalled has been under way; 0 if none has."""
        now = time.monotonic()
        return max((now - began for _, began in self._stalled.values()), default=0.0)

    def close(self) -> None:
        """Wait for what is under way and end the threads."""
        self._threads.shutdown()

    def _end_stall(self, key: Hashable, done: asyncio.Future[Any]) -> None:
        del self._stalled[key]
        if not done.cancelled():
            done.exception()  # perhaps nobody waits for it any more
