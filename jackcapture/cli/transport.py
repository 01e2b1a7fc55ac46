"""Commands on JACK's transport."""

from typing import Annotated

import typer

from jackcapture.cli import text
from jackcapture.cli.session import call, show


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    transport = typer.Typer(help="Show JACK's transport, start, stop or locate it.", invoke_without_command=True)
    transport.callback()(_status)
    for name, function in (("start", _start), ("stop", _stop), ("locate", _locate)):
        transport.command(name)(function)
    app.add_typer(transport, name="transport")


def _status(context: typer.Context) -> None:
    """Show JACK's transport, start, stop or locate it."""
    if context.invoked_subcommand is None:
        show(call("transport_status"), text.transport)


def _start() -> None:
    """Let it roll."""
    show(call("transport_start"), text.transport)


def _stop() -> None:
    """Stop it where it is."""
    show(call("transport_stop"), text.transport)


def _locate(
    place: Annotated[str, typer.Argument(help="A frame (480000), a time (1:30, 2.5s), start, or bar:17 or bar:17.3.")],
) -> None:
    """Relocate it, rolling or not."""
    show(call("transport_locate", place=place), text.transport)
