"""The live view: levels, rings, heads, gaps, and how long the disk lasts, until it is ended."""

import json
import math
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jackcapture.cli.session import options
from jackcapture.cli.text import amount, duration
from jackcapture.errors import JackCaptureError, UnreachableError
from jackcapture.model.levels import decibels_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from jackcapture.client import Client

_LEVEL_PLACE = "-300ms"
_RUNNING = ("recording", "starved")
_BARS = " ▁▂▃▄▅▆▇█"
_FLOOR_DB = -60.0
_HOT_DB = -3.0
_MAX_BARS = 32  # channels that get a bar of their own


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("watch")(_watch)


def _watch(
    interval: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1, max=60.0)] = 0.5,
    count: Annotated[
        int | None,
        typer.Option(help="End after so many looks. Unless given: at Ctrl-C; without a terminal, after one.", min=1),
    ] = None,
) -> None:
    """Show what records, as it does: levels, rings, gaps, time left on the disk. Ctrl-C ends it."""
    from jackcapture.client import Client  # noqa: PLC0415 - help needs no ZeroMQ

    if count is None and (options.json or not sys.stdout.isatty()):
        count = 1
    with Client(runtime=options.runtime, config=options.config) as client:
        try:
            if options.json:
                _print_looks(client, interval, count or 1)
            else:
                _show_looks(client, interval, count)
        except KeyboardInterrupt:
            return


def _print_looks(client: "Client", interval: float, count: int) -> None:
    """Print one document with the last of some looks."""
    for number in range(count):
        if number:
            time.sleep(interval)
        seen = look(client)
    print(json.dumps(seen, indent=2))


def _show_looks(client: "Client", interval: float, count: int | None) -> None:
    from rich.console import Console  # noqa: PLC0415 - 50 ms
    from rich.live import Live  # noqa: PLC0415

    console = Console()
    if not console.is_terminal:
        for number in range(count or 1):
            if number:
                time.sleep(interval)
            console.print(view(look(client)))
        return
    with Live(console=console, auto_refresh=False, screen=count is None) as live:
        number = 0
        while count is None or number < count:
            if number:
                time.sleep(interval)
            number += 1
            try:
                live.update(view(look(client)), refresh=True)
            except UnreachableError as error:
                if count is not None:
                    raise
                live.update(error.message, refresh=True)  # control may be coming back


def look(client: "Client") -> dict[str, Any]:
    """Give `status`, with the peaks of the last 0.3 s of each audio stream that records: dBFS by channel, or None."""
    status: dict[str, Any] = client.call("status")
    for stream in status["streams"]:
        stream["peak_db"] = None
        if stream["status"] in _RUNNING and stream["format"]["type"] == "audio":
            stream["peak_db"] = _peaks(client, stream["uri"])
    return status


def _peaks(client: "Client", uri: str) -> list[float | None] | None:
    try:
        seen = client.call("stream_overview", uri=uri, from_place=_LEVEL_PLACE, to_place="head", points=1)
    except UnreachableError:
        raise
    except JackCaptureError:  # it has just begun or ended: the next look tells
        return None
    levels = (decibels_of(max(map(abs, (*it["min"], *it["max"])), default=0.0)) for it in seen["waveforms"])
    return [None if level is None else round(level, 1) for level in levels]


def view(status: dict[str, Any]) -> "RenderableType":
    """Draw a look."""
    from rich.console import Group  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("stream", "state", "recorded", "level", "peak", "ring", "gaps"):
        table.add_column(heading, justify="right" if heading in ("recorded", "peak", "ring", "gaps") else "left")
    for stream in status["streams"]:
        table.add_row(*_row(stream))
    lines = [Text(_jack(status)), Text(_store(status)), *map(_session, status["sessions"])]
    lines += [Text(f"warning: {warning}", style="yellow") for warning in status["warnings"]]
    return Group(*(line for line in lines if line.plain), table)


def _row(stream: dict[str, Any]) -> tuple[Any, ...]:
    from rich.text import Text  # noqa: PLC0415

    style = {"recording": "green", "starved": "red", "error": "red"}.get(stream["status"], "dim")
    peaks = stream["peak_db"]
    gaps = f"{stream['gap_count']}" + (f" ({stream['lost_frames']} frames)" if stream["lost_frames"] else "")
    return (
        stream["uri"],
        Text(stream["status"], style=style),
        duration(stream["head_sample"] / stream["format"]["sample_rate"]).split(".")[0],
        _bars(peaks) if peaks else Text("MIDI" if stream["format"]["type"] == "midi" else "", style="dim"),
        _loudest(peaks),
        f"{stream['ring_fill']:.0%}" if stream["status"] in _RUNNING else "",
        Text(gaps, style="red" if stream["gap_count"] else ""),
    )


def _bars(peaks: list[float | None]) -> Any:
    from rich.text import Text  # noqa: PLC0415

    drawn = Text()
    for peak in peaks[:_MAX_BARS]:
        level = 0.0 if peak is None else max(0.0, 1 - peak / _FLOOR_DB)
        style = "red" if peak is not None and peak >= _HOT_DB else "green"
        drawn.append(_BARS[min(len(_BARS) - 1, math.ceil(level * (len(_BARS) - 1)))], style=style)
    if len(peaks) > _MAX_BARS:
        drawn.append(f" +{len(peaks) - _MAX_BARS}", style="dim")
    return drawn


def _loudest(peaks: list[float | None] | None) -> str:
    heard = [peak for peak in peaks or () if peak is not None]
    if not heard:
        return "silent" if peaks else ""
    return f"{max(heard):+.1f} dB"


def _jack(status: dict[str, Any]) -> str:
    jack = status["jack"]
    if not jack["running"]:
        return f"JACK {jack['server']}: not running"
    return f"JACK {jack['server']}: {jack['sample_rate']} Hz, {jack['period']} frames, {jack['xruns']} xruns"


def _store(status: dict[str, Any]) -> str:
    store = status["store"]
    left = "" if store["seconds_left"] is None else f", lasts {duration(store['seconds_left']).split('.')[0]}"
    return f"store: {amount(store['bytes'])}, {amount(store['free_bytes'])} free{left}"


def _session(session: dict[str, Any]) -> Any:
    from rich.text import Text  # noqa: PLC0415

    if session["status"] != "playing":
        return Text()
    return Text(f"{session['id']} ({session['name']}) plays segment {session['segment_count']}", style="green")
