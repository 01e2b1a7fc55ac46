"""How many calls are under way, by client and in all: a client that does not wait cannot take all of control."""

import contextlib
from collections import Counter
from collections.abc import Iterator

from jackcapture.errors import ConflictError

MAX_CALLS_OF_CLIENT = 64
MAX_CALLS = 512
MAX_BYTES = 16 << 20
"""What the requests of all calls under way may have together."""


class Admission:
    """Counts calls from when they are read until their answer is sent; on the asyncio loop."""

    def __init__(self) -> None:
        self._calls: Counter[bytes] = Counter()
        self._bytes = 0

    @contextlib.contextmanager
    def admit(self, client: bytes, size: int) -> Iterator[None]:
        """Count a call of `size` bytes during the block; raises `ConflictError` where there are too many."""
        if self._calls.get(client, 0) >= MAX_CALLS_OF_CLIENT:
            raise ConflictError(
                f"{MAX_CALLS_OF_CLIENT} calls of this client are under way: wait for answers before you ask for more",
                calls=MAX_CALLS_OF_CLIENT,
            )
        if self._calls.total() >= MAX_CALLS or self._bytes + size > MAX_BYTES:
            raise ConflictError(
                f"{self._calls.total()} calls of {self._bytes} bytes are under way: {MAX_CALLS} calls and {MAX_BYTES} "
                "bytes are the most; ask again in a moment",
                calls=self._calls.total(),
                bytes=self._bytes,
            )
        self._calls[client] += 1
        self._bytes += size
        try:
            yield
        finally:
            self._bytes -= size
            self._calls[client] -= 1
            if not self._calls[client]:
                del self._calls[client]
