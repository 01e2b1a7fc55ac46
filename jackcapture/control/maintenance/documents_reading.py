"""Reads documents back from the store, and believes nothing: every field is checked before it is used.

A manifest of a later minor version may have more fields than these, which are left alone.
"""

import enum
import itertools
import json
from typing import Annotated, Any, TypeVar

import pydantic

from jackcapture.control.documents import DEFINITION_TYPE, MANIFEST_TYPE
from jackcapture.control.sessions.document import SESSION_TYPE
from jackcapture.errors import InvalidValueError
from jackcapture.model.retention import RemovalReason
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.takes import ClockReason, GapCause, MidiClock, Transport

VERSION = 1

Count = Annotated[int, pydantic.Field(ge=0, le=2**63 - 1)]
Signed = Annotated[int, pydantic.Field(ge=-(2**63), le=2**63 - 1)]
_Hash = Annotated[str, pydantic.StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class DocumentKind(enum.StrEnum):
    """Kinds of documents, which are also the kinds of their artifacts."""

    DEFINITION = "definition"
    MANIFEST = "manifest"
    SESSION = "session"


KINDS = {
    DEFINITION_TYPE: DocumentKind.DEFINITION,
    MANIFEST_TYPE: DocumentKind.MANIFEST,
    SESSION_TYPE: DocumentKind.SESSION,
}
"""Kinds of documents by their `type`, which is also their MIME type."""


class DocumentPart(pydantic.BaseModel):
    """A part of a document; what it does not know is left alone."""

    model_config = pydantic.ConfigDict(strict=True, frozen=True)


class LatencyPart(DocumentPart):
    """Capture latency of a port, in frames."""

    min: Count
    max: Count


class ChunkPart(DocumentPart):
    """A sealed chunk."""

    index: Count
    first_sample: Count
    samples: Count
    bytes: Count
    content_hash: _Hash
    overview_hash: _Hash | None = None
    wall_clock_ns: Signed
    clipped_samples: Count = 0


class RemovalPart(DocumentPart):
    """A run of chunks that was removed."""

    first_index: Count
    end_index: Count
    first_sample: Count
    end_sample: Count
    reason: RemovalReason
    removed_at_ns: Signed


class GapPart(DocumentPart):
    """Lost frames."""

    position: Count
    frames: Annotated[int, pydantic.Field(ge=1, le=2**63 - 1)]
    cause: GapCause


class ClockPart(DocumentPart):
    """A clock snapshot."""

    sample_position: Count
    jack_frame: Count
    monotonic_us: Count
    wall_clock_ns: Signed
    reasons: tuple[ClockReason, ...] = ()
    period: Count = 0
    is_freewheeling: bool = False
    transport: Transport = Transport()
    midi_clock: MidiClock = MidiClock()


class TakePart(DocumentPart):
    """A take with all that belongs to it."""

    number: Annotated[int, pydantic.Field(ge=1, le=2**31)]
    start_frame: Count
    first_sample: Count
    samples: Count | None
    started_at_ns: Signed
    ended_at_ns: Signed | None
    error: str = ""
    latencies: tuple[LatencyPart, ...] = ()
    removals: tuple[RemovalPart, ...] = ()
    chunks: tuple[ChunkPart, ...]
    gaps: tuple[GapPart, ...]
    clocks: tuple[ClockPart, ...]


class PinPart(DocumentPart):
    """A range that is kept."""

    name: str
    from_sample: Count
    to_sample: Count
    created_at_ns: Signed


class RetentionPart(DocumentPart):
    """How much is kept."""

    keep_ns: Count | None = None
    keep_bytes: Count | None = None
    keep_chunks: Count | None = None


class Manifest(DocumentPart):
    """A stream as it stood when a take ended."""

    store_uuid: str
    definition: dict[str, Any]
    created_at_ns: Signed
    retention: RetentionPart = RetentionPart()
    pins: tuple[PinPart, ...] = ()
    takes: tuple[TakePart, ...]

    @property
    def stream(self) -> StreamDefinition:
        """The stream's definition; raises `InvalidValueError`."""
        return StreamDefinition.from_json(self.definition)


_Document = TypeVar("_Document", bound=DocumentPart)

PREFIX = "application/vnd.jackcapture."
"""What the type of every document begins with."""


def document_type(data: bytes) -> str | None:
    """Give the type of a document of ours, also of one that this version does not know; None for other bytes."""
    try:
        document = _read_json(data)
    except InvalidValueError:
        return None
    found = document.get("type") if isinstance(document, dict) else None
    return found if isinstance(found, str) and found.startswith(PREFIX) else None


def kind_of(document: Any) -> DocumentKind | None:
    """Give the kind of a document that was read as JSON; None if it is none of ours."""
    return KINDS.get(str(document.get("type"))) if isinstance(document, dict) else None


def read_definition(data: bytes) -> StreamDefinition:
    """Read a definition; raises `InvalidValueError`."""
    document = read_document(data, DEFINITION_TYPE)
    return StreamDefinition.from_json(document)


def read_manifest(data: bytes) -> Manifest:
    """Read a manifest; raises `InvalidValueError`."""
    read_document(data, MANIFEST_TYPE)
    manifest = parsed(Manifest, data)
    _check_order(manifest)
    return manifest


def read_document(data: bytes, mime_type: str) -> dict[str, Any]:
    """Read a document as JSON; raises `InvalidValueError` unless it is of this type, in a version that can be read."""
    document = _read_json(data)
    if not isinstance(document, dict) or document.get("type") != mime_type:
        raise InvalidValueError(f"its type is no {mime_type}")
    version = document.get("version")
    if version != VERSION:
        raise InvalidValueError(f"its version is {version!r}; this jackcapture reads {VERSION}")
    return document


def parsed(kind: type[_Document], data: bytes) -> _Document:
    """Read a document of a kind, field by field; raises `InvalidValueError`."""
    try:
        return kind.model_validate_json(data)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidValueError(f"{where}: {first['msg']} (and {error.error_count() - 1} more)") from None


def _check_order(manifest: Manifest) -> None:
    """Raise `InvalidValueError` if takes or chunks do not follow each other, or no stream has them."""
    definition = manifest.stream
    for take in manifest.takes:
        spans = [(chunk.index, chunk.index + 1, chunk.first_sample, chunk.samples) for chunk in take.chunks]
        spans += [
            (gone.first_index, gone.end_index, gone.first_sample, gone.end_sample - gone.first_sample)
            for gone in take.removals
        ]
        spans.sort()
        for (_, end_index, first, samples), (index, _, following, _) in itertools.pairwise(spans):
            if index < end_index or following < first + samples:
                raise InvalidValueError(f"take {take.number}: chunk {index} at {following} overlaps the one before it")
        for chunk in take.chunks:
            if definition.is_audio and chunk.bytes != chunk.samples * definition.audio.frame_bytes:
                raise InvalidValueError(f"take {take.number}: chunk {chunk.index} has {chunk.bytes} bytes")
    for before, after in itertools.pairwise(manifest.takes):
        if after.number <= before.number or after.first_sample < before.first_sample + (before.samples or 0):
            raise InvalidValueError(f"take {after.number} at {after.first_sample} overlaps take {before.number}")


def _read_json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(f"it is no JSON: {error}") from None
