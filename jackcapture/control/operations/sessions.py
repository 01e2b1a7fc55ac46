"""Operations on sessions."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from jackcapture.control.operations.describe_sessions import describe_mark, describe_session, summarize_sessions
from jackcapture.control.operations.ranges import find_position
from jackcapture.control.operations.registry import Context, operation
from jackcapture.control.operations.templates import load_template, merged_settings, template_streams
from jackcapture.control.sessions.pre_roll import max_pre_roll
from jackcapture.control.sessions.settings import SessionSettings, session_settings, settings_as_json
from jackcapture.control.templates.reading import ReadTemplate
from jackcapture.errors import ConflictError, InvalidValueError, NotFoundError
from jackcapture.model.results import DoneResult
from jackcapture.model.session_results import MarkResult, SessionResult, SessionSummary
from jackcapture.model.sessions import (
    Session,
    SessionMode,
    parse_mark_name,
    parse_session_mode,
    parse_session_name,
    parse_session_streams,
)
from jackcapture.model.uris import StreamUri, parse_stream_uri


@operation
async def session_create(
    context: Context,
    streams: list[str] | None = None,
    mode: str | None = None,
    name: str | None = None,
    follow_transport: bool = False,
    on_relocate: str | None = None,
    settings: dict[str, Any] | None = None,
    template: str | None = None,
) -> SessionResult:
    """Define a session: streams that are recorded together under one timeline, each of which must exist.

    `mode` is passive (the default: it records what comes), request-response (it also sends MIDI, and keeps the answers)
    or triggered (it records on, and suggests what stands out). `name` is for people; the session is named by the `id`
    in the result. With `follow_transport` a segment lasts as long as JACK's transport rolls, from its next start on,
    until the session is closed; where it is relocated meanwhile, `on_relocate` says what comes of that: mark (the
    default), or segment (the next one begins). `settings` are all others, by their names in docs/sessions.md, such as
    {"request": {"threshold_db": -50}}. `template` is the name of one that `session_templates` gives, or the absolute
    path of another: its streams are made where they do not exist, all or none, and `streams` come after them; all that
    is given beside it wins over what it says.
    """
    base = None if template is None else await load_template(template)
    found = parse_session_mode(mode) if mode is not None else SessionMode.PASSIVE if base is None else base.content.mode
    label = None if name is None else parse_session_name(name)
    if base is not None:
        label = label or base.name
    given = _given(base, found, settings, follow_transport, on_relocate)
    kept = settings_as_json(_checked(context, given), found, given)
    # A template may have all the streams that there are to be.
    named = () if base is not None and base.content.streams and not streams else parse_session_streams(streams or ())
    async with contextlib.AsyncExitStack() as stack:
        made = [] if base is None else await stack.enter_async_context(template_streams(context, base))
        uris = [*made, *(uri for uri in named if uri not in made)]
        session = await context.services.sessions.create(uris, found, label, kept)
    return await _described(context, session)


@operation
async def session_play(context: Context, session_id: str) -> SessionResult:
    """Begin the next segment: every stream of the session records from one JACK frame on.

    A stream that records already goes on; the segment is then a range of its take.
    """
    return await _described(context, await context.services.sessions.play(session_id))


@operation
async def session_stop(context: Context, session_id: str, close: bool = False) -> SessionResult:
    """End the segment on one JACK frame; returns when what was stopped is in the store.

    Only streams that a session began are stopped, each with the last session that records it. With `close` the session
    is also closed.
    """
    return await _described(context, await context.services.sessions.stop(session_id, close=close))


@operation
async def session_close(context: Context, session_id: str) -> SessionResult:
    """Close a session: nothing more can be recorded in it, and its document goes into the store."""
    return await _described(context, await context.services.sessions.close(session_id))


@operation
async def session_mark(
    context: Context, session_id: str, name: str, at: str | None = None, stream: str | None = None
) -> MarkResult:
    """Name a moment of a session, also one in the past, and also when the session is closed.

    Without `at` it is now, while the session plays. `at` is a place, such as -2s or segment:1.start+500ms, in the
    session's first stream that has recorded, or in `stream`.
    """
    checked = parse_mark_name(name)
    sessions = context.services.sessions
    if at is None:
        if stream is not None:
            raise InvalidValueError(
                f"{stream} says in which stream a place is looked for, and there is no place: name it with --at",
                stream=stream,
            )
        return describe_mark(await sessions.mark(session_id, checked))
    session = await asyncio.to_thread(context.services.catalog.sessions.get, session_id)
    uri = _reference(session, stream)
    _, _, position = await find_position(context, uri, at)
    return describe_mark(await sessions.mark_at(session_id, checked, uri, position))


@operation
async def session_list(context: Context) -> tuple[SessionSummary, ...]:
    """Give the newest sessions (at most 100), newest first."""
    services = context.services
    return await services.reads.read("sessions", lambda: summarize_sessions(services.catalog))


@operation
async def session_status(context: Context, session_id: str) -> SessionResult:
    """Give a session with its segments, marks and timeline."""
    return await _described(context, await asyncio.to_thread(context.services.catalog.sessions.get, session_id))


@operation
async def session_delete(context: Context, session_id: str) -> DoneResult:
    """Delete a session with its marks; it must not play. What was recorded stays, as its streams' retention says."""
    await context.services.sessions.delete(session_id)
    return DoneResult()


