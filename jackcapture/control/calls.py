"""The calls under way, and which of them are to end before they are done."""

import contextlib
from collections.abc import Iterator

from jackcapture.errors import ConflictError, NotFoundError, OperationCancelledError


class Call:
    """One call of a client. Any thread may call any method."""

    def __init__(self, client: bytes, number: int, name: str, *, cancellable: bool) -> None:
        self.client = client
        self.number = number
        self.name = name
        self._cancellable = cancellable
        self._reason = ""

    def cancel(self, reason: str) -> bool:
        """Have it end at its next step; False: it cannot be cancelled, and goes on."""
        if self._cancellable:
            self._reason = self._reason or reason
        return self._cancellable

    def check(self) -> None:
        """Raise `OperationCancelledError` if it is to end."""
        if self._reason:
            raise OperationCancelledError(f"{self.name} is cancelled: {self._reason}", operation=self.name)


class Calls:
    """The calls under way of all clients; on the asyncio loop."""

    def __init__(self) -> None:
        self._under_way: set[Call] = set()

    @contextlib.contextmanager
    def entered(self, call: Call) -> Iterator[None]:
        """Have the call among them during the block."""
        self._under_way.add(call)
        try:
            yield
        finally:
            self._under_way.discard(call)

    def cancel(self, client: bytes, number: int) -> None:
        """Cancel a client's own call by its id.

        Raises `NotFoundError` if none of that client is under way, `ConflictError` for one that goes on to its end.
        """
        found = [call for call in self._under_way if (call.client, call.number) == (client, number)]
        if not found:
            raise NotFoundError(
                f"no call {number} of this client is under way: it has ended, or never was", call=number
            )
        going_on = [call.name for call in found if not call.cancel("its client asked for that")]
        if going_on:
            raise ConflictError(f"{going_on[0]} cannot be cancelled: it goes on to its end", operation=going_on[0])
