"""Operations on sessions."""

import asyncio
from typing import Any

from jackcapture.control.operations.describe_sessions import describe_mark, describe_session, summarize_sessions
from jackcapture.control.operations.ranges import find_position
from jackcapture.control.operations.registry import Context, operation
from jackcapture.control.sessions.settings import session_settings, settings_as_json
from jackcapture.errors import ConflictError, InvalidValueError, NotFoundError
from jackcapture.model.results import DoneResult
from jackcapture.model.session_results import MarkResult, SessionResult, SessionSummary
from jackcapture.model.sessions import (
    Session,
    parse_mark_name,
    parse_session_mode,
    parse_session_name,
    parse_session_streams,
)
from jackcapture.model.uris import StreamUri, parse_stream_uri


@operation
async def session_create(
    context: Context,
    streams: list[str],
    mode: str = "passive",
    name: str | None = None,
    follow_transport: bool = False,
    on_relocate: str | None = None,
    settings: dict[str, Any] | None = None,
) -> SessionResult:
    """Define a session: streams that are recorded together under one timeline, each of which must exist.

    `mode` is passive (it records what comes), request-response (it also sends MIDI, and keeps the answers) or triggered
    (it records on, and suggests what stands out). `name` is for people; the session is named by the `id` in the result.
    With `follow_transport` a segment lasts as long as JACK's transport rolls, from its next start on, until the session
    is closed; where it is relocated meanwhile, `on_relocate` says what comes of that: mark (the default), or segment
    (the next one begins). `settings` are all others, by their names in docs/sessions.md, such as
    {"request": {"threshold_db": -50}}.
    """
    found = parse_session_mode(mode)
    uris = parse_session_streams(streams)
    label = None if name is None else parse_session_name(name)
    if on_relocate is not None and not follow_transport:
        raise InvalidValueError(
            f"{on_relocate} says what a relocation makes of a session that follows the transport, and this one does "
            "not: add --follow-transport",
            on_relocate=on_relocate,
        )
    given = dict(settings or {})
    if follow_transport:
        transport = given.get("transport", {})
        if isinstance(transport, dict):  # else its check says what it must be
            given["transport"] = transport | {"follow": True}
            if on_relocate is not None:
                given["transport"]["on_relocate"] = on_relocate
    kept = settings_as_json(session_settings(given), found, given)
    return await _described(context, await context.services.sessions.create(uris, found, label, kept))


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