def _given(
    template: ReadTemplate | None,
    mode: SessionMode,
    settings: Mapping[str, Any] | None,
    follow_transport: bool,
    on_relocate: str | None,
) -> dict[str, Any]:
    """Put together the settings that were given in one way or the other, over those of a template."""
    given = dict(settings or {})
    said: dict[str, Any] = {"follow": True} if follow_transport else {}
    if on_relocate is not None:
        said["on_relocate"] = on_relocate
    transport = given.get("transport", {})
    if said and isinstance(transport, dict):  # else its check says what it must be
        given["transport"] = transport | said
    if template is not None:
        given = merged_settings(template, mode, given)
    if on_relocate is not None:
        transport = given["transport"]
        if isinstance(transport, dict) and not transport.get("follow"):
            raise InvalidValueError(
                f"{on_relocate} says what a relocation makes of a session that follows the transport, and this one "
                "does not: add --follow-transport",
                on_relocate=on_relocate,
            )
    return given


def _checked(context: Context, given: Mapping[str, Any]) -> SessionSettings:
    """Read settings, and compare the pre-roll with what the rings hold."""
    settings, ring_seconds = session_settings(given), context.services.settings.ring_seconds
    if settings.pre_roll_seconds > max_pre_roll(ring_seconds):
        raise InvalidValueError(
            f"pre_roll_seconds = {settings.pre_roll_seconds:g}: the rings hold {ring_seconds:g} s, so it can be at "
            f"most {max_pre_roll(ring_seconds):g}; raise the setting ring_seconds for more",
            key="pre_roll_seconds",
            ring_seconds=ring_seconds,
        )
    return settings


async def _described(context: Context, session: Session) -> SessionResult:
    return await asyncio.to_thread(describe_session, context.services.catalog, session)


def _reference(session: Session, stream: str | None) -> StreamUri:
    """Give the stream in which a place of a session is looked for."""
    if stream is not None:
        uri = parse_stream_uri(stream)
        if uri not in session.streams:
            raise NotFoundError(
                f"{uri} is not in {session.id}, which has {', '.join(session.streams)}", uri=uri, session_id=session.id
            )
        return uri
    recorded = [uri for uri in session.streams if any(it.range_of(uri) is not None for it in session.segments)]
    if not recorded:
        raise ConflictError(
            f"{session.id} has not been played yet, so it has no place that could be marked; play it first",
            session_id=session.id,
        )
    return recorded[0]
