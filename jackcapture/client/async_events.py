"""The events of engine and control, for asyncio."""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from jackcapture.client.events import Events, EventsLost
from jackcapture.protocol.messages import Event


class AsyncEvents:
    """An asynchronous iterator over what `Events` gives, which waits on a thread of its own; for one task.

    It begins when it is entered, or iterated over first: what is published after that comes. Nothing is lost where
    the wait for an event is cancelled.
    """

    def __init__(self, runtime: str, timeout: float | None) -> None:
        self._runtime = runtime
        self._timeout = timeout
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="events")
        self._events: Events | None = None
        self._next: asyncio.Future[Event | EventsLost | None] | None = None
        self._is_closed = False

    async def __aenter__(self) -> Self:
        await self._subscribed()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event | EventsLost:
        if self._is_closed:
            raise StopAsyncIteration
        events = await self._subscribed()
        if self._next is None:
            self._next = asyncio.get_running_loop().run_in_executor(self._thread, next, events, None)
        found = await asyncio.shield(self._next)
        self._next = None
        if found is None:
            await self.close()
            raise StopAsyncIteration
        return found

    async def close(self) -> None:
        """End the loop and the subscription; may be repeated."""
        self._is_closed = True
        if self._events is not None:
            self._events.close()
        if self._next is not None:
            with contextlib.suppress(Exception):  # what it waited for, nobody wants any more
                await self._next
            self._next = None
        self._thread.shutdown(wait=False)

    async def _subscribed(self) -> Events:
        if self._events is None:
            loop = asyncio.get_running_loop()
            made = await loop.run_in_executor(self._thread, Events, self._runtime, self._timeout)
            self._events = made
            if self._is_closed:
                made.close()
        return self._events
