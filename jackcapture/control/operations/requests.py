"""The operation that sends a request and keeps its answer."""

import asyncio

from jackcapture.control.operations.describe_requests import describe_request
from jackcapture.control.operations.registry import Context, operation
from jackcapture.control.sessions.request_content import (
    ContentLimits,
    NoteArgument,
    RequestContent,
    content_of_artifact,
    content_of_file,
    content_of_notes,
)
from jackcapture.control.sessions.settings import session_settings
from jackcapture.errors import InvalidValueError
from jackcapture.model.request_results import RequestResult


@operation(cancellable=True)
async def session_request(
    context: Context,
    session_id: str,
    file: str | None = None,
    artifact_id: str | None = None,
    notes: list[NoteArgument] | None = None,
    to: list[str] | None = None,
) -> RequestResult:
    """Send MIDI to an instrument, and keep what every stream of the session has of its answer, until that has decayed.

    What is sent is one of: `file`, the absolute path of a MIDI file; `artifact_id`, an artifact that is one, such as
    that of an earlier request; `notes`, such as [{"note": 60}, {"note": 64, "ms": 500, "duration_ms": 250,
    "velocity": 100, "channel": 1}]. `to` are MIDI inputs or regular expressions over them, in place of the session's
    setting request.to. The session must be of the mode request-response. If it does not play, a segment is recorded for
    the request. The result names the artifacts: the MIDI that was sent, and the answer of each stream, made from that.
    """
    services = context.services
    given = [
        name for name, value in (("file", file), ("artifact_id", artifact_id), ("notes", notes)) if value is not None
    ]
    if len(given) != 1:
        raise InvalidValueError(
            f"{' and '.join(given) or 'nothing'} to send: name exactly one of a MIDI file, an artifact and notes",
            given=given,
        )

    def read(limits: ContentLimits) -> RequestContent:
        if file is not None:
            return content_of_file(file, limits)
        if artifact_id is not None:
            return content_of_artifact(services.store, services.catalog, artifact_id, limits)
        return content_of_notes(notes or (), limits)

    request = await services.requests.request(session_id, read, to or (), context)
    session = await asyncio.to_thread(services.catalog.sessions.get, session_id)
    return describe_request(request, session_settings(session.settings).request)
