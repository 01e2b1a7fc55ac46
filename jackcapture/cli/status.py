"""Commands that tell how things are: status, ports, store status."""

from typing import Annotated

import typer

from jackcapture.cli import text
from jackcapture.cli.session import call, show


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("status")(_status)
    app.command("ports")(_ports)
    store = typer.Typer(help="The store.", no_args_is_help=True)
    store.command("status")(_store_status)
    store.command("gc")(_store_gc)
    app.add_typer(store, name="store")


def _status() -> None:
    """Show JACK, engine, control, streams and store."""
    show(call("status"), text.status)


def _ports(
    pattern: Annotated[str, typer.Argument(help="A regular expression over full port names.")] = "",
) -> None:
    """Show the ports of the JACK graph."""
    show(call("ports", pattern=pattern), text.ports)


def _store_status() -> None:
    """Show what the store holds and how long its space lasts."""
    show(call("store_status"), text.store)


def _store_gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed, and why.")] = False,
) -> None:
    """Remove what is beyond the streams' retention, which also happens by itself."""
    show(call("store_gc", dry_run=dry_run), text.garbage)
