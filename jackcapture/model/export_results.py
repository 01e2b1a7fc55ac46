"""What the export of a session gives back; the field names are those that every door shows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file of an export: where it lies in the folder, or in the archive's, its length and the BLAKE3 of its bytes."""

    path: str
    bytes: int
    content_hash: str


@dataclass(frozen=True, slots=True)
class ExportedPart:
    """What a segment has of a stream, and its file; `path` is None if it recorded nothing of it.

    `position` is where it lies on the session's one timeline, in frames from the first segment's start.
    """

    segment: int
    stream_uri: str
    path: str | None
    sample_range: tuple[int, int]
    position: int
    gap_count: int


@dataclass(frozen=True, slots=True)
class ExportResult:
    """An export: `path` is the folder or the archive, `bytes` the sum of its files, `frames` the timeline's length."""

    session_id: str
    path: str
    format: str
    bytes: int
    sample_rate: int
    frames: int
    files: tuple[ExportedFile, ...]
    parts: tuple[ExportedPart, ...]
