"""What every request over HTTP must pass before any route sees it: Host, Origin, and the bearer token.

A page in a browser can reach the loopback, with the user's own address: by the name of another host that points there
(DNS rebinding), or from another origin. So the names are checked, on every route, and nothing but `/health` is
answered without the token.
"""

import hmac
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = frozenset({"/health"})
"""What may be asked without a token: it tells that the door is there, and nothing else."""

_SAME_SITE = (b"none", b"same-origin")


class Guard:
    """An ASGI application before another one. `names` are the hosts, with their port, by which clients call it."""

    def __init__(self, app: App, names: Sequence[str], token: str) -> None:
        self._app = app
        self._hosts = frozenset(name.encode("ascii", "replace") for name in names)
        self._origins = frozenset(b"http://" + host for host in self._hosts)
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # a WebSocket, of which there are none here
            await send({"type": "websocket.close", "code": 1008})
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
            return
        status, code, message = refusal
        log.warning("refused a request over HTTP with %d: %s", status, code)
        await send_error(send, status, code, message)

    def _refusal(self, scope: Scope) -> tuple[int, str, str] | None:
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            known = ", ".join(sorted(host.decode() for host in self._hosts))
            return 421, "wrong_host", f"this server is called {known}, and by no other Host header"
        origins = _values(scope, b"origin")
        sites = _values(scope, b"sec-fetch-site")
        if any(origin not in self._origins for origin in origins) or any(it not in _SAME_SITE for it in sites):
            return 403, "wrong_origin", "pages of another origin may not call this server"
        if scope["path"] in OPEN_PATHS and scope["method"] in ("GET", "HEAD"):
            return None
        if not self._has_token(_values(scope, b"authorization")):
            return (
                401,
                "no_token",
                "the header 'Authorization: Bearer TOKEN' is missing or wrong; 'jackcapture mcp --token' tells it",
            )
        return None

    def _has_token(self, given: list[bytes]) -> bool:
        scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)


def _values(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key.lower() == name]


async def send_error(send: Send, status: int, code: str, message: str) -> None:
    """Answer with an error in the one JSON shape."""
    body = json.dumps({"error": {"code": code, "message": message, "details": {}}}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
