"""A call of a tool: the operation, its progress, its cancellation, and its result or error as an agent reads it."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    BlobResourceContents,
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    TextContent,
)

from jackcapture.errors import InvalidValueError, JackCaptureError, UnreachableError
from jackcapture.mcp.contents import (
    INLINE_BYTES,
    as_text,
    content_uri,
    is_text,
    link,
    media,
    shortened,
    structured,
)
from jackcapture.mcp.door import Door
from jackcapture.mcp.tools import TOOLS, Shows

Context = ServerRequestContext[Door, Any]


async def call_tool(context: Context, params: CallToolRequestParams) -> CallToolResult:
    """Do what a tool is for. What control refuses is a result with `is_error`, for the agent to do better."""
    if params.name not in TOOLS:
        raise MCPError(INVALID_PARAMS, f"no tool {params.name[:80]!r}; there are {', '.join(TOOLS)}")
    try:
        return await _answer(context, params.name, params.arguments or {})
    except JackCaptureError as error:
        return failed(error)


def failed(error: JackCaptureError) -> CallToolResult:
    """Give an error: its code and message as text, and the one JSON shape of errors as structured content."""
    text = f"{error.code}: {error.message}"
    if isinstance(error, UnreachableError):
        text += " (The user can do that in a terminal.)"
    return CallToolResult(content=[TextContent(text=text)], structured_content=error.as_json(), is_error=True)


async def _answer(context: Context, name: str, arguments: Mapping[str, Any]) -> CallToolResult:
    door, shows = context.lifespan_context, TOOLS[name].shows
    if shows is Shows.CONTENT:
        return await _content(door, arguments)

    async def progress(done: int, total: int, unit: str) -> None:
        await context.session.report_progress(done, total or None, unit)

    result = await door.perform(name, arguments, progress)
    whole, cut_to = shortened(structured(result))
    blocks: list[ContentBlock] = [as_text(whole, cut_to)]
    made = (result if isinstance(result, list) else [result]) if shows is not Shows.NOTHING else []
    if shows is Shows.PICTURE:
        blocks += [picture for it in made if (picture := await _picture(door, it)) is not None]
    blocks += [link(it) for it in made]
    return CallToolResult(content=blocks, structured_content=whole)


async def _picture(door: Door, made: Mapping[str, Any]) -> ImageContent | None:
    """Give the picture that was made; None if it is none, or too large for an answer."""
    if not made["mime_type"].startswith("image/") or made["bytes"] > INLINE_BYTES:
        return None
    piece = await door.read(made["artifact_id"])
    return ImageContent(data=base64.b64encode(piece.data).decode(), mime_type=piece.mime_type)


async def _content(door: Door, arguments: Mapping[str, Any]) -> CallToolResult:
    """Read an artifact: all of it as what it is, or the range that is asked for as bytes, or a link to it."""
    asked = arguments.get("length", INLINE_BYTES)
    if isinstance(asked, int) and asked > INLINE_BYTES:
        asked = min(asked, 1 << 63)
        raise InvalidValueError(
            f"a length of {asked} bytes: an answer here carries at most {INLINE_BYTES}; read it in parts, by offset, "
            "or write it to a file with artifact_save",
            length=asked,
        )
    found = await door.perform("artifact_read", {**arguments, "length": asked})
    encoded, facts = found["base64"], {key: value for key, value in found.items() if key != "base64"}
    uri = content_uri(found["artifact_id"])
    blocks: list[ContentBlock] = [TextContent(text=json.dumps(facts))]
    if found["offset"] == 0 and found["length"] == found["total"]:
        blocks.append(media(uri, found["mime_type"], encoded, text_of(found["mime_type"], encoded)))
    elif "length" in arguments or "offset" in arguments:
        part = f"{uri}?offset={found['offset']}&length={found['length']}"
        blob = BlobResourceContents(uri=part, mime_type="application/octet-stream", blob=encoded)
        blocks.append(EmbeddedResource(resource=blob))
    else:
        total = found["total"]
        blocks[0] = TextContent(
            text=f"It has {total} bytes, and an answer here carries at most {INLINE_BYTES}: read it in parts, by "
            "offset and length, write it to a file with artifact_save, or make a shorter one (of a slice: as flac)."
        )
        blocks.append(link({**facts, "bytes": total}))
    return CallToolResult(content=blocks)


def text_of(mime_type: str, encoded: str) -> str | None:
    """Give the text of a file in base64, if it is text."""
    if not is_text(mime_type):
        return None
    try:
        return base64.b64decode(encoded).decode()
    except UnicodeDecodeError:
        return None
