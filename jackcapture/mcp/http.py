"""MCP over HTTP, with the contents of artifacts beside it, in a process of its own that `up` starts."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator
from urllib.parse import quote

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from jackcapture._version import VERSION
from jackcapture.errors import JackCaptureError
from jackcapture.mcp.door import Door, Piece, open_door
from jackcapture.mcp.guard import Guard
from jackcapture.mcp.server import make_server

log = logging.getLogger(__name__)

_PIECE_BYTES = 1 << 20
_SHUTDOWN_SECONDS = 2
_LOOK_SECONDS = 1.0
_MAX_SESSIONS = 100
_STATUS = {"invalid_value": 400, "not_found": 404, "conflict": 409, "unreachable": 503}


def serve_http(listener: socket.socket, host: str, token: str, runtime: str | None, config: str | None) -> None:
    """Serve on a socket that listens, until told to end, or until who started us has died."""
    names = allowed_names(host, listener.getsockname()[1])
    app = Guard(make_app(names, runtime, config), names, token)
    settings = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # nothing that was asked, no URL and no header, goes into a log
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    server = uvicorn.Server(settings)
    asyncio.run(_serve(server, listener))


def allowed_names(host: str, port: int) -> list[str]:
    """Give the values of the Host header by which a client may call."""
    shown = f"[{host}]" if ":" in host else host
    loopback = ["127.0.0.1", "localhost", "[::1]"]
    return [f"{name}:{port}" for name in (loopback if shown in loopback else [shown])]


def make_app(names: list[str], runtime: str | None, config: str | None) -> Starlette:
    """Make the application: `/mcp`, `/artifacts/ID` and `/health`; whoever serves it puts a Guard before it."""
    server = make_server(runtime, config)
    mcp = server.streamable_http_app(
        streamable_http_path="/mcp",
        max_sessions=_MAX_SESSIONS,
        transport_security=TransportSecuritySettings(
            allowed_hosts=names, allowed_origins=[f"http://{name}" for name in names]
        ),
    )
    doors: list[Door] = []

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with server.session_manager.run(), open_door(runtime, config) as door:
            doors.append(door)
            yield

    async def artifact(request: Request) -> Response:
        return await _artifact(doors[0], request.path_params["artifact_id"])

    async def health(_: Request) -> Response:
        return JSONResponse({"ok": True, "version": VERSION}, headers={"cache-control": "no-store"})

    routes = [*mcp.routes, Route("/artifacts/{artifact_id}", artifact), Route("/health", health)]
    return Starlette(routes=routes, lifespan=lifespan)


async def _artifact(door: Door, artifact_id: str) -> Response:
    """Give an artifact's file, as a stream; of a virtual slice, what it stands for."""
    try:
        first = await door.read(artifact_id, 0, _PIECE_BYTES)
    except JackCaptureError as error:
        return JSONResponse(error.as_json(), _STATUS.get(error.code, 500), {"cache-control": "no-store"})
    headers = {
        "content-length": str(first.total),
        "content-disposition": f"attachment; filename*=UTF-8''{quote(artifact_id)}",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }
    return StreamingResponse(_pieces(door, artifact_id, first), media_type=first.mime_type, headers=headers)


async def _pieces(door: Door, artifact_id: str, piece: Piece) -> AsyncIterator[bytes]:
    at = 0
    while piece.data:
        yield piece.data
        at += len(piece.data)
        if at >= piece.total:
            return
        piece = await door.read(artifact_id, at, _PIECE_BYTES)


async def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    parent = os.getppid()

    async def watch() -> None:
        while os.getppid() == parent:
            await asyncio.sleep(_LOOK_SECONDS)
        log.warning("who started this has died, so it ends")
        server.should_exit = True

    watching = asyncio.create_task(watch())
    try:
        await server.serve(sockets=[listener])
    finally:
        watching.cancel()
