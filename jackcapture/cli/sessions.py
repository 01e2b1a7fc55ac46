"""Commands on sessions."""

import tomllib
from typing import Annotated, Any

import typer

from jackcapture.cli import text
from jackcapture.cli.session import absolute, call, show
from jackcapture.errors import InvalidValueError

Id = Annotated[str, typer.Argument(help="The session's id, as 'session list' shows it.")]
Suggested = Annotated[str, typer.Argument(help="The suggestion's id, as 'session suggestions' shows it.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    session = typer.Typer(help="Record streams together under one timeline.", no_args_is_help=True)
    for name, function in (
        ("create", _create),
        ("play", _play),
        ("stop", _stop),
        ("close", _close),
        ("mark", _mark),
        ("suggestions", _suggestions),
        ("accept", _accept),
        ("dismiss", _dismiss),
        ("export", _export),
        ("list", _list),
        ("status", _status),
        ("delete", _delete),
    ):
        session.command(name)(function)
    app.add_typer(session, name="session")


def _create(
    stream: Annotated[list[str] | None, typer.Option(help="stream://<device>/<name>, one or more.")] = None,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    mode: Annotated[
        str,
        typer.Option(
            help="passive (record what comes), request-response (send MIDI, keep the answer) or triggered (suggest "
            "what stands out)."
        ),
    ] = "passive",
    follow_transport: Annotated[
        bool, typer.Option("--follow-transport", help="Record while JACK's transport rolls.")
    ] = False,
    on_relocate: Annotated[
        str | None,
        typer.Option(help="What a relocation makes while the transport rolls: mark (the default), or segment."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any other setting, such as trigger.threshold_db=-30 or pre_roll_seconds=2.",
        ),
    ] = None,
) -> None:
    """Define a session of streams that exist."""
    arguments: dict[str, Any] = {"streams": stream or [], "name": name, "mode": mode, "on_relocate": on_relocate}
    if settings:
        arguments["settings"] = _settings(settings)
    show(call("session_create", follow_transport=follow_transport, **arguments), text.session)


def _settings(given: list[str]) -> dict[str, Any]:
    """Read KEY=VALUE, where KEY has dots and VALUE is as in TOML; what is no TOML is text."""
    found: dict[str, Any] = {}
    for setting in given:
        key, equals, value = setting.partition("=")
        *parts, last = key.strip().split(".")
        if not equals or not last or not all(parts):
            raise InvalidValueError(
                f"{setting!r} sets nothing: write KEY=VALUE, such as trigger.threshold_db=-30", setting=setting
            )
        place = found
        for part in parts:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise InvalidValueError(f"{setting!r}: {part} is given a value of its own as well", setting=setting)
        place[last] = _toml_value(value)
    return found


def _toml_value(text: str) -> Any:
    try:
        value = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return value["value"] if len(value) == 1 else text


def _play(session_id: Id) -> None:
    """Begin the next segment: all streams record from one frame on."""
    show(call("session_play", session_id=session_id), text.session)


def _stop(
    session_id: Id,
    close: Annotated[bool, typer.Option("--close", help="Also close the session.")] = False,
) -> None:
    """End the segment; returns when everything is in the store."""
    show(call("session_stop", session_id=session_id, close=close), text.session)


def _close(session_id: Id) -> None:
    """Close the session: nothing more can be recorded in it."""
    show(call("session_close", session_id=session_id), text.session)


def _mark(
    session_id: Id,
    name: Annotated[str, typer.Argument(help="A name for the moment; each once in a session.")],
    at: Annotated[str | None, typer.Option(help="A place, such as -2s or segment:1.start; now unless given.")] = None,
    stream: Annotated[str | None, typer.Option(help="The stream in which the place is looked for.")] = None,
) -> None:
    """Name a moment of the session, now or in the past."""
    show(call("session_mark", session_id=session_id, name=name, at=at, stream=stream), text.mark)


def _suggestions(
    session_id: Annotated[str | None, typer.Argument(help="Of this session; of all unless given.")] = None,
    status: Annotated[str | None, typer.Option(help="Only open, pending, accepted or dismissed ones.")] = None,
    is_all: Annotated[bool, typer.Option("--all", help="Also those that were accepted or dismissed.")] = False,
) -> None:
    """Show what stood out in triggered sessions and is not decided, newest first."""
    found = call("suggestion_list", session_id=session_id, status=status)
    if status is None and not is_all:
        found = [it for it in found if it["decided_at"] is None]
    show(found, text.suggestions)


def _accept(
    suggestion_id: Suggested,
    output_format: Annotated[
        str | None, typer.Option("--format", help="Of audio: wav (unless given), flac or raw.")
    ] = None,
    sample_format: Annotated[str | None, typer.Option(help="f32, i24 or i16; that of the stream unless given.")] = None,
) -> None:
    """Cut what is suggested out of all streams of the session."""
    accepted = call(
        "suggestion_accept", suggestion_id=suggestion_id, output_format=output_format, sample_format=sample_format
    )
    show(accepted, text.accepted)


def _dismiss(suggestion_id: Suggested) -> None:
    """Note that a suggestion is not wanted; nothing is removed."""
    show(call("suggestion_dismiss", suggestion_id=suggestion_id), lambda it: print(f"{it['id']} is dismissed"))


def _export(
    session_id: Id,
    out: Annotated[str, typer.Option(help="A new folder, or a new archive.")],
    output_format: Annotated[
        str, typer.Option("--format", help="folder, tar (one file), bagit (with checksums) or reaper (with a project).")
    ] = "folder",
) -> None:
    """Write all that the session has: audio, MIDI, marks, timeline, and a README that explains them."""
    show(call("session_export", session_id=session_id, out=absolute(out), output_format=output_format), text.export)


def _list() -> None:
    """Show the newest sessions."""
    show(call("session_list"), text.sessions)


def _status(session_id: Id) -> None:
    """Show a session with its segments and marks."""
    show(call("session_status", session_id=session_id), text.session)


def _delete(session_id: Id) -> None:
    """Delete a session; what was recorded stays, as its streams' retention says."""
    show(call("session_delete", session_id=session_id), lambda _: print(f"{session_id} is deleted"))
