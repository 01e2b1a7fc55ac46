"""Commands on sessions."""

import re
import tomllib
from typing import Annotated, Any

import typer

from jackcapture.cli import text, text_of_templates
from jackcapture.cli.session import absolute, call, show
from jackcapture.errors import InvalidValueError
from jackcapture.model.template_results import template_argument

_NOTE = re.compile(r"([0-9]{1,3})(?:@([0-9]+(?:\.[0-9]+)?))?(?::([0-9]+(?:\.[0-9]+)?))?")

Id = Annotated[str, typer.Argument(help="The session's id, as 'session list' shows it.")]
Suggested = Annotated[str, typer.Argument(help="The suggestion's id, as 'session suggestions' shows it.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    session = typer.Typer(help="Record streams together under one timeline.", no_args_is_help=True)
    for name, function in (
        ("create", _create),
        ("templates", _templates),
        ("play", _play),
        ("stop", _stop),
        ("close", _close),
        ("mark", _mark),
        ("request", _request),
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
    template: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_FILE",
            help="Make it, and its streams, as a template says ('session templates' shows them, FILE.toml is another). "
            "What is given beside it wins, and --stream adds.",
        ),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            help="passive (the default: record what comes), request-response (send MIDI, keep the answer) or triggered "
            "(suggest what stands out)."
        ),
    ] = None,
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
    """Define a session of streams that exist, or of those that a template makes."""
    arguments: dict[str, Any] = {"streams": stream or [], "name": name, "mode": mode, "on_relocate": on_relocate}
    if template is not None:
        arguments["template"] = template_argument(template)
    if settings:
        arguments["settings"] = _settings(settings)
    show(call("session_create", follow_transport=follow_transport, **arguments), text.session)


def _templates(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME_OR_FILE]", help="One template, to be explained in full.")
    ] = None,
) -> None:
    """Show the session templates, or explain one."""
    found = call("session_templates", name=None if name is None else template_argument(name))
    show(found, text_of_templates.templates if name is None else text_of_templates.template)


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


def _request(
    session_id: Id,
    file: Annotated[str | None, typer.Argument(help="A MIDI file.")] = None,
    artifact: Annotated[str | None, typer.Option(help="In place of it: an artifact that is one.")] = None,
    notes: Annotated[
        str | None,
        typer.Option(help="In place of it: NOTE[@MS][:MS] with when it begins and how long it lasts, '60 64@500:250'."),
    ] = None,
    port: Annotated[
        list[str] | None,
        typer.Option(help="A MIDI input, or a pattern over them, in place of the session's request.to."),
    ] = None,
) -> None:
    """Send MIDI to an instrument and keep what the streams have of its answer, until that has decayed."""
    arguments: dict[str, Any] = {"file": absolute(file), "artifact_id": artifact, "to": port}
    if notes is not None:
        arguments["notes"] = [_note(word) for word in notes.split()]
    show(call("session_request", session_id=session_id, **arguments), text.request)


def _note(word: str) -> dict[str, Any]:
    found = _NOTE.fullmatch(word)
    if found is None:
        raise InvalidValueError(
            f"{word!r} is no note: write its number, when it begins and how long it lasts in milliseconds, as in "
            "60@500:250",
            note=word,
        )
    times = {"ms": found[2], "duration_ms": found[3]}
    return {"note": int(found[1])} | {name: float(value) for name, value in times.items() if value is not None}


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
