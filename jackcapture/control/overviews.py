"""Puts the overview of a range together from those of its chunks, sealed or not. Everything here blocks.

What is finer than their blocks of 256 frames is made from the samples, of exactly the range that was asked for. So is
the overview of a chunk that has none, or one that cannot be read: that takes longer and shows the same.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jackcapture.catalog import Catalog
from jackcapture.control.slices.excerpts import Excerpt, Piece
from jackcapture.control.slices.reading import samples_of_chunk, samples_of_piece
from jackcapture.errors import InvalidValueError, JackCaptureError, NotFoundError
from jackcapture.formats.overview import MAX, MIN, RMS, blocks_of, combine, points_of, read_blocks
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

_BATCH_VALUES = 1 << 17  # of blocks times channels, combined at once: a day is longer than the memory it should take
_READ_BLOCKS = 1 << 10  # of a chunk that is looked at itself
_DECIMALS = 6  # -120 dB
_LARGEST = 3.4028235e38  # in place of infinity, which JSON does not have


@dataclass(frozen=True, slots=True)
class Scale:
    """Points of `frames_per_point` frames each, side by side, over the sample positions `[begin, end)`.

    They are made `from_samples`, or else from the blocks of the overviews that the chunks have.
    """

    begin: int
    end: int
    frames_per_point: int
    from_samples: bool

    @property
    def points(self) -> int:
        """How many there are."""
        return -(-(self.end - self.begin) // self.frames_per_point)


def check_points(definition: StreamDefinition, points: int) -> None:
    """Raise `InvalidValueError` unless the stream is audio and its overview can be asked for with so many points."""
    if definition.audio and not 1 <= points <= MAX_VALUES:
        raise InvalidValueError(f"{points} points: an overview has 1 to {MAX_VALUES}", points=points)


def scale_of_points(excerpt: Excerpt, most: int) -> Scale:
    """Give the finest scale that shows an excerpt with at most `most` points.

    A point of fewer frames than a block has any number of them; one of more has a multiple of a block's.
    """
    fine = -(-excerpt.frames // most)
    if fine < OVERVIEW_FRAMES:
        return scale_of_frames(excerpt, fine)
    begin, end = _outwards(excerpt)
    return Scale(begin, end, OVERVIEW_FRAMES * overview_blocks(-(-(end - begin) // most)), from_samples=False)


def scale_of_frames(excerpt: Excerpt, frames_per_point: int) -> Scale:
    """Give the scale with so many frames per point: over whole blocks if it is a multiple of theirs, else exact."""
    if frames_per_point % OVERVIEW_FRAMES:
        return Scale(excerpt.from_sample, excerpt.to_sample, frames_per_point, from_samples=True)
    return Scale(*_outwards(excerpt), frames_per_point, from_samples=False)


def points_at(store: Store, catalog: Catalog, excerpt: Excerpt, scale: Scale, progress: Progress) -> "Floats":
    """Give the points of an excerpt: float64, shape (points, channels, 3); min, max, RMS."""

    def number_of(positions: "Integers") -> "Integers":
        return (positions - scale.begin) // scale.frames_per_point

    return _gather(store, catalog, excerpt, number_of, progress, from_samples=scale.from_samples)


def columns_at(store: Store, catalog: Catalog, excerpt: Excerpt, columns: int, progress: Progress) -> "Floats":
    """Give an excerpt in so many columns of equal width: float64, shape (columns, channels, 3); min, max, RMS.

    Where a column is of fewer frames than a block it is exact, else a block counts where it begins. Where there are
    more columns than frames, each shows the frame that it lies in.
    """
    import numpy as np  # noqa: PLC0415

    parts = min(columns, excerpt.frames)

    def number_of(positions: "Integers") -> "Integers":
        # The first block may begin before the excerpt.
        return np.maximum(positions - excerpt.from_sample, 0) * parts // excerpt.frames

    from_samples = excerpt.frames < parts * OVERVIEW_FRAMES
    values = _gather(store, catalog, excerpt, number_of, progress, from_samples=from_samples)
    return values[np.arange(columns) * parts // columns]


def blocks_at(store: Store, catalog: Catalog, excerpt: Excerpt) -> Iterator[tuple["Integers", "Integers", "Floats"]]:
    """Give the blocks of an excerpt as its chunks have them: first positions, ends, and (blocks, channels, 3).

    Of a block that lies in the excerpt but in part, it is made from the samples of that part.
    """
    import numpy as np  # noqa: PLC0415

    frame_bytes = excerpt.definition.audio.frame_bytes
    for piece in excerpt.pieces:
        blocks = _blocks(piece, frame_bytes)
        starts = piece.first_sample + OVERVIEW_FRAMES * np.arange(blocks.start, blocks.stop)
        ends = np.minimum(starts + OVERVIEW_FRAMES, piece.end_sample)
        at = 0
        for read in _read(store, catalog, excerpt, piece, blocks):
            found = read
            part = slice(at, at + len(found))
            begins, lasts = starts[part].clip(piece.from_sample), ends[part].clip(max=piece.to_sample)
            cut = np.flatnonzero((begins != starts[part]) | (lasts != ends[part]))
            if len(cut):
                found = found.copy()
                for block in cut:
                    inside = range(int(begins[block]) - piece.first_sample, int(lasts[block]) - piece.first_sample)
                    samples = np.concatenate(list(samples_of_chunk(store, catalog, excerpt, piece, _whole(inside))))
                    found[block] = blocks_of(samples)[0]
            yield begins, lasts, found
            at = part.stop


def _whole(inside: range) -> range:
    """Have all of it read at once."""
    return range(inside.start, inside.stop, max(1, len(inside)))


def overview_of(store: Store, catalog: Catalog, excerpt: Excerpt, points: int, progress: Progress) -> OverviewResult:
    """Give the overview of an excerpt with at most `points` points."""
    import numpy as np  # noqa: PLC0415 - control starts without it

    audio = excerpt.definition.audio
    scale = scale_of_points(excerpt, max(1, min(points, MAX_VALUES // audio.channels)))
    values = points_at(store, catalog, excerpt, scale, progress)
    values = np.nan_to_num(values, posinf=_LARGEST, neginf=-_LARGEST).round(_DECIMALS)
    return OverviewResult(
        stream_uri=excerpt.definition.uri,
        sample_range=(scale.begin, scale.end),
        sample_rate=audio.sample_rate,
        frames_per_point=scale.frames_per_point,
        points=len(values),
        channels=audio.channels,
        waveforms=tuple(
            Waveform(*(tuple(values[:, channel, kind].tolist()) for kind in (MIN, MAX, RMS)))
            for channel in range(audio.channels)
        ),
        takes=excerpt.takes,
        gaps=tuple(GapResult(gap.position, gap.frames, gap.cause.value) for gap in excerpt.gaps),
    )


def _outwards(excerpt: Excerpt) -> tuple[int, int]:
    """Give the range of the blocks in which an excerpt lies."""
    first, last = excerpt.pieces[0], excerpt.pieces[-1]
    frame_bytes = excerpt.definition.audio.frame_bytes
    begin = first.first_sample + _blocks(first, frame_bytes).start * OVERVIEW_FRAMES
    return begin, min(last.end_sample, last.first_sample + _blocks(last, frame_bytes).stop * OVERVIEW_FRAMES)


def _gather(
    store: Store,
    catalog: Catalog,
    excerpt: Excerpt,
    number_of: "Callable[[Integers], Integers]",
    progress: Progress,
    *,
    from_samples: bool,
) -> "Floats":
    """Give the points of an excerpt; `number_of` gives the number of the point that a sample position belongs to."""
    read = _points_of_samples if from_samples else _points_of_blocks
    combined: list[Combined] = []
    batch: list[Combined] = []
    waiting = 0
    for piece in excerpt.pieces:
        for position, part in read(store, catalog, excerpt, piece, number_of):
            batch.append(part)
            waiting += len(part[0]) * excerpt.definition.ports
            if from_samples or waiting >= _BATCH_VALUES:
                progress(max(0, position - excerpt.from_sample), excerpt.frames, "frames")
            if waiting >= _BATCH_VALUES:
                combined.append(_combined(batch))
                batch, waiting = [], 0
    return _combined(combined + batch)[0]


def _points_of_blocks(
    store: Store, catalog: Catalog, excerpt: Excerpt, piece: Piece, number_of: "Callable[[Integers], Integers]"
) -> Iterator[tuple[int, "Combined"]]:
    """Give a piece's blocks, each as a point still to be combined, and the sample position of the first."""
    import numpy as np  # noqa: PLC0415

    blocks = _blocks(piece, excerpt.definition.audio.frame_bytes)
    starts = piece.first_sample + OVERVIEW_FRAMES * np.arange(blocks.start, blocks.stop)
    frames = np.minimum(piece.end_sample - starts, OVERVIEW_FRAMES)
    numbers = number_of(starts)
    at = 0
    for found in _read(store, catalog, excerpt, piece, blocks):
        stop = at + len(found)
        yield int(starts[at]), (found, frames[at:stop], numbers[at:stop])
        at = stop


def _points_of_samples(
    store: Store, catalog: Catalog, excerpt: Excerpt, piece: Piece, number_of: "Callable[[Integers], Integers]"
) -> Iterator[tuple[int, "Combined"]]:
    """Give a piece's points, in parts, and the sample position of each."""
    import numpy as np  # noqa: PLC0415

    position = piece.from_sample
    for samples in samples_of_piece(store, catalog, excerpt, piece):
        yield position, points_of(samples, number_of(position + np.arange(len(samples))))
        position += len(samples)


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
    end = min(blocks.stop * OVERVIEW_FRAMES, piece.end_sample - piece.first_sample)
    inside = range(blocks.start * OVERVIEW_FRAMES, end, _READ_BLOCKS * OVERVIEW_FRAMES)
    for samples in samples_of_chunk(store, catalog, excerpt, piece, inside):
        yield blocks_of(samples)
