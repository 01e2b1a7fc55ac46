"""Reads what excerpts hold: the samples of audio, the events of MIDI. Everything here blocks."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jackcapture.catalog import Catalog
from jackcapture.control.slices.excerpts import Excerpt, Piece, open_piece, trim_midi
from jackcapture.control.slices.layouts import Layout, layout_of, read_layout
from jackcapture.errors import StorageDamagedError, StorageError
from jackcapture.formats.midi_records import MidiRecord, iterate_records
from jackcapture.formats.samples import decode_samples
from jackcapture.store import Store

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]

_READ_BYTES = 4 << 20


def samples_of(store: Store, catalog: Catalog, excerpt: Excerpt) -> Iterator[tuple[int, "Floats"]]:
    """Give the samples of an excerpt in parts, of shape (frames, channels), each with its first sample position."""
    for piece in excerpt.pieces:
        position = piece.from_sample
        for samples in samples_of_piece(store, catalog, excerpt, piece):
            yield position, samples
            position += len(samples)


def samples_of_piece(store: Store, catalog: Catalog, excerpt: Excerpt, piece: Piece) -> Iterator["Floats"]:
    """Give the samples of a piece in parts."""
    step = max(1, _READ_BYTES // excerpt.definition.audio.frame_bytes)
    inside = range(piece.from_sample - piece.first_sample, piece.to_sample - piece.first_sample, step)
    return samples_of_chunk(store, catalog, excerpt, piece, inside)


def samples_of_chunk(
    store: Store, catalog: Catalog, excerpt: Excerpt, piece: Piece, inside: range
) -> Iterator["Floats"]:
    """Give the samples of the chunk that has a piece; `inside` are its frames, in steps of what is read at once."""
    audio = excerpt.definition.audio
    descriptor = open_piece(store, catalog, excerpt, piece)
    try:
        for start in inside:
            size = (min(start + inside.step, inside.stop) - start) * audio.frame_bytes
            data = os.pread(descriptor, size, start * audio.frame_bytes)
            if len(data) != size:
                raise StorageDamagedError(
                    f"chunk {piece.chunk_index} of take {piece.take_number} of {excerpt.definition.uri} ends too early"
                )
            yield decode_samples(data, audio)
    except OSError as error:
        raise StorageError(f"{store.path(piece.address)} cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)


def events_of(store: Store, catalog: Catalog, excerpt: Excerpt) -> Iterator[MidiRecord]:
    """Give the events of a MIDI excerpt."""
    for _, events in events_by_chunk(store, catalog, layout_of(trim_midi(store, catalog, excerpt))):
        yield from events


def events_by_chunk(store: Store, catalog: Catalog, layout: Layout) -> Iterator[tuple[int, Iterator[MidiRecord]]]:
    """Give how many bytes, and which events, the layout of a trimmed MIDI excerpt has of each chunk."""
    for part in layout.parts:
        # Whole records: an excerpt is trimmed to them, and a record never straddles two chunks.
        data = read_layout(store, catalog, Layout(layout.uri, (part,)), 0, part.length)
        yield part.length, iterate_records(data)
