"""What every command shares: the global options, the call of an operation, progress, results and errors."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from jackcapture.errors import JackCaptureError, OperationCancelledError, UnreachableError
from jackcapture.settings import Settings, load_settings


@dataclass(slots=True)
class Options:
    """The options that stand before or after any command."""

    json: bool = False
    root: str | None = None
    runtime: str | None = None
    server: str | None = None
    config: str | None = None

    def settings(self) -> Settings:
        """Put the settings together from these options, the environment and the configuration file."""
        return load_settings({"root": self.root, "runtime": self.runtime, "server": self.server}, config=self.config)


options = Options()
"""The options of this process's command."""


def call(operation: str, **arguments: Any) -> Any:
    """Do an operation, with a progress bar on standard error if it takes long; Ctrl-C cancels it."""
    from jackcapture.client import Client  # noqa: PLC0415 - help and usage errors need no ZeroMQ

    with Client(runtime=options.runtime, config=options.config) as client, progress_bar(operation) as progress:
        try:
            return client.call(operation, progress=progress, **arguments)
        except KeyboardInterrupt as interrupt:
            notes = getattr(interrupt, "__notes__", ())  # of the client, if the operation goes on
            raise OperationCancelledError("; ".join(("interrupted", *notes)), operation=operation) from interrupt


def control_pid(settings: Settings, is_ready: Callable[[Any], bool]) -> int | None:
    """Give the process id of the control that answers, once its status is what is waited for."""
    from jackcapture.client import Client  # noqa: PLC0415
    from jackcapture.client.serving import control_in  # noqa: PLC0415

    try:
        control_in(settings.runtime)  # first: a client made for each look would take a processor
        with Client(runtime=settings.runtime, timeout=1.0) as client:
            status = client.call("status")
    except UnreachableError:
        return None
    return int(status["control"]["pid"]) if is_ready(status) else None


def show(result: Any, as_text: Callable[[Any], None]) -> None:
    """Show a result: as JSON where that was asked for, else by `as_text`."""
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        as_text(result)


def say(text: str) -> None:
    """Tell the user something that is no result."""
    print(text, file=sys.stderr, flush=True)


def report(error: JackCaptureError) -> int:
    """Show an error in the way that was asked for, and give its exit status."""
    if options.json:
        print(json.dumps(error.as_json(), indent=2))
    say(f"jackcapture: {error.message}")
    return error.exit_status


def absolute(path: str | None) -> str | None:
    """Make a path absolute: control has a working directory of its own."""
    return None if path is None else os.path.abspath(path)


@contextlib.contextmanager
def progress_bar(operation: str) -> Iterator[Callable[[int, int, str], None] | None]:
    """Give a callback that shows a bar, named by what is done, once it is called; None where nobody looks."""
    if not sys.stderr.isatty():
        yield None
        return
    with contextlib.ExitStack() as stack:
        bars: dict[str, tuple[Any, Any]] = {}  # by unit: long work may have a part that counts files and one of bytes

        def progress(done: int, total: int, unit: str) -> None:
            if unit not in bars:  # most calls end before there is anything to show, so rich is not imported for them
                stack.close()
                bars[unit] = _new_bar(stack, operation, unit)
            bar, task = bars[unit]
            bar.update(task, completed=done, total=total or None)

        yield progress


def _new_bar(stack: contextlib.ExitStack, operation: str, unit: str) -> tuple[Any, Any]:
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    amount = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    bar = stack.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
    return bar, bar.add_task(operation.replace("_", " "))
