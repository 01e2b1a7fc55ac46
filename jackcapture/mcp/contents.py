"""Results as the content of an answer: text, links, pictures, sound."""

import json
from collections.abc import Mapping
from typing import Any

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
)

INLINE_BYTES = 384 << 10
"""The most of an artifact that one answer carries: the SDK's client refuses events above 1 MiB, base64 included."""
MAX_TEXT = 150_000
"""Characters of a result that are also given as text; agents that read structured content need no copy."""
MAX_RESULT = 450_000
"""Characters of a result; it may stand twice in an event, and its quotes escaped."""
_SHORTEST = 8

_SPOKEN_TYPES = {"audio/vnd.wave": "audio/wav", "audio/x-wav": "audio/wav"}
"""What programs that play sound call a type."""


def content_uri(artifact_id: str) -> str:
    """Give the URI of the resource that is an artifact's file."""
    return f"jackcapture://artifacts/{artifact_id}/content"


def structured(result: Any) -> dict[str, Any]:
    """Give a result as an object: a list stands under `result`."""
    return result if isinstance(result, dict) else {"result": result}


def shortened(result: dict[str, Any]) -> tuple[dict[str, Any], int | None]:
    """Cut the lists of a result that no client would take, and give how many items are left of each; None: all."""
    if len(json.dumps(result)) <= MAX_RESULT:
        return result, None
    items = 1024
    while True:
        cut: dict[str, Any] = _cut_lists(result, items)
        if len(json.dumps(cut)) <= MAX_RESULT or items <= _SHORTEST:
            return cut, items
        items //= 2


def as_text(result: dict[str, Any], cut_to: int | None) -> TextContent:
    """Give a result as JSON, or, where that is long, say where it is."""
    text = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
    if cut_to is not None:
        return TextContent(
            text=f"The result is in the structured content; its lists are cut to their first {cut_to} items. Ask for "
            "less, or use the command line or Python, which give all of it."
        )
    if len(text) > MAX_TEXT:
        return TextContent(text="The result is in the structured content.")
    return TextContent(text=text)


def link(artifact: Mapping[str, Any]) -> ResourceLink:
    """Give the link to the content of what a result tells of: `artifact_id`, and `rendered_*` or `mime_type`."""
    rendered = artifact.get("rendered_type")
    return ResourceLink(
        name=artifact["artifact_id"],
        uri=content_uri(artifact["artifact_id"]),
        mime_type=rendered or artifact["mime_type"],
        size=artifact["rendered_bytes"] if rendered else artifact.get("bytes"),
    )


def media(uri: str, mime_type: str, base64: str, text: str | None) -> ContentBlock:
    """Give the whole of a file as what it is: sound, picture, text, else bytes. `text`: its bytes, if they are that."""
    if mime_type.startswith("image/"):
        return ImageContent(data=base64, mime_type=mime_type)
    if mime_type.startswith("audio/") and mime_type != "audio/midi":
        return AudioContent(data=base64, mime_type=_SPOKEN_TYPES.get(mime_type, mime_type))
    if text is not None:
        return TextContent(text=text)
    return EmbeddedResource(resource=BlobResourceContents(uri=uri, mime_type=mime_type, blob=base64))


def is_text(mime_type: str) -> bool:
    """Tell whether a file of this type is text."""
    return mime_type.startswith("text/") or mime_type == "application/json" or mime_type.endswith("+json")


def _cut_lists(value: Any, items: int) -> Any:
    if isinstance(value, list):
        return [_cut_lists(item, items) for item in value[:items]]
    if isinstance(value, dict):
        return {key: _cut_lists(item, items) for key, item in value.items()}
    return value
