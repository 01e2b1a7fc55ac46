"""Puts the overview of a range together from those of its chunks, sealed or not. Everything here blocks.

A chunk that has no overview, or one that cannot be read, is looked at itself: that takes longer and shows the same.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jackcapture.catalog import Catalog
from jackcapture.control.excerpts import Excerpt, Piece, open_piece
from jackcapture.errors import InvalidValueError, JackCaptureError, NotFoundError, StorageDamagedError, StorageError
from jackcapture.formats.overview import MAX, MIN, RMS, blocks_of, combine, read_blocks
from jackcapture.formats.samples import decode_samples
from jackcapture.model.addresses import Content, StagingOverview
from jackcapture.model.overviews import OVERVIEW_FRAMES, overview_block_bytes, overview_blocks
from jackcapture.model.progress import Progress
from jackcapture.model.results import GapResult, OverviewResult, Waveform
from jackcapture.model.streams import StreamDefinition
from jackcapture.store import Store

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]
    Integers = npt.NDArray[np.int64]
    Combined = tuple[Floats, Integers, Integers]

log = logging.getLogger(__name__)

MAX_VALUES = 100_000
"""Points times channels of a result: what one message can carry and a client can read in a moment."""

_BATCH_BLOCKS = 1 << 16  # what is combined at once: a day is longer than the memory that it should take
_READ_BLOCKS = 1 << 10  # of a chunk that is looked at itself
_DECIMALS = 6  # -120 dB
_LARGEST = 3.4028235e38  # in place of infinity, which JSON does not have


def check_points(definition: StreamDefinition, points: int) -> None:
    """Raise `InvalidValueError` unless the stream is audio and its overview can be asked for with so many points."""
    if definition.audio and not 1 <= points <= MAX_VALUES:
        raise InvalidValueError(f"{points} points: an overview has 1 to {MAX_VALUES}", points=points)


def overview_of(store: Store, catalog: Catalog, excerpt: Excerpt, points: int, progress: Progress) -> OverviewResult:
    """Give the overview of an excerpt with at most `points` points."""
    import numpy as np  # noqa: PLC0415 - control starts without it

    audio = excerpt.definition.audio
    first, last = excerpt.pieces[0], excerpt.pieces[-1]
    begin = first.first_sample + _blocks(first, audio.frame_bytes).start * OVERVIEW_FRAMES
    end = min(last.end_sample, last.first_sample + _blocks(last, audio.frame_bytes).stop * OVERVIEW_FRAMES)
    most = max(1, min(points, MAX_VALUES // audio.channels))
    frames_per_point = OVERVIEW_FRAMES * overview_blocks(-(-(end - begin) // most))
    combined: list[Combined] = []
    batch: list[Combined] = []
    waiting = 0
    for piece in excerpt.pieces:
        blocks = _blocks(piece, audio.frame_bytes)
        starts = piece.first_sample + OVERVIEW_FRAMES * np.arange(blocks.start, blocks.stop)
        frames = np.minimum(piece.end_sample - starts, OVERVIEW_FRAMES)
        numbers = (starts - begin) // frames_per_point
        for found in _read(store, catalog, excerpt, piece, blocks):
            batch.append((found, frames[: len(found)], numbers[: len(found)]))
            frames, numbers = frames[len(found) :], numbers[len(found) :]
            waiting += len(found)
            if waiting >= _BATCH_BLOCKS:
                progress(int(starts[0]) - begin, end - begin, "frames")
                combined.append(_combined(batch))
                batch, waiting = [], 0
    values = np.nan_to_num(_combined(combined + batch)[0], posinf=_LARGEST, neginf=-_LARGEST).round(_DECIMALS)
    return OverviewResult(
        stream_uri=excerpt.definition.uri,
        sample_range=(begin, end),
        sample_rate=audio.sample_rate,
        frames_per_point=frames_per_point,
        points=len(values),
        channels=audio.channels,
        waveforms=tuple(
            Waveform(*(tuple(values[:, channel, kind].tolist()) for kind in (MIN, MAX, RMS)))
            for channel in range(audio.channels)
        ),
        takes=excerpt.takes,
        gaps=tuple(GapResult(gap.position, gap.frames, gap.cause.value) for gap in excerpt.gaps),
    )


def _blocks(piece: Piece, frame_bytes: int) -> range:
    """Give the blocks of the chunk that hold a piece."""
    first = piece.offset // frame_bytes
    return range(first // OVERVIEW_FRAMES, overview_blocks(first + piece.length // frame_bytes))


def _combined(parts: "list[Combined]") -> "Combined":
    import numpy as np  # noqa: PLC0415

    values, frames, numbers = (np.concatenate(column) for column in zip(*parts, strict=True))
    return combine(values, frames, numbers)


def _read(store: Store, catalog: Catalog, excerpt: Excerpt, piece: Piece, blocks: range) -> Iterator["Floats"]:
    """Give the blocks of a chunk, in pieces: (blocks, channels, 3) each."""
    channels = excerpt.definition.audio.channels
    block_bytes = overview_block_bytes(channels)
    for address in _overviews(catalog, excerpt, piece):
        try:
            data = store.read(address, blocks.start * block_bytes, len(blocks) * block_bytes)
        except JackCaptureError as error:
            if isinstance(address, Content) or not isinstance(error, NotFoundError):  # else it was sealed meanwhile
                log.warning("%s; it is made anew from the samples", error)
            continue
        yield read_blocks(data, channels)
        return
    yield from _blocks_of_samples(store, catalog, excerpt, piece, blocks)


def _overviews(catalog: Catalog, excerpt: Excerpt, piece: Piece) -> Iterator[Content | StagingOverview]:
    """Give where the overview of a chunk may be: beside it, or, since it was sealed, in content."""
    if not isinstance(piece.address, Content):
        yield StagingOverview(piece.address.id)
        with contextlib.suppress(NotFoundError):  # its row was there before its staging name went
            sealed = catalog.chunk(excerpt.definition.uri, piece.take_number, piece.chunk_index)
            if sealed.overview is not None:
                yield sealed.overview
    elif piece.overview is not None:
        yield piece.overview


def _blocks_of_samples(
    store: Store, catalog: Catalog, excerpt: Excerpt, piece: Piece, blocks: range
) -> Iterator["Floats"]:
    audio = excerpt.definition.audio
    samples = piece.end_sample - piece.first_sample
    descriptor = open_piece(store, catalog, excerpt, piece)
    try:
        for block in range(blocks.start, blocks.stop, _READ_BLOCKS):
            start = block * OVERVIEW_FRAMES
            end = min(min(block + _READ_BLOCKS, blocks.stop) * OVERVIEW_FRAMES, samples)
            data = os.pread(descriptor, (end - start) * audio.frame_bytes, start * audio.frame_bytes)
            if len(data) != (end - start) * audio.frame_bytes:
                raise StorageDamagedError(
                    f"chunk {piece.chunk_index} of take {piece.take_number} of {excerpt.definition.uri} ends too early"
                )
            yield blocks_of(decode_samples(data, audio))
    except OSError as error:
        raise StorageError(f"{store.path(piece.address)} cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)
