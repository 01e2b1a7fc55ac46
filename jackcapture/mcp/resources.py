"""Resources: what the recorder has, by URIs, for programs that read without calling a tool."""

import base64
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    BlobResourceContents,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
)

from jackcapture.errors import InvalidValueError, JackCaptureError, NotFoundError, UnreachableError
from jackcapture.mcp.contents import INLINE_BYTES, is_text
from jackcapture.mcp.door import Door

Context = ServerRequestContext[Door, Any]
Contents = TextResourceContents | BlobResourceContents

SCHEME = "jackcapture://"
_JSON = "application/json"

FIXED: Mapping[str, tuple[str, str]] = {
    "status": ("status", "JACK, engine, control, streams, sessions and store at a glance."),
    "streams": ("stream_list", "All streams with their state."),
    "sessions": ("session_list", "The newest 100 sessions."),
    "artifacts": ("artifact_list", "The newest 100 artifacts: slices, pictures, documents."),
}
"""By what stands after the scheme: the operation whose result it is, and what it tells."""

_FIXED_ARGUMENTS: Mapping[str, dict[str, Any]] = {"artifacts": {"limit": 100}}


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of resource: its template, what its URIs look like after the scheme, and how one is read."""

    template: str
    name: str
    help: str
    mime_type: str | None
    pattern: re.Pattern[str]
    read: Callable[[Door, str, Mapping[str, str], Mapping[str, str]], Awaitable[Contents]]
    queries: tuple[str, ...] = ()
    has_state: bool = True
    """It is JSON that changes: one may subscribe to it."""


async def list_resources(context: Context, params: PaginatedRequestParams | None) -> ListResourcesResult:
    """Give what there always is, and each stream and session; while no control runs, what there always is."""
    found = [
        Resource(name=name, uri=SCHEME + name, description=told, mime_type=_JSON) for name, (_, told) in FIXED.items()
    ]
    door = context.lifespan_context
    try:
        streams, sessions = await door.perform("stream_list", {}), await door.perform("session_list", {})
    except UnreachableError:
        return ListResourcesResult(resources=found)
    except JackCaptureError as error:
        raise _raised(error) from None
    for stream in streams:
        uri = stream_resource(stream["uri"])
        told = f"State of {stream['uri']}: takes, gaps, head, connections."
        found.append(Resource(name=stream["uri"], uri=uri, description=told, mime_type=_JSON))
    for session in sessions:
        told = f"Session {session['name']!r} ({session['status']}): segments, marks, timeline."
        uri = f"{SCHEME}sessions/{session['id']}"
        found.append(Resource(name=session["id"], uri=uri, description=told, mime_type=_JSON))
    return ListResourcesResult(resources=found)


async def list_templates(context: Context, params: PaginatedRequestParams | None) -> ListResourceTemplatesResult:
    """Give the templates of the URIs that can be read."""
    return ListResourceTemplatesResult(
        resource_templates=[
            ResourceTemplate(
                name=kind.name, uri_template=SCHEME + kind.template, description=kind.help, mime_type=kind.mime_type
            )
            for kind in KINDS
        ]
    )


async def read_resource(context: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
    """Read one; raises `MCPError` with the error of the operation as its data."""
    try:
        return ReadResourceResult(contents=[await read(context.lifespan_context, params.uri)])
    except JackCaptureError as error:
        raise _raised(error) from None


async def read(door: Door, uri: str) -> Contents:
    """Read a resource by its URI; raises the errors of jackcapture.errors."""
    path, _, query = uri.removeprefix(SCHEME).partition("?")
    if path in FIXED and not query and uri.startswith(SCHEME):
        return _as_json(uri, await door.perform(FIXED[path][0], _FIXED_ARGUMENTS.get(path, {})))
    kind, names = _kind_of(uri, path)
    return await kind.read(door, uri, names, _queries(uri, query, kind.queries))


def check_has_state(uri: str) -> None:
    """Raise `NotFoundError` for a URI that is none, or whose content never changes."""
    path, _, query = uri.removeprefix(SCHEME).partition("?")
    if uri.startswith(SCHEME) and path in FIXED and not query:
        return
    if query or not _kind_of(uri, path)[0].has_state:
        raise NotFoundError(f"{uri[:200]!r} has no state that changes; subscribe to a stream or a session", uri=uri)


def stream_resource(uri: str) -> str:
    """Give the resource that is the state of a stream."""
    return f"{SCHEME}streams/{uri.removeprefix('stream://')}"


def _kind_of(uri: str, path: str) -> tuple[_Kind, dict[str, str]]:
    if uri.startswith(SCHEME):
        for kind in KINDS:
            found = kind.pattern.fullmatch(path)
            if found is not None:
                return kind, found.groupdict()
    known = ", ".join([SCHEME + name for name in FIXED] + [SCHEME + kind.template for kind in KINDS])
    raise NotFoundError(f"no resource {uri[:200]!r}; there are {known}", uri=uri[:200])


def _queries(uri: str, query: str, known: tuple[str, ...]) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=10) if query.count("&") < 10 else [("", "")]
    found = dict(pairs)
    if len(pairs) != len(found) or not set(found) <= set(known):
        raise InvalidValueError(
            f"{uri[:200]!r}: after '?' there may be, each once, {', '.join(known) or 'nothing'}", uri=uri[:200]
        )
    return found


async def _read_stream(door: Door, uri: str, names: Mapping[str, str], query: Mapping[str, str]) -> Contents:
    return _as_json(uri, await door.perform("stream_status", {"uri": f"stream://{names['device']}/{names['name']}"}))


async def _read_session(door: Door, uri: str, names: Mapping[str, str], query: Mapping[str, str]) -> Contents:
    return _as_json(uri, await door.perform("session_status", {"session_id": names["id"]}))


async def _read_artifact(door: Door, uri: str, names: Mapping[str, str], query: Mapping[str, str]) -> Contents:
    return _as_json(uri, await door.perform("artifact_show", {"artifact_id": names["id"]}))


async def _read_content(door: Door, uri: str, names: Mapping[str, str], query: Mapping[str, str]) -> Contents:
    offset, length = _whole_number(uri, query, "offset", 0), _whole_number(uri, query, "length", INLINE_BYTES)
    if length > INLINE_BYTES:
        raise InvalidValueError(f"{uri[:200]!r}: the length must be at most {INLINE_BYTES}", uri=uri[:200])
    piece = await door.read(names["id"], offset, length)
    if not query and not piece.is_whole:
        raise InvalidValueError(
            f"{names['id']} has {piece.total} bytes, and an answer here carries at most {INLINE_BYTES}: read it in "
            f"parts, as {uri[:200]}?offset=0&length={INLINE_BYTES}, or write it to a file with artifact_save",
            uri=uri[:200],
            bytes=piece.total,
        )
    return _as_content(uri, piece.data, piece.mime_type if piece.is_whole else "application/octet-stream")


async def _read_waveform(door: Door, uri: str, names: Mapping[str, str], query: Mapping[str, str]) -> Contents:
    """Draw it, and delete what the drawing left in the store: to read changes nothing."""
    made = await door.perform(
        "stream_waveform",
        {
            "uri": f"stream://{names['device']}/{names['name']}",
            "from_place": query.get("from", "-30s"),
            "to_place": query.get("to", "head"),
        },
    )
    try:
        piece = await door.read(made["artifact_id"])
    finally:
        await door.perform("artifact_delete", {"artifact_id": made["artifact_id"]})
    return _as_content(uri, piece.data, piece.mime_type)


def _whole_number(uri: str, query: Mapping[str, str], name: str, otherwise: int) -> int:
    text = query.get(name, str(otherwise))
    if re.fullmatch(r"[0-9]{1,18}", text) is None:
        raise InvalidValueError(f"{uri[:200]!r}: {name} must be a number of bytes", uri=uri[:200])
    return int(text)


def _as_json(uri: str, result: Any) -> Contents:
    return TextResourceContents(uri=uri, mime_type=_JSON, text=json.dumps(result))


def _as_content(uri: str, data: bytes, mime_type: str) -> Contents:
    if is_text(mime_type):
        try:
            return TextResourceContents(uri=uri, mime_type=mime_type, text=data.decode())
        except UnicodeDecodeError:
            pass  # then it is bytes, whatever it says
    return BlobResourceContents(uri=uri, mime_type=mime_type, blob=base64.b64encode(data).decode())


def _raised(error: JackCaptureError) -> MCPError:
    code = INVALID_PARAMS if isinstance(error, InvalidValueError | NotFoundError) else INTERNAL_ERROR
    return MCPError(code, f"{error.code}: {error.message}", error.as_json()["error"])


_NAME = "[a-z0-9][a-z0-9._-]{0,63}"
_STREAM = rf"streams/(?P<device>{_NAME})/(?P<name>{_NAME})"
_ID = r"(?P<id>[A-Za-z0-9._-]{1,128})"

KINDS: tuple[_Kind, ...] = (
    _Kind(
        "streams/{device}/{name}",
        "stream",
        "The state of stream://{device}/{name}: takes, gaps, head, connections.",
        _JSON,
        re.compile(_STREAM),
        _read_stream,
    ),
    _Kind(
        "streams/{device}/{name}/waveform{?from,to}",
        "waveform",
        "A picture of a range of a stream, by two places; of its last 30 seconds unless given.",
        "image/png",
        re.compile(rf"{_STREAM}/waveform"),
        _read_waveform,
        ("from", "to"),
        has_state=False,
    ),
    _Kind(
        "sessions/{id}",
        "session",
        "A session: segments, marks, timeline.",
        _JSON,
        re.compile(f"sessions/{_ID}"),
        _read_session,
    ),
    _Kind(
        "artifacts/{id}",
        "artifact",
        "What an artifact is, where it came from, and where its file lies.",
        _JSON,
        re.compile(f"artifacts/{_ID}"),
        _read_artifact,
    ),
    _Kind(
        "artifacts/{id}/content{?offset,length}",
        "artifact content",
        f"The bytes of an artifact's file, or of a part of it; at most {INLINE_BYTES} at a time.",
        None,
        re.compile(f"artifacts/{_ID}/content"),
        _read_content,
        ("offset", "length"),
        has_state=False,
    ),
)
