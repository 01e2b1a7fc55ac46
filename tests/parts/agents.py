"""Agents' side of MCP: a real client of the SDK on a rig, over stdio, over HTTP, or in this process."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import httpx2
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult

from jackcapture.mcp.server import make_server
from parts.rig import COMMAND, RigProcess

Era = Literal["2026-07-28", "legacy"]
ERAS: tuple[Era, ...] = ("2026-07-28", "legacy")
DOORS = [(door, era) for door in ("stdio", "http") for era in ERAS]


@contextlib.asynccontextmanager
async def agent(rig: RigProcess, door: str, era: Era, **options: Any) -> AsyncIterator[Client]:
    """Connect for the block, over `door`: stdio, http or process."""
    async with contextlib.AsyncExitStack() as stack:
        if door == "stdio":
            server: Any = StdioServerParameters(
                command=COMMAND[0], args=[*COMMAND[1:], "mcp"], env=dict(rig.environment)
            )
        elif door == "http":
            http = await stack.enter_async_context(
                httpx2.AsyncClient(headers={"Authorization": f"Bearer {token_of(rig)}"}, timeout=30)
            )
            server = streamable_http_client(rig.ready["http"]["url"], http_client=http)
        else:
            server = make_server(str(rig.runtime), None)
        client = await stack.enter_async_context(
            Client(server, mode=era, read_timeout_seconds=60, cache=None, **options)
        )
        yield client


def token_of(rig: RigProcess) -> str:
    """Give the token that the rig's HTTP door asks for."""
    return Path(rig.ready["http"]["token_file"]).read_text(encoding="ascii").strip()


def text_of(result: CallToolResult) -> str:
    """Give the first text of an answer."""
    first = result.content[0]
    assert first.type == "text"
    return first.text


async def done(client: Client, tool: str, **arguments: Any) -> Any:
    """Call a tool that must do it; give its result as the operation gives it."""
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, f"{tool} {arguments}: {text_of(answer)}"
    assert json.loads(text_of(answer)) == answer.structured_content
    found = answer.structured_content
    return found["result"] if set(found) == {"result"} else found


def blocks_of(result: CallToolResult) -> list[Any]:
    """Give the blocks of an answer, of whatever types."""
    return list(result.content)


async def read(client: Client, uri: str) -> Any:
    """Read a resource, of whatever type."""
    return (await client.read_resource(uri)).contents[0]
