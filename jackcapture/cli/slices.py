"""Commands that cut: slice and grab."""

from typing import Annotated

import typer

from jackcapture.cli import text
from jackcapture.cli.session import absolute, call, show


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("slice")(_slice)
    app.command("grab")(_grab)
    app.command("clock", context_settings={"ignore_unknown_options": True})(_clock)  # a place may be -30s


def _slice(
    uri: Annotated[str, typer.Argument(help="stream://<device>/<name>")],
    from_place: Annotated[
        str,
        typer.Option("--from", help="Where it begins: start, head, -30s, sample:N, a wall clock time, take:1.end, ..."),
    ],
    to_place: Annotated[str, typer.Option("--to", help="Where it ends, likewise.")],
    output_format: Annotated[
        str | None, typer.Option("--format", help="Audio: wav (unless given), flac or raw. MIDI: mid or raw.")
    ] = None,
    sample_format: Annotated[str | None, typer.Option(help="f32, i24 or i16; that of the stream unless given.")] = None,
    between_takes: Annotated[
        str, typer.Option(help="Over several takes: join them, have silence as long as nothing was recorded, or error.")
    ] = "join",
    virtual: Annotated[
        bool, typer.Option("--virtual", help="Keep only where the samples lie; the file is made when it is asked for.")
    ] = False,
    chase: Annotated[
        list[str] | None,
        typer.Option(
            help="MIDI file: bring only this into its beginning: notes, controllers, ...; 'nothing': nothing."
        ),
    ] = None,
    midi_file_type: Annotated[int, typer.Option(help="MIDI file of type 0 or 1.")] = 1,
    out: Annotated[str | None, typer.Option(help="Also write it to this new file.")] = None,
) -> None:
    """Cut a range out of a stream, recorded or live."""
    result = call(
        "stream_slice",
        uri=uri,
        from_place=from_place,
        to_place=to_place,
        output_format=output_format,
        sample_format=sample_format,
        between_takes=between_takes,
        virtual=virtual,
        chase=[word for word in chase if word != "nothing"] if chase else None,
        midi_file_type=midi_file_type,
        out=absolute(out),
    )
    show(result, text.slice_)


def _grab(
    duration: Annotated[str, typer.Argument(help="How long: 30s, 1m30s, 250ms.")],
    uris: Annotated[list[str] | None, typer.Argument(help="Streams; all that record unless named.")] = None,
    out: Annotated[str | None, typer.Option(help="Also write the files into this directory.")] = None,
) -> None:
    """Keep the last DURATION of what is recording, one common range."""
    show(call("grab", duration=duration, uris=uris, out=absolute(out)), text.slices)


def _clock(
    uri: Annotated[str, typer.Argument(help="stream://<device>/<name>")],
    place: Annotated[str, typer.Argument(help="A place: start, head, -30s, take:1.end, ...")] = "head",
) -> None:
    """Show what every clock showed at a place: JACK frame, wall clock, transport, MIDI clock."""
    show(call("stream_clock", uri=uri, place=place), text.clocks)
