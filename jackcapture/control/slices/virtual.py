"""Virtual slices: the layout of a file as a document in the store, rendered when somebody asks for its bytes. Blocks.

docs/store.md has the document's schema.
"""

import base64
import json
from typing import Annotated, Any, Literal

import pydantic

from jackcapture.control.slices.layouts import ChunkBytes, Layout, OwnBytes, Part, Zeros
from jackcapture.control.slices.requests import SLICE_TYPE
from jackcapture.errors import InvalidValueError, JackCaptureError, StorageDamagedError
from jackcapture.model.addresses import Content, Staging
from jackcapture.model.artifacts import Artifact
from jackcapture.model.uris import StreamUri, parse_stream_uri
from jackcapture.store import Store

_Count = Annotated[int, pydantic.Field(ge=0, lt=1 << 63)]


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)


class _ChunkPart(_Model):
    take: _Count
    chunk: _Count
    content_hash: str | None = None
    staging_id: str | None = None
    offset: _Count
    length: _Count


class _OwnPart(_Model):
    base64: str


class _SilentPart(_Model):
    silence: _Count


class _Document(_Model):
    type: Literal["application/vnd.jackcapture.slice+json"]
    version: Literal[1]
    store_uuid: str
    stream_uri: str
    sample_range: tuple[_Count, _Count]
    mime_type: str
    bytes: _Count
    parts: list[_ChunkPart | _OwnPart | _SilentPart]


def render_document(store: Store, layout: Layout, sample_range: tuple[int, int], mime_type: str) -> bytes:
    """Write the document of a virtual slice that is a file of this MIME type."""
    document = {
        "type": SLICE_TYPE,
        "version": 1,
        "store_uuid": store.uuid,
        "stream_uri": layout.uri,
        "sample_range": list(sample_range),
        "mime_type": mime_type,
        "bytes": layout.length,
        "parts": [_part_as_json(part) for part in layout.parts],
    }
    # Without indentation: only then json's encoder is the one in C, which takes a twentieth of the time.
    return (json.dumps(document, sort_keys=True) + "\n").encode()


def read_document(store: Store, artifact: Artifact) -> tuple[Layout, str]:
    """Give the layout of a virtual slice and the MIME type of its file; raises `StorageDamagedError`."""
    data = store.read(Content(artifact.content_hash), 0, artifact.bytes)
    try:
        document = _Document.model_validate_json(data)
        layout = Layout(parse_stream_uri(document.stream_uri), tuple(map(_part, document.parts)))
        if document.store_uuid != store.uuid or document.bytes != layout.length:
            raise ValueError(f"it is of store {document.store_uuid} and has {layout.length} of {document.bytes} bytes")
    except (ValueError, JackCaptureError) as error:
        raise StorageDamagedError(
            f"content {artifact.content_hash} is no virtual slice of this store: {error}", artifact_id=artifact.id
        ) from error
    return layout, document.mime_type


def held_range(data: bytes) -> tuple[StreamUri, int, int]:
    """Give the stream and the sample positions whose chunks the document of a virtual slice needs.

    Raises `InvalidValueError` if it is none.
    """
    try:
        document = _Document.model_validate_json(data)
    except ValueError as error:
        raise InvalidValueError(f"no virtual slice: {error}") from error
    return parse_stream_uri(document.stream_uri), *document.sample_range


def _part_as_json(part: Part) -> dict[str, Any]:
    match part:
        case OwnBytes(data):
            return {"base64": base64.b64encode(data).decode()}
        case Zeros(length):
            return {"silence": length}
        case ChunkBytes(take_number, chunk_index, address, offset, length):
            where = {"content_hash": address.hash} if isinstance(address, Content) else {"staging_id": address.id}
            return {"take": take_number, "chunk": chunk_index, **where, "offset": offset, "length": length}


def _part(part: _ChunkPart | _OwnPart | _SilentPart) -> Part:
    if isinstance(part, _OwnPart):
        return OwnBytes(base64.b64decode(part.base64, validate=True))
    if isinstance(part, _SilentPart):
        return Zeros(part.silence)
    if (part.content_hash is None) == (part.staging_id is None):
        raise ValueError(f"chunk {part.chunk} of take {part.take} must have either a content hash or a staging id")
    address = Staging(part.staging_id or "") if part.content_hash is None else Content(part.content_hash)
    return ChunkBytes(part.take, part.chunk, address, part.offset, part.length)
