"""Commands on streams."""

from typing import Annotated

import typer

from jackcapture.cli import text
from jackcapture.cli.session import call, show

Uri = Annotated[str, typer.Argument(help="stream://<device>/<name>")]
Uris = Annotated[list[str], typer.Argument(help="stream://<device>/<name>, one or more")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    stream = typer.Typer(help="Define, start and stop streams.", no_args_is_help=True)
    for name, function in (
        ("create", _create),
        ("start", _start),
        ("stop", _stop),
        ("list", _list),
        ("status", _status),
    ):
        stream.command(name)(function)
    app.add_typer(stream, name="stream")


def _create(
    uri: Uri,
    channels: Annotated[int | None, typer.Option(help="How many audio channels, 1 to 1024.")] = None,
    midi: Annotated[bool, typer.Option("--midi", help="A MIDI stream instead of audio.")] = False,
    source: Annotated[list[str] | None, typer.Option(help="A port, or a pattern over ports, to connect.")] = None,
    sample_format: Annotated[
        str | None, typer.Option("--format", help="f32, i24 or i16; f32 unless given. Not for MIDI.")
    ] = None,
    chunk_bytes: Annotated[int | None, typer.Option(help="Bytes of a chunk; at least 4096.")] = None,
    rate: Annotated[int | None, typer.Option(help="Sample rate in Hz; JACK's unless given.")] = None,
) -> None:
    """Define a stream and put its ports into the JACK graph."""
    result = call(
        "stream_create",
        uri=uri,
        channels=channels,
        midi=midi,
        sources=source,
        sample_format=sample_format,
        chunk_size_bytes=chunk_bytes,
        sample_rate=rate,
    )
    show(result, text.stream)


def _start(
    uris: Uris,
    at: Annotated[
        str, typer.Option(help="now, a time before now such as -5s (as far as the ring holds), or a JACK frame.")
    ] = "now",
) -> None:
    """Begin to record; several streams begin on the same frame."""
    show(call("stream_start", uris=uris, at=at), text.streams)


def _stop(uris: Uris) -> None:
    """End recording; returns when everything is in the store."""
    show(call("stream_stop", uris=uris), text.streams)


def _list() -> None:
    """Show all streams."""
    show(call("stream_list"), text.streams)


def _status(uri: Uri) -> None:
    """Show one stream."""
    show(call("stream_status", uri=uri), text.stream)
