"""Commands on the store: what it holds, what is wrong with it, and what helps."""

from typing import Annotated, Any

import typer

from jackcapture.cli import text
from jackcapture.cli.session import call, options, progress_bar, say, show
from jackcapture.errors import StorageDamagedError, UnreachableError


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    store = typer.Typer(help="The store.", no_args_is_help=True)
    store.command("status")(_status)
    store.command("gc")(_gc)
    store.command("check")(_check)
    store.command("rebuild")(_rebuild)
    app.add_typer(store, name="store")


def _status() -> None:
    """Show what the store holds and how long its space lasts."""
    show(call("store_status"), text.store)


def _gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed, and why.")] = False,
) -> None:
    """Remove what is beyond the streams' retention, which also happens by itself."""
    show(call("store_gc", dry_run=dry_run), text.garbage)


def _check(
    read_data: Annotated[bool, typer.Option("--read-data", help="Also read every byte that is stored.")] = False,
) -> None:
    """Look for damage, also while recording goes on; status 6 if there is any."""
    result = _check_running(read_data)
    if result is None:
        result = _work("check", read_data=read_data)
    show(result, text.check)
    if not result["ok"]:
        say(
            f"jackcapture: the store has {result['problem_count']} problems; docs/store.md says what helps against each"
        )
        raise typer.Exit(StorageDamagedError.exit_status)


def _rebuild(
    force: Annotated[bool, typer.Option("--force", help="Also if the catalog that is there is healthy.")] = False,
) -> None:
    """Make the catalog anew from the store alone; control must not run. The old one is kept aside."""
    show(_work("rebuild", force=force), text.rebuild)


def _check_running(read_data: bool) -> Any:
    """Have control check its store; None if none runs, or if it has another store than the one that is named."""
    try:
        if options.root is not None and call("store_status")["root"] != options.settings().root:
            return None
        return call("store_check", read_data=read_data)
    except UnreachableError:
        return None


def _work(work: str, **arguments: bool) -> Any:
    from jackcapture.processes.maintenance import run_maintenance  # noqa: PLC0415 - help needs no processes

    with progress_bar(f"store {work}") as progress:
        return run_maintenance(options.settings(), options.config, work, arguments, progress)
