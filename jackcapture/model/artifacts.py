"""Artifacts: what the catalog says of a content hash."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Artifact:
    """A catalog entry for content.

    `kind` is what it is to its user (slice, overview, definition, manifest); `parents` are ids of the artifacts that it
    was made from; `metadata` is JSON, its shape given by the kind.
    """

    id: str
    kind: str
    content_hash: str
    mime_type: str
    bytes: int
    created_at_ns: int
    stream_uri: str | None = None
    parents: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
