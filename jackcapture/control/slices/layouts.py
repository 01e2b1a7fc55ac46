"""What the bytes of a file consist of: bytes of chunks, silence, and bytes of its own. Everything here blocks.

A slice that needs no conversion is such a layout. Written out, its chunks are copied by the kernel; as a virtual slice
it is kept as it is, and any range of the file that it would be is read from it.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import assert_never

from jackcapture.catalog import Catalog
from jackcapture.control.copying import copy_range
from jackcapture.control.slices.excerpts import Excerpt, open_chunk
from jackcapture.errors import StorageDamagedError
from jackcapture.model.addresses import Content, Staging
from jackcapture.model.uris import StreamUri
from jackcapture.store import Store

READ_BYTES = 1 << 20
"""What is read at a time where samples go through Python."""


@dataclass(frozen=True, slots=True)
class OwnBytes:
    """Bytes that are nowhere else, such as a header."""

    data: bytes

    @property
    def length(self) -> int:
        """Bytes of it."""
        return len(self.data)


@dataclass(frozen=True, slots=True)
class ChunkBytes:
    """`length` bytes from byte `offset` of a chunk, which may have been sealed since its address was found."""

    take_number: int
    chunk_index: int
    address: Content | Staging
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Zeros:
    """So many bytes of silence."""

    length: int


Part = OwnBytes | ChunkBytes | Zeros


@dataclass(frozen=True, slots=True)
class Layout:
    """The parts of a file in order; its chunks are those of one stream."""

    uri: StreamUri
    parts: tuple[Part, ...]

    @property
    def length(self) -> int:
        """The bytes of the file."""
        return sum(part.length for part in self.parts)

    def between(self, head: bytes, tail: bytes) -> "Layout":
        """Give the same with bytes before and after it."""
        own = (OwnBytes(head),) if head else ()
        return replace(self, parts=(*own, *self.parts, *((OwnBytes(tail),) if tail else ())))


def layout_of(excerpt: Excerpt, silences: Iterable[tuple[int, int]] = ()) -> Layout:
    """Give the samples, or MIDI records, of an excerpt; `silences` are (take number, bytes of silence before it)."""
    before = dict(silences)
    parts: list[Part] = []
    for piece in excerpt.pieces:
        silence = before.pop(piece.take_number, 0)
        if silence:
            parts.append(Zeros(silence))
        parts.append(ChunkBytes(piece.take_number, piece.chunk_index, piece.address, piece.offset, piece.length))
    return Layout(excerpt.definition.uri, tuple(parts))


def write_layout(
    store: Store, catalog: Catalog, layout: Layout, target: int, moved: Callable[[int], None], position: int = 0
) -> None:
    """Write the file into a descriptor, from byte `position` on; where it is silent there must be nothing, or zeros.

    `moved` is told the bytes of each step, but for its own bytes, and may raise to cancel.
    """
    for part in layout.parts:
        match part:
            case OwnBytes(data):
                write_at(target, data, position)
            case ChunkBytes():
                source = _open(store, catalog, layout, part)
                try:
                    copy_range(source, part.offset, target, position, part.length, moved)
                finally:
                    os.close(source)
            case Zeros():
                moved(part.length)
            case _:
                assert_never(part)
        position += part.length
    if os.fstat(target).st_size < position:
        os.ftruncate(target, position)


def write_at(target: int, data: bytes, position: int) -> None:
    """Write all of `data` from byte `position` of a descriptor's file."""
    done = 0
    while done < len(data):
        done += os.pwrite(target, data[done:], position + done)


def read_layout(store: Store, catalog: Catalog, layout: Layout, position: int, length: int) -> bytes:
    """Give `length` bytes from byte `position` of the file; fewer where it ends."""
    return b"".join(_blocks(store, catalog, layout, position, length))


def blocks_of_layout(store: Store, catalog: Catalog, layout: Layout, moved: Callable[[int], None]) -> Iterator[bytes]:
    """Give the whole file in blocks of at most `READ_BYTES`; `moved` is told the bytes of each, and may raise."""
    for block in _blocks(store, catalog, layout, 0, layout.length):
        moved(len(block))
        yield block


def _blocks(store: Store, catalog: Catalog, layout: Layout, position: int, length: int) -> Iterator[bytes]:
    begin, end = position, position + length
    at = 0
    for part in layout.parts:
        first, last = max(begin - at, 0), min(end - at, part.length)
        if first < last:
            match part:
                case OwnBytes(data):
                    yield data[first:last]
                case ChunkBytes():
                    yield from _chunk_blocks(store, catalog, layout, part, first, last)
                case Zeros():
                    for start in range(first, last, READ_BYTES):
                        yield bytes(min(READ_BYTES, last - start))
                case _:
                    assert_never(part)
        at += part.length
        if at >= end:
            return


def _chunk_blocks(
    store: Store, catalog: Catalog, layout: Layout, part: ChunkBytes, first: int, last: int
) -> Iterator[bytes]:
    source = _open(store, catalog, layout, part)
    try:
        while first < last:
            block = os.pread(source, min(READ_BYTES, last - first), part.offset + first)
            if not block:
                raise StorageDamagedError(
                    f"chunk {part.chunk_index} of take {part.take_number} of {layout.uri} ends too early: it has "
                    f"{part.offset + first} bytes"
                )
            yield block
            first += len(block)
    finally:
        os.close(source)


def _open(store: Store, catalog: Catalog, layout: Layout, part: ChunkBytes) -> int:
    return open_chunk(store, catalog, layout.uri, part.take_number, part.chunk_index, part.address)
