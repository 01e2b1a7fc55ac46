"""Subscriptions: what is subscribed to is looked at once a second, and told of where it has changed.

Both eras: `resources/subscribe` until 2025-11-25, `subscriptions/listen` from 2026-07-28 on.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from mcp.server import ServerRequestContext
from mcp.server.connection import Connection
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    EmptyResult,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    UnsubscribeRequestParams,
)

from jackcapture.errors import JackCaptureError
from jackcapture.mcp.door import Door
from jackcapture.mcp.resources import check_has_state, read

log = logging.getLogger(__name__)

Context = ServerRequestContext[Door, Any]

LOOK_SECONDS = 1.0
MAX_WATCHED = 200
"""Resources that are watched at a time, by all clients together."""


class Subscriptions:
    """Who wants to hear of which resource; for one server, on its event loop."""

    def __init__(self) -> None:
        self._bus = InMemorySubscriptionBus()
        self._listen = ListenHandler(self._bus, max_subscriptions=64)
        self._watched: Counter[str] = Counter()
        self._seen: dict[str, bytes] = {}
        self._sessions: dict[str, dict[int, ServerSession]] = {}
        self._wanted = asyncio.Event()

    async def subscribe(self, context: Context, params: SubscribeRequestParams) -> EmptyResult:
        """Begin to tell a connection of the older era of changes of a resource."""
        self._check(params.uri)
        connection = _connection(context)
        sessions = self._sessions.setdefault(params.uri, {})
        if id(connection) not in sessions:
            if "jackcapture" not in connection.state:  # its first one: all of them end with the connection
                connection.state["jackcapture"] = True
                connection.exit_stack.callback(self._forget, id(connection))
            sessions[id(connection)] = context.session
            await self._watch(context.lifespan_context, params.uri)
        return EmptyResult()

    async def unsubscribe(self, context: Context, params: UnsubscribeRequestParams) -> EmptyResult:
        """Tell that connection no more."""
        self._drop(params.uri, id(_connection(context)))
        return EmptyResult()

    async def listen(self, context: Context, params: SubscriptionsListenRequestParams) -> SubscriptionsListenResult:
        """Serve a stream of changes, of the newer era, until its client ends it."""
        uris = set(params.notifications.resource_subscriptions or ())
        for uri in uris:
            self._check(uri)
        watched: list[str] = []
        try:
            for uri in uris:
                watched.append(uri)
                await self._watch(context.lifespan_context, uri)
            return await self._listen(context, params)
        finally:
            for uri in watched:
                self._unwatch(uri)

    @contextlib.asynccontextmanager
    async def watching(self, door: Door) -> AsyncIterator[None]:
        """Look at what is subscribed to, during the block."""
        task = asyncio.create_task(self._look_on(door))
        try:
            yield
        finally:
            self._listen.close()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _look_on(self, door: Door) -> None:
        while True:
            await self._wanted.wait()
            for uri in list(self._watched):
                try:
                    await self._look(door, uri)
                except Exception:  # one resource's trouble must not end what is told of the others
                    log.exception("while looking at %s", uri)
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, door: Door, uri: str) -> None:
        found = await _fingerprint(door, uri)
        if self._seen.get(uri, found) != found:
            self._seen[uri] = found
            await self._tell(uri)

    async def _tell(self, uri: str) -> None:
        await self._bus.publish(ResourceUpdated(uri))
        for key, session in list(self._sessions.get(uri, {}).items()):
            try:
                await session.send_resource_updated(uri)
            except Exception as error:  # whatever its transport raises when its client has gone
                log.info("a subscriber of %s has gone: %s", uri, error)
                self._drop(uri, key)

    def _check(self, uri: str) -> None:
        try:
            check_has_state(uri)
        except JackCaptureError as error:
            raise MCPError(INVALID_PARAMS, f"{error.code}: {error.message}", error.as_json()["error"]) from None
        if uri not in self._watched and len(self._watched) >= MAX_WATCHED:
            raise MCPError(INVALID_PARAMS, f"{MAX_WATCHED} resources are subscribed to, the most there may be")

    async def _watch(self, door: Door, uri: str) -> None:
        self._watched[uri] += 1
        self._wanted.set()
        found = await _fingerprint(door, uri)  # from now on it is known, so that no change after this is missed
        if uri in self._watched:
            self._seen.setdefault(uri, found)

    def _unwatch(self, uri: str) -> None:
        self._watched[uri] -= 1
        if self._watched[uri] <= 0:
            del self._watched[uri]
            self._seen.pop(uri, None)
        if not self._watched:
            self._wanted.clear()

    def _drop(self, uri: str, key: int) -> None:
        if self._sessions.get(uri, {}).pop(key, None) is not None:
            self._unwatch(uri)

    def _forget(self, key: int) -> None:
        for uri in list(self._sessions):
            self._drop(uri, key)


async def _fingerprint(door: Door, uri: str) -> bytes:
    """Give what tells whether a resource has changed; that it cannot be read is a state, too."""
    try:
        contents = await read(door, uri)
        text = contents.model_dump_json()
    except JackCaptureError as error:
        text = error.code
    return hashlib.sha256(text.encode()).digest()


def _connection(context: Context) -> Connection:
    # The SDK gives handlers no other way to tell one connection from another, and to hear of its end.
    return context.session._connection
