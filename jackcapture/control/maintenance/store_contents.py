"""What lies in content, by its bytes alone: documents of ours, and files of known formats. Blocks."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from blake3 import blake3

from jackcapture.control.maintenance.documents_reading import PREFIX, document_type
from jackcapture.store.survey import Found, Survey

_EDGE = 4096
"""Bytes at each end of a file that tell whether it may be a document."""

_MAGIC = (
    (b"RIFF", 8, b"WAVE", "audio/vnd.wave"),
    (b"RF64", 8, b"WAVE", "audio/vnd.wave"),
    (b"fLaC", 0, b"fLaC", "audio/flac"),
    (b"MThd", 0, b"MThd", "audio/midi"),
    (b"\x89PNG\r\n\x1a\n", 0, b"\x89PNG", "image/png"),
)
"""How files begin: bytes at 0, then bytes at an offset, and the MIME type."""

RAW_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Document:
    """A document whose bytes are those that its name says."""

    name: str
    type: str
    data: bytes
    mtime_ns: int


def documents(survey: Survey) -> Iterator[Document]:
    """Give all documents of ours, of known and unknown types; what is damaged is none."""
    for found in survey.all_content():
        document = _document(survey, found) if found.is_file and found.is_in_place else None
        if document is not None:
            yield document


def mime_type(survey: Survey, found: Found) -> str:
    """Give the MIME type that the bytes of a file tell."""
    head, tail = _edges(survey, found)
    for begin, offset, then, kind in _MAGIC:
        if head.startswith(begin) and head[offset:].startswith(then):
            return kind
    if _may_be_document(head, tail):
        return document_type(_read(survey, found)) or RAW_TYPE
    return RAW_TYPE


def _document(survey: Survey, found: Found) -> Document | None:
    # Chunks are told from documents without reading them whole.
    if found.name is None or not _may_be_document(*_edges(survey, found)):
        return None
    data = _read(survey, found)
    if blake3(data).hexdigest() != found.name:
        return None
    kind = document_type(data)
    return None if kind is None else Document(found.name, kind, data, found.status.st_mtime_ns)


def _may_be_document(head: bytes, tail: bytes) -> bool:
    mark = PREFIX.encode()
    return head.lstrip()[:1] == b"{" and (mark in head or mark in tail)


def _edges(survey: Survey, found: Found) -> tuple[bytes, bytes]:
    try:
        descriptor = os.open(survey.path(found.path), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return b"", b""
    try:
        head = os.pread(descriptor, _EDGE, 0)
        if not head.lstrip().startswith(b"{"):
            return head, b""
        return head, os.pread(descriptor, _EDGE, max(0, found.status.st_size - _EDGE))
    except OSError:
        return b"", b""
    finally:
        os.close(descriptor)


def _read(survey: Survey, found: Found) -> bytes:
    try:
        with open(survey.path(found.path), "rb") as file:
            return file.read()
    except OSError:
        return b""
