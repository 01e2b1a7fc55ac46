"""Reads what is new of a stream that is watched, block by block, and the ends of what stands out to the sample.

Everything here blocks. The newest blocks lie beside the chunk that the engine writes; they are read without asking
the engine or the catalog for anything, since that is done for each stream several times a second.
"""

import logging
import os
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jackcapture.catalog import Catalog
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.overviews import blocks_at
from jackcapture.control.sessions.sounding import sounding_positions
from jackcapture.control.sessions.trigger_detection import Rules, Source, Span
from jackcapture.control.sessions.trigger_spans import spans_of_blocks, spans_of_events, spans_of_new_blocks
from jackcapture.control.slices.excerpts import Excerpt, collect
from jackcapture.control.slices.reading import events_of
from jackcapture.errors import JackCaptureError, NotFoundError, StorageDamagedError, StorageError
from jackcapture.formats.midi_records import HEAD, MidiRecord
from jackcapture.formats.overview import read_blocks
from jackcapture.model.addresses import StagingOverview, staging_of
from jackcapture.model.overviews import OVERVIEW_FRAMES, overview_block_bytes
from jackcapture.model.sessions import SegmentRange
from jackcapture.model.suggestions import SuggestionReason
from jackcapture.model.takes import StreamStatus
from jackcapture.protocol.messages import ChunkInProgress, StreamState
from jackcapture.store import Store

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

log = logging.getLogger(__name__)

_STEP_SECONDS = 600
"""What is read at once of that which is not new: a day is longer than the memory it should take."""

_MIDI_BYTES = 4096
"""What is read at first of what may be new in a MIDI chunk; more where that was not all."""


@dataclass(frozen=True, slots=True)
class LiveView:
    """What control knows of a take that runs or is being sealed, at one moment; `end` is None while it runs.

    All before `head` is written. The chunk in progress, if there is one, begins at `chunk_first`.
    """

    take_number: int
    head: int
    end: int | None
    chunk_path: str
    chunk_index: int
    chunk_first: int


def live_view(stream: ManagedStream) -> LiveView | None:
    """Give the view of a stream's take; None if there is none. On the asyncio loop."""
    take = stream.take
    if take is None:
        return None
    end = None if take.ended_samples is None else take.first_sample + take.ended_samples
    path = take.given[0] if take.given and end is None else ""
    head = take.head_sample if end is None else end
    return LiveView(take.number, head, end, path, take.next_index, take.next_sample)


class _KeptFile:
    """An open file beside a chunk, which is closed when it is dropped."""

    def __init__(self, chunk_path: str, descriptor: int) -> None:
        self.chunk_path = chunk_path
        self.descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)


