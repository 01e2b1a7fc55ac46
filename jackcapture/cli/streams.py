"""Commands on streams."""

from typing import Annotated

import typer

from jackcapture.cli import text
from jackcapture.cli.session import call, show
from jackcapture.errors import InvalidValueError

Uri = Annotated[str, typer.Argument(help="stream://<device>/<name>")]
Uris = Annotated[list[str], typer.Argument(help="stream://<device>/<name>, one or more")]

Keep = Annotated[str | None, typer.Option(help="Keep so much recorded time, such as 24h.")]
KeepBytes = Annotated[str | None, typer.Option(help="Keep so many bytes, such as 50GB.")]
KeepChunks = Annotated[int | None, typer.Option(help="Keep so many sealed chunks.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    stream = typer.Typer(help="Define, start and stop streams.", no_args_is_help=True)
    for name, function in (
        ("create", _create),
        ("start", _start),
        ("stop", _stop),
        ("list", _list),
        ("status", _status),
        ("keep", _keep),
        ("pin", _pin),
        ("unpin", _unpin),
        ("pins", _pins),
        ("delete", _delete),
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
    keep: Keep = None,
    keep_bytes: KeepBytes = None,
    keep_chunks: KeepChunks = None,
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
        keep=keep,
        keep_bytes=keep_bytes,
        keep_chunks=keep_chunks,
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


def _keep(
    uri: Uri,
    keep: Keep = None,
    keep_bytes: KeepBytes = None,
    keep_chunks: KeepChunks = None,
    everything: Annotated[bool, typer.Option("--everything", help="Keep all, without a limit.")] = False,
) -> None:
    """Say how much of a stream is kept; older chunks are removed, unless a slice or a pin needs them."""
    if everything == any(limit is not None for limit in (keep, keep_bytes, keep_chunks)):
        raise InvalidValueError(
            f"{uri}: name what to keep: --keep, --keep-bytes or --keep-chunks, any of them, or else --everything"
        )
    result = call("stream_keep", uri=uri, keep=keep, keep_bytes=keep_bytes, keep_chunks=keep_chunks)
    show(result, lambda kept: print(f"{uri}: {text.retention(kept)}"))


def _pin(
    uri: Uri,
    name: Annotated[str, typer.Argument(help="A name for the range.")],
    from_place: Annotated[str, typer.Option("--from", help="A place: start, head, -30s, sample:N.")],
    to_place: Annotated[str, typer.Option("--to", help="A place.")],
) -> None:
    """Keep a range of a stream, whatever its retention says."""
    result = call("stream_pin", uri=uri, name=name, from_place=from_place, to_place=to_place)
    show(result, lambda pin: text.pins([pin]))


def _unpin(uri: Uri, name: Annotated[str, typer.Argument(help="The pin's name.")]) -> None:
    """Let go of a pinned range."""
    show(call("stream_unpin", uri=uri, name=name), lambda _: print(f"{uri}: {name} is not pinned any more"))


def _pins(uri: Uri) -> None:
    """Show the pinned ranges of a stream."""
    show(call("stream_pins", uri=uri), text.pins)


def _delete(uri: Uri) -> None:
    """Delete a stream with all that it recorded; what was cut out of it stays."""
    show(call("stream_delete", uri=uri), lambda _: print(f"{uri} is deleted"))
