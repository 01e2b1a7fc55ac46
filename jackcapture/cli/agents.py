"""The command that serves agents: mcp."""

import json
from typing import Annotated

import typer

from jackcapture.cli.session import options, say


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("mcp")(_mcp)


def _mcp(
    token: Annotated[
        bool, typer.Option("--token", help="Show the address and the bearer token of MCP over HTTP, and end.")
    ] = False,
) -> None:
    """Serve MCP over standard input and output, for a program with an agent that starts this command."""
    settings = options.settings()
    if token:
        _show_token()
        return
    if options.json:
        say("--json changes nothing here: standard output speaks MCP")
    from jackcapture.mcp.stdio import serve_stdio  # noqa: PLC0415 - it takes more than a second

    serve_stdio(settings.runtime, options.config)


def _show_token() -> None:
    """Print where the HTTP door is, and its token; the token is made if there is none yet."""
    from jackcapture.processes.http_door import read_address  # noqa: PLC0415
    from jackcapture.processes.http_token import ensure_token  # noqa: PLC0415

    settings = options.settings()
    address = read_address(settings.runtime)
    path = settings.http_token_file if address is None else address["token_file"]
    secret = ensure_token(path)
    url = None if address is None else address["url"]
    if options.json:
        print(json.dumps({"url": url, "token_file": path, "token": secret}, indent=2))
        return
    say(f"{url or 'not served now: jackcapture up serves it'}; the token, from {path}:")
    print(secret)
