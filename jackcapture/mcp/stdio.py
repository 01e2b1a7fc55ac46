"""MCP over standard input and output, for programs that start `jackcapture mcp` themselves."""

import logging
import signal

import anyio
from mcp.server.stdio import stdio_server

from jackcapture.logs import log_to_standard_error
from jackcapture.mcp.server import make_server


def serve_stdio(runtime: str | None, config: str | None) -> None:
    """Serve until standard input ends; raises `InvalidValueError` for settings that cannot be."""
    log_to_standard_error("mcp")
    logging.getLogger().setLevel(logging.WARNING)
    # A thread waits for standard input, and cannot be woken: an interrupt ends the process at once. Calls that are
    # under way are cancelled by control, which sees that their client has gone.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    anyio.run(_serve, runtime, config)


async def _serve(runtime: str | None, config: str | None) -> None:
    server = make_server(runtime, config)
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())
