"""The file that an artifact stands for: its content, or, of a virtual slice, what that renders to. Blocks."""

import os
from collections.abc import Callable

from jackcapture.catalog import Catalog
from jackcapture.control.copying import copy_range
from jackcapture.control.slices.layouts import read_layout, write_layout
from jackcapture.control.slices.requests import SLICE_TYPE
from jackcapture.control.slices.virtual import read_document
from jackcapture.errors import InvalidValueError
from jackcapture.model.addresses import Content
from jackcapture.model.artifacts import Artifact
from jackcapture.store import Store

MAX_READ_BYTES = 1 << 20
"""The most that one call gives: what one message can carry."""


def file_size(store: Store, artifact: Artifact) -> tuple[int, str]:
    """Give the bytes of an artifact's file and its MIME type."""
    if artifact.mime_type != SLICE_TYPE:
        return artifact.bytes, artifact.mime_type
    layout, mime_type = read_document(store, artifact)
    return layout.length, mime_type


def write_file(store: Store, catalog: Catalog, artifact: Artifact, target: int, moved: Callable[[int], None]) -> None:
    """Write an artifact's file into a new, empty one; `moved` is told the bytes of each step, and may raise."""
    if artifact.mime_type == SLICE_TYPE:
        write_layout(store, catalog, read_document(store, artifact)[0], target, moved)
        return
    source = store.open(Content(artifact.content_hash))
    try:
        copy_range(source, 0, target, 0, artifact.bytes, moved)
    finally:
        os.close(source)


def read_file(store: Store, catalog: Catalog, artifact: Artifact, offset: int, length: int) -> tuple[bytes, int, str]:
    """Give `length` bytes of an artifact's file, fewer where it ends; its size in bytes and its MIME type.

    Raises `InvalidValueError` for a range that is none, or too long for one message.
    """
    if offset < 0 or not 0 <= length <= MAX_READ_BYTES:
        raise InvalidValueError(
            f"{length} bytes from byte {offset}: the offset must be 0 or more, the length 0 to {MAX_READ_BYTES}",
            offset=offset,
            length=length,
        )
    if artifact.mime_type == SLICE_TYPE:
        layout, mime_type = read_document(store, artifact)
        return read_layout(store, catalog, layout, offset, length), layout.length, mime_type
    length = max(0, min(length, artifact.bytes - offset))
    return store.read(Content(artifact.content_hash), offset, length), artifact.bytes, artifact.mime_type
