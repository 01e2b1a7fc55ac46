"""Commands that run processes: up, down, demo."""

import contextlib
import dataclasses
import json
import os
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jackcapture.cli.session import call, control_pid, options, say, show
from jackcapture.settings import Settings

if TYPE_CHECKING:
    from jackcapture.client import Client

_WATCH_SECONDS = 0.2


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("up")(_up)
    app.command("down")(_down)
    app.command("demo")(_demo)


def _up(
    dummy: Annotated[bool, typer.Option("--dummy", help="With a private JACK server on the dummy driver.")] = False,
) -> None:
    """Run control and engine in the foreground until interrupted; then seal what is recorded."""
    from jackcapture.cli.service import Service  # noqa: PLC0415
    from jackcapture.client import Client  # noqa: PLC0415
    from jackcapture.processes.http_door import HttpDoor  # noqa: PLC0415
    from jackcapture.processes.rig import Rig  # noqa: PLC0415

    settings = options.settings()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with (
        _jack_server(settings, dummy) as settings,
        HttpDoor(settings, options.config) as door,  # it may take its time to end: what is recorded is sealed first
        Rig(settings, options.config, lambda: control_pid(settings, _has_engine)) as rig,
    ):
        door.open()
        with Client(runtime=settings.runtime) as client:
            status = _tell_ready(settings, client)
        service = Service(settings.runtime)
        service.ready(status)
        while not ended.wait(_WATCH_SECONDS):
            door.keep()
            if not rig.keep():
                break
            service.tend()
        service.stopping()


def _down() -> None:
    """End what 'up' runs, from another terminal."""
    show(call("shutdown"), lambda _: print("ending; what is recorded is sealed first"))


def _demo(
    seconds: Annotated[float, typer.Option(help="How long to record.", min=2.0, max=3600.0)] = 12.0,
    out: Annotated[str, typer.Option(help="A directory for the results; made if it is not there.")] = "",
) -> None:
    """Record real JACK clients on a private server, grab while recording, and leave the files."""
    from jackcapture.cli.demo import run_demo  # noqa: PLC0415

    run_demo(seconds, out, options.server)


def _has_engine(status: dict[str, Any]) -> bool:
    return status["engine"] is not None


def _tell_ready(settings: Settings, client: "Client") -> dict[str, Any]:
    status: dict[str, Any] = client.call("status")
    if not status["jack"]["running"]:
        say(f"JACK server {settings.server!r} is not running; the streams are attached when it is")
    for warning in status["warnings"]:
        say(f"warning: {warning}")
    if status["http"]:
        say(f"MCP over HTTP: {status['http']['url']}, with the token in {status['http']['token_file']}")
    ready = {
        "ready": True,
        "root": settings.root,
        "runtime": settings.runtime,
        "server": settings.server,
        "pid": os.getpid(),
        "control": status["control"]["pid"],
        "engine": status["engine"]["pid"],
        "http": status["http"],
    }
    print(json.dumps(ready) if options.json else "ready", flush=True)
    return status


@contextlib.contextmanager
def _jack_server(settings: Settings, dummy: bool) -> Iterator[Settings]:
    """Give the settings, with a private JACK server if that is asked for."""
    if not dummy:
        yield settings
        return
    from jackcapture.processes.jackd import DummyServer  # noqa: PLC0415

    with DummyServer() as server:
        say(f"JACK server {server.name} on the dummy driver; JACK_DEFAULT_SERVER={server.name} for your clients")
        yield dataclasses.replace(settings, server=server.name)
