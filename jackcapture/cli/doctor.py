"""The command that looks for what would cost samples."""

from dataclasses import asdict
from typing import Any

import typer

from jackcapture.cli import text
from jackcapture.cli.session import call, options, say, show
from jackcapture.errors import ConflictError, UnreachableError


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(_doctor)


def _doctor() -> None:
    """Look for what on this machine would cost samples, each with its remedy; status 4 if there is a problem.

    While jackcapture runs, it is asked: its limits are what counts, and it knows the streams and the JACK server.
    """
    try:
        result = call("doctor")
    except UnreachableError:
        result = _without_control()
    show(result, text.doctor)
    if not result["ok"]:
        say("jackcapture: as things are, samples will be lost; the lines above say what helps")
        raise typer.Exit(ConflictError.exit_status)


def _without_control() -> Any:
    from jackcapture.doctor import Circumstances, examine, report  # noqa: PLC0415 - help needs no checks

    settings = options.settings()
    circumstances = Circumstances(
        settings.root, settings.runtime, settings.server, settings.rings, settings.ring_seconds
    )
    return asdict(report(examine(circumstances)))
