"""Commands that send MIDI."""

import re
from typing import Annotated, Any

import typer

from jackcapture.cli import text
from jackcapture.cli.session import call, show
from jackcapture.errors import InvalidValueError

Output = Annotated[str, typer.Option(help="Name of the port from which it is sent.")]

_MESSAGE = re.compile(r"(?:([0-9]+(?:\.[0-9]+)?)ms:)?([0-9A-Fa-f ]+)")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    midi = typer.Typer(help="Send MIDI at exact frames.", no_args_is_help=True)
    for name, function in (("send", _send), ("cancel", _cancel), ("list", _list)):
        midi.command(name)(function)
    app.add_typer(midi, name="midi")


def _send(
    messages: Annotated[
        list[str], typer.Argument(help="In hexadecimal, with milliseconds before it: '90 40 7f' '500ms:80 40 40'.")
    ],
    to: Annotated[list[str] | None, typer.Option(help="A port, or a pattern over ports, to connect first.")] = None,
    at: Annotated[str, typer.Option(help="now (as soon as may be), or a JACK frame.")] = "now",
    output: Output = "midi-out",
    wait: Annotated[bool, typer.Option(help="Wait until all is sent.")] = True,
) -> None:
    """Send MIDI messages, each at its exact frame; tells which were late."""
    events = [_event(message) for message in messages]
    show(call("midi_send", events=events, to=to, at=at, output=output, wait=wait), text.midi_output)


def _cancel(output: Output = "midi-out") -> None:
    """Send nothing more, and end the notes that sound."""
    show(call("midi_cancel", output=output), text.midi_output)


def _list() -> None:
    """Show our MIDI outputs."""
    show(call("midi_list"), text.midi_outputs)


def _event(message: str) -> dict[str, Any]:
    found = _MESSAGE.fullmatch(message)
    if found is None:
        raise InvalidValueError(
            f"{message!r} is no MIDI message: write its bytes in hexadecimal, '90 40 7f', or with the time at which to "
            "send it, '500ms:80 40 40'",
            message=message,
        )
    return {"ms": float(found[1] or 0), "data": found[2]}