class WatchedStream:
    """One stream of a segment that is watched; one thread at a time."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        stream: ManagedStream,
        found: SegmentRange,
        rules: Rules,
        frame: int,
        *,
        lenient: bool,
    ) -> None:
        """Watch from a JACK frame on; if `lenient`, what cannot be read is passed over as if it were quiet."""
        self._store = store
        self._catalog = catalog
        self._stream = stream
        self._found = found
        self._rules = rules
        self._lenient = lenient
        self._position = max(found.from_sample, found.position_of(frame))
        self._view: LiveView | None = None
        self._end: int | None = None
        self._file: _KeptFile | None = None  # the overview of the chunk in progress
        self._midi_at: tuple[str, int] = "", 0  # in the chunk in progress: its path, and the offset of what is new
        reason = SuggestionReason.LEVEL if stream.definition.is_audio else SuggestionReason.MIDI
        self.source = Source(found.uri, reason)

    @property
    def frame(self) -> int:
        """The JACK frame before which all has been read."""
        return self._found.frame_of(self._position)

    @property
    def end_frame(self) -> int | None:
        """The JACK frame after the last one, as soon as that is known."""
        return None if self._end is None else self._found.frame_of(self._end)

    @property
    def is_at_end(self) -> bool:
        """Whether nothing more can come."""
        return self._end is not None and self._position >= self._end

    def read(self, view: LiveView | None, segment_end: int | None) -> list[Span]:
        """Give what stands out of what is new; `segment_end` is the position at which the segment has ended."""
        self._view = view if view is not None and view.take_number == self._found.take_number else None
        self._note_end(segment_end)
        to = self._end if self._end is not None else (0 if self._view is None else self._view.head)
        spans: list[Span] = []
        while self._position < to:
            before = self._position
            try:
                spans += self._read_some(to)
            except JackCaptureError as error:
                if not self._lenient:
                    raise
                self._position = min(to, before + _STEP_SECONDS * self._stream.definition.sample_rate)
                log.error("%s from %d to %d is taken to be quiet: %s", self._found.uri, before, self._position, error)
            if self._position == before:
                break
        return spans

    def first(self, span: Span) -> int:
        """Give the first frame of a span that stands out."""
        loud = self._loud(span.begin, span.first_end)
        return loud[0] if loud else span.begin

    def last(self, span: Span) -> int:
        """Give the last frame of a span that stands out."""
        loud = self._loud(span.last_begin, span.end)
        return loud[1] if loud else span.end - 1

    # --- how far ---

    def _note_end(self, segment_end: int | None) -> None:
        """Take note of the end of the take, or of the segment, whichever comes first."""
        if self._end is not None:
            return
        end = None if self._view is None else self._view.end
        if self._view is None:
            record = self._catalog.take(self._found.uri, self._found.take_number)
            end = None if record.take.samples is None else record.end_sample
        known = [it for it in (end, segment_end) if it is not None]
        # The end of a segment is in a take that runs on when it has come there.
        if known and (end is not None or (self._view is not None and self._view.head >= min(known))):
            self._end = max(min(known), self._found.from_sample)

    # --- reading ---

    def _read_some(self, to: int) -> list[Span]:
        """Read on, up to a position or not so far."""
        view = self._view
        is_new = view is not None and bool(view.chunk_path) and self._position >= view.chunk_first
        if self._stream.definition.is_audio:
            return self._new_blocks(to) if is_new else self._old_blocks(to)
        return self._new_events(to) if is_new else self._old_events(to)

    def _old_limit(self, to: int) -> int:
        """Give how far the chunks reach that are full."""
        limit = min(to, self._position + _STEP_SECONDS * self._stream.definition.sample_rate)
        if self._view is not None and self._view.end is None:
            limit = min(limit, self._view.chunk_first)
        return limit

    def _old_blocks(self, to: int) -> list[Span]:
        to = self._old_limit(to)
        if to <= self._position:
            return []
        return self._blocks_of(collect(self._catalog, self._stream, None, self._position, to))

    def _blocks_of(self, excerpt: Excerpt) -> list[Span]:
        spans: list[Span] = []
        shift = self._found.frame_of(0)
        for starts, ends, blocks in blocks_at(self._store, self._catalog, excerpt):
            spans += spans_of_blocks(starts + shift, ends + shift, blocks, self.source, self._rules)
        self._position = excerpt.to_sample
        return spans

    def _new_blocks(self, to: int) -> list[Span]:
        """Read the blocks that are whole of the chunk in progress, and at the end of all what there is."""
        view, definition = self._view, self._stream.definition
        assert view is not None
        full = view.chunk_first + definition.chunk_frames
        limit = min(to, full)
        if limit not in (full, self._end):
            limit = view.chunk_first + (limit - view.chunk_first) // OVERVIEW_FRAMES * OVERVIEW_FRAMES
        if limit <= self._position:
            return []
        first, rest = divmod(self._position - view.chunk_first, OVERVIEW_FRAMES)
        is_whole = rest == 0 and limit != self._end
        blocks = self._overview(first, -(-(limit - view.chunk_first) // OVERVIEW_FRAMES)) if is_whole else None
        if blocks is None:
            return self._blocks_of(collect(self._catalog, self._stream, self._state(limit), self._position, limit))
        begin, self._position = self._position, limit
        # As a rule nothing stands out, and this is all that is done: no RMS is beyond both minimum and maximum.
        if max(blocks.max(), -blocks.min()) < self._rules.threshold:
            return []
        frames = self._found.frame_of(begin), self._found.frame_of(limit)
        return spans_of_new_blocks(*frames, blocks, self.source, self._rules)

    def _overview(self, first: int, stop: int) -> "npt.NDArray[np.floating[Any]] | None":
        """Read blocks of the overview of the chunk in progress; None if it has none, or is full by now."""
        assert self._view is not None
        path, channels = self._view.chunk_path, self._stream.definition.audio.channels
        size = overview_block_bytes(channels)
        try:
            if self._file is None or self._file.chunk_path != path:
                self._file = _KeptFile(path, self._store.open(StagingOverview(staging_of(path).id)))
            descriptor = self._file.descriptor
            # An engine that goes on in the chunk of one that died has removed it: nothing more comes there.
            is_removed = os.fstat(descriptor).st_nlink == 0
            data = b"" if is_removed else os.pread(descriptor, (stop - first) * size, first * size)
        except NotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"the overview of {path} cannot be read: {error.strerror}", path=path) from error
        if len(data) < (stop - first) * size:
            self._file = None
            return None
        return read_blocks(data, channels)

    def _state(self, to: int) -> StreamState | None:
        """Give what the engine would say of the chunk in progress, as far as it is needed here."""
        view, definition = self._view, self._stream.definition
        if view is None or not view.chunk_path or to <= view.chunk_first:
            return None
        samples = to - view.chunk_first
        size = samples * definition.audio.frame_bytes
        return StreamState(
            self._found.uri,
            StreamStatus.RECORDING,
            definition,
            view.take_number,
            self._found.start_frame,
            self._found.first_sample,
            to,
            chunk=ChunkInProgress(view.chunk_path, view.chunk_index, view.chunk_first, samples, size),
        )

    def _loud(self, begin: int, end: int) -> tuple[int, int] | None:
        """Give the first and the last frame of `[begin, end)` that reach the threshold."""
        first, to = self._found.position_of(begin), self._found.position_of(end)
        try:
            excerpt = collect(self._catalog, self._stream, self._state(to), first, to)
            parts = sounding_positions(self._store, self._catalog, excerpt, self._rules.threshold)
            loud = [positions for positions in parts if len(positions)]
        except JackCaptureError:
            if not self._lenient:
                raise
            return None
        return (self._found.frame_of(int(loud[0][0])), self._found.frame_of(int(loud[-1][-1]))) if loud else None

    # --- MIDI ---

    def _old_events(self, to: int) -> list[Span]:
        to = self._old_limit(to)
        if to <= self._position:
            return []
        excerpt = collect(self._catalog, self._stream, None, self._position, to)
        spans = self._spans(events_of(self._store, self._catalog, excerpt))
        self._position = to
        return spans

    def _new_events(self, to: int) -> list[Span]:
        """Read what has been added to the chunk in progress: the engine tells of a position after all before it."""
        view = self._view
        assert view is not None
        path, at = self._midi_at
        at = at if path == view.chunk_path else 0
        left = self._stream.definition.chunk_size_bytes - at
        size = _MIDI_BYTES
        while True:
            try:
                data = self._store.read(staging_of(view.chunk_path), at, min(size, left))
            except (NotFoundError, StorageDamagedError):  # it is full, and being sealed
                return []
            events, done, is_all = _written(data, view.chunk_first, to)
            if is_all or size >= left:
                break
            size *= 8
        self._midi_at = view.chunk_path, at + done
        spans = self._spans(it for it in events if it[0] >= self._position)
        self._position = to
        return spans

    def _spans(self, events: Iterator[MidiRecord]) -> list[Span]:
        return spans_of_events(
            ((self._found.frame_of(position), event) for position, event in events), self.source, self._rules
        )


def _written(data: bytes, first_sample: int, end_sample: int) -> tuple[list[MidiRecord], int, bool]:
    """Give the whole records before a position, how many bytes they have, and whether these are all that there are.

    They are at the beginning of `data`, which may have something else, or zeroes, after them.
    """
    found: list[MidiRecord] = []
    at, last = 0, first_sample
    while at + HEAD.size <= len(data):
        position, length = HEAD.unpack_from(data, at)
        if not length or not last <= position < end_sample:
            return found, at, True
        if at + HEAD.size + length > len(data):
            break
        found.append((position, data[at + HEAD.size : at + HEAD.size + length]))
        last = position
        at += HEAD.size + length
    return found, at, False
