"""Commands that tell how things are: status, ports."""

from typing import Annotated

import typer

from jackcapture.cli import text
from jackcapture.cli.session import call, show


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("status")(_status)
    app.command("ports")(_ports)


def _status() -> None:
    """Show JACK, engine, control, streams and store."""
    show(call("status"), text.status)


def _ports(
    pattern: Annotated[str, typer.Argument(help="A regular expression over full port names.")] = "",
) -> None:
    """Show the ports of the JACK graph."""
    show(call("ports", pattern=pattern), text.ports)
