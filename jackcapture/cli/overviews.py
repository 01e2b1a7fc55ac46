"""The commands that show what was recorded: overview and waveform."""

import math
import shutil
from typing import Annotated, Any

import typer

from jackcapture.cli import text
from jackcapture.cli.session import absolute, call, options, show
from jackcapture.model.levels import level_in_words

_JSON_POINTS = 1000
_LEVELS = " ▁▂▃▄▅▆▇█"
_ROWS = 4  # of a channel; each shows as many levels as there are blocks


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("overview")(_overview)
    app.command("waveform")(_waveform)


def _overview(
    uri: Annotated[str, typer.Argument(help="stream://<device>/<name>")],
    from_place: Annotated[str, typer.Option("--from", help="Where it begins: start, head, -30s, sample:N.")] = "start",
    to_place: Annotated[str, typer.Option("--to", help="Where it ends, likewise.")] = "head",
    points: Annotated[int | None, typer.Option(help="At most so many; else 1000, or the terminal's width.")] = None,
) -> None:
    """Show what a range of a stream looks like, recorded or live."""
    if points is None:
        points = _JSON_POINTS if options.json else shutil.get_terminal_size().columns
    show(call("stream_overview", uri=uri, from_place=from_place, to_place=to_place, points=points), _draw)


def _waveform(
    uri: Annotated[str, typer.Argument(help="stream://<device>/<name>")],
    from_place: Annotated[str, typer.Option("--from", help="Where it begins: start, head, -30s, sample:N.")],
    to_place: Annotated[str, typer.Option("--to", help="Where it ends, likewise.")],
    output_format: Annotated[
        str, typer.Option("--format", help="png (a picture), or dat or json (audiowaveform's peaks).")
    ] = "png",
    width: Annotated[int | None, typer.Option(help="Pixels of a picture; 1200 unless given.")] = None,
    height: Annotated[int | None, typer.Option(help="Likewise; what the channels need unless given.")] = None,
    points: Annotated[int | None, typer.Option(help="Peaks: at most so many; 1000 unless given.")] = None,
    frames_per_point: Annotated[int | None, typer.Option(help="Peaks: one for so many frames.")] = None,
    bits: Annotated[int | None, typer.Option(help="Peaks: of 8 bits (unless given) or 16.")] = None,
    out: Annotated[str | None, typer.Option(help="Also write it to this new file.")] = None,
) -> None:
    """Make a picture of a range of a stream, recorded or live, or peaks for others to draw."""
    result = call(
        "stream_waveform",
        uri=uri,
        from_place=from_place,
        to_place=to_place,
        output_format=output_format,
        width=width,
        height=height,
        points=points,
        frames_per_point=frames_per_point,
        bits=bits,
        out=absolute(out),
    )
    show(result, text.waveform)


def _draw(result: dict[str, Any]) -> None:
    """Print a waveform per channel: the peak of each point, drawn so that the highest of all fills the rows."""
    first, last = result["sample_range"]
    rate = result["sample_rate"]
    print(
        f"{result['stream_uri']} {first} to {last} ({text.duration((last - first) / rate)}), "
        f"{text.duration(result['frames_per_point'] / rate)} a column"
    )
    peaks = [
        [max(-low, high) for low, high in zip(channel["min"], channel["max"], strict=True)]
        for channel in result["waveforms"]
    ]
    highest = max(max(channel) for channel in peaks)
    for number, (channel, waveform) in enumerate(zip(peaks, result["waveforms"], strict=True), 1):
        rms = math.sqrt(sum(value * value for value in waveform["rms"]) / len(waveform["rms"]))
        print(f"channel {number}: peak {level_in_words(max(channel))}, RMS {level_in_words(rms)}")
        for row in _rows(channel, highest):
            print(row.rstrip())
    for gap in result["gaps"]:
        print(f"gap: {gap['frames']} frames at {gap['position']} ({gap['cause']})")


def _rows(peaks: list[float], highest: float) -> list[str]:
    """Draw bars, the top row first."""
    per_row = len(_LEVELS) - 1
    # What is not silence shows, however low it is.
    heights = [0 if peak <= 0 else max(1, round(peak / highest * _ROWS * per_row)) for peak in peaks]
    return [
        "".join(_LEVELS[min(max(height - row * per_row, 0), per_row)] for height in heights)
        for row in reversed(range(_ROWS))
    ]
