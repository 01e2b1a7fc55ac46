"""Finds the chunks that hold a range of a stream, sealed or not, also while it is recorded."""

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

from jackcapture.catalog import Catalog
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.errors import InvalidValueError, NotFoundError, StorageDamagedError
from jackcapture.formats.midi_records import find_record
from jackcapture.model.addresses import Content, Staging, staging_of
from jackcapture.model.streams import AudioFormat, StreamDefinition
from jackcapture.model.takes import ClockSnapshot, Gap
from jackcapture.model.uris import StreamUri
from jackcapture.protocol.messages import StreamState
from jackcapture.store import Store

_OPEN_TRIES = 3


@dataclass(frozen=True, slots=True)
class Extent:
    """What exists of a stream: sample positions `[first_sample, head_sample)`."""

    first_sample: int
    head_sample: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive bytes of one chunk: `length` bytes from `offset`, the sample positions `[from_sample, to_sample)`.

    The chunk has the sample positions `[first_sample, end_sample)` so far, and `overview` if that is sealed.
    """

    take_number: int
    chunk_index: int
    address: Content | Staging
    offset: int
    length: int
    from_sample: int
    to_sample: int
    first_sample: int
    end_sample: int
    overview: Content | None


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A range of a stream: its pieces in order, and what was observed in it."""

    definition: StreamDefinition
    from_sample: int
    to_sample: int
    pieces: tuple[Piece, ...]
    gaps: tuple[Gap, ...]
    unsealed_clocks: Mapping[int, tuple[ClockSnapshot, ...]]  # by take number

    @property
    def frames(self) -> int:
        """Its length in frames."""
        return self.to_sample - self.from_sample

    @property
    def takes(self) -> tuple[int, ...]:
        """The numbers of the takes that it covers, in order."""
        return tuple(dict.fromkeys(piece.take_number for piece in self.pieces))


@dataclass(frozen=True, slots=True)
class _Span:
    """Where a chunk lies in the stream."""

    take_number: int
    chunk_index: int
    first_sample: int
    end_sample: int
    bytes: int
    address: Content | Staging
    overview: Content | None = None


def extent(catalog: Catalog, stream: ManagedStream, state: StreamState | None) -> Extent:
    """Tell what exists of a stream; `state` is the engine's, just drained. Blocks. Raises `NotFoundError`."""
    last = catalog.last_take(stream.uri)
    if last is None:
        raise NotFoundError(f"{stream.uri} has recorded nothing yet", uri=stream.uri)
    head = last.end_sample
    if state is not None and state.take_number == last.take.number:
        head = state.head_sample
    elif (live := stream.take) is not None:  # the loop may end the take meanwhile
        head = max(head, live.next_sample)
    return Extent(min(_first_samples(catalog, stream, state), default=head), head)


def _first_samples(catalog: Catalog, stream: ManagedStream, state: StreamState | None) -> Iterable[int]:
    """Give where the chunks begin that may be the first one kept: of those in staging, one may still go before."""
    sealed = catalog.keeping.first_kept_sample(stream.uri)
    if sealed is not None:
        yield sealed
    for full in [*(state.chunks_done if state else ()), *(stream.take.pending.values() if stream.take else ())]:
        yield full.first_sample
    if state is not None and state.chunk.path:
        yield state.chunk.first_sample


def check_range(uri: str, from_sample: int, to_sample: int, existing: Extent) -> None:
    """Raise an error that says what exists, unless `[from_sample, to_sample)` is a range within it."""
    exists = f"{uri} has the positions {existing.first_sample} to {existing.head_sample}"
    if from_sample > to_sample:
        raise InvalidValueError(
            f"--from (position {from_sample}) lies after --to (position {to_sample}); exchange them; {exists}",
            from_sample=from_sample,
            to_sample=to_sample,
        )
    if from_sample == to_sample:
        raise InvalidValueError(
            f"--from and --to are both position {from_sample}: a slice has at least one frame; {exists}",
            from_sample=from_sample,
            to_sample=to_sample,
        )
    if from_sample < existing.first_sample or to_sample > existing.head_sample:
        before = "; what was before is not kept any more" if 0 <= from_sample < existing.first_sample else ""
        raise NotFoundError(
            f"the range {from_sample} to {to_sample} is not all there: {exists}{before}",
            from_sample=from_sample,
            to_sample=to_sample,
            first_sample=existing.first_sample,
            head_sample=existing.head_sample,
        )


def collect(
    catalog: Catalog, stream: ManagedStream, state: StreamState | None, from_sample: int, to_sample: int
) -> Excerpt:
    """Find all that `[from_sample, to_sample)` consists of. Blocks.

    Pieces of a MIDI stream are whole chunks; `trim_midi` cuts the outer ones.
    `state` was asked before the catalog is read here: a chunk that it does not list any more was released, and so is
    in the catalog.
    """
    gaps, clocks = unsealed_observations(stream, state)
    spans: dict[tuple[int, int], _Span] = {}
    live = stream.take  # once: the loop may end the take meanwhile
    for full in [*(state.chunks_done if state else ()), *(live.pending.values() if live else ())]:
        end = full.first_sample + full.samples_written
        spans[full.take_number, full.chunk_index] = _Span(
            full.take_number, full.chunk_index, full.first_sample, end, full.bytes_written, staging_of(full.path)
        )
    if state is not None and state.chunk.path:
        chunk = state.chunk
        end = chunk.first_sample + chunk.samples
        spans[state.take_number, chunk.index] = _Span(
            state.take_number, chunk.index, chunk.first_sample, end, chunk.bytes, staging_of(chunk.path)
        )
    for sealed in catalog.chunks(stream.uri, from_sample, to_sample):
        at = sealed.chunk
        spans[sealed.take_number, at.index] = _Span(
            sealed.take_number, at.index, at.first_sample, at.end_sample, at.bytes, sealed.content, sealed.overview
        )
    gaps |= {gap.position: gap for gap in catalog.gaps(stream.uri, from_sample, to_sample)}
    pieces = tuple(_pieces(stream.definition, spans.values(), from_sample, to_sample))
    if not pieces or pieces[-1].to_sample < to_sample:
        _refuse_missing(catalog, stream.uri, pieces[-1].to_sample if pieces else from_sample, from_sample, to_sample)
    overlapping = (gap for gap in gaps.values() if gap.position < to_sample and gap.position + gap.frames > from_sample)
    return Excerpt(
        stream.definition,
        from_sample,
        to_sample,
        pieces,
        tuple(sorted(overlapping, key=lambda gap: gap.position)),
        clocks,
    )


def unsealed_observations(
    stream: ManagedStream, state: StreamState | None
) -> tuple[dict[int, Gap], dict[int, tuple[ClockSnapshot, ...]]]:
    """Give the gaps, by position, and clock snapshots, by take number, of what is not sealed; perhaps of more."""
    gaps: dict[int, Gap] = {}
    clocks: dict[int, tuple[ClockSnapshot, ...]] = {}
    live = stream.take  # once: the loop may end the take meanwhile
    for full in [*(state.chunks_done if state else ()), *(live.pending.values() if live else ())]:
        gaps |= {gap.position: gap for gap in full.gaps}
        clocks[full.take_number] = clocks.get(full.take_number, ()) + full.clocks
    if state is not None and state.chunk.path:
        gaps |= {gap.position: gap for gap in state.gaps}
        clocks[state.take_number] = clocks.get(state.take_number, ()) + state.clocks
    return gaps, clocks


def open_piece(store: Store, catalog: Catalog, excerpt: Excerpt, piece: Piece) -> int:
    """Open the file of a piece for reading, also if it was sealed since it was found. Blocks."""
    return open_chunk(store, catalog, excerpt.definition.uri, piece.take_number, piece.chunk_index, piece.address)


def open_chunk(
    store: Store, catalog: Catalog, uri: StreamUri, take_number: int, chunk_index: int, address: Content | Staging
) -> int:
    """Open a chunk for reading, also if it was sealed since its address was found. Blocks."""
    for _ in range(_OPEN_TRIES):
        try:
            return store.open(address)
        except NotFoundError:
            # Its row was there before its staging name went.
            with contextlib.suppress(NotFoundError):
                address = catalog.chunk(uri, take_number, chunk_index).content
    raise StorageDamagedError(
        f"chunk {chunk_index} of take {take_number} of {uri} is missing in the store: there is no "
        f"{store.path(address)}",
        path=store.path(address),
    )


def trim_midi(store: Store, catalog: Catalog, excerpt: Excerpt) -> Excerpt:
    """Cut the chunks at both ends of a MIDI excerpt to the records that lie in it. Blocks."""
    pieces = list(excerpt.pieces)
    for number in {0, len(pieces) - 1}:
        piece = pieces[number]
        descriptor = open_piece(store, catalog, excerpt, piece)
        try:
            data = os.pread(descriptor, piece.length, 0)
        finally:
            os.close(descriptor)
        offset, end = find_record(data, piece.from_sample), find_record(data, piece.to_sample)
        pieces[number] = replace(piece, offset=offset, length=end - offset)
    return replace(excerpt, pieces=tuple(pieces))


def _pieces(definition: StreamDefinition, spans: Iterable[_Span], from_sample: int, to_sample: int) -> Iterable[Piece]:
    position = from_sample
    for span in sorted(spans, key=lambda span: span.first_sample):
        end = min(span.end_sample, to_sample)
        if end <= position or span.first_sample >= to_sample:
            continue
        if span.first_sample > position:
            break
        offset, length = 0, span.bytes
        if isinstance(definition.format, AudioFormat):
            offset = (position - span.first_sample) * definition.format.frame_bytes
            length = (end - position) * definition.format.frame_bytes
        yield Piece(
            span.take_number,
            span.chunk_index,
            span.address,
            offset,
            length,
            position,
            end,
            span.first_sample,
            span.end_sample,
            span.overview,
        )
        position = end


def _refuse_missing(catalog: Catalog, uri: StreamUri, position: int, from_sample: int, to_sample: int) -> NoReturn:
    """Raise an error that says why the positions from `position` on are not there."""
    removed = catalog.keeping.removals(uri, from_sample, to_sample)
    for removal in removed:
        if removal.first_sample <= position < removal.end_sample:
            gone = ", ".join(f"{it.first_sample} to {it.end_sample} ({it.reason})" for it in removed[:10])
            raise NotFoundError(
                f"{uri}: the range {from_sample} to {to_sample} is not all there: of it, these positions are not kept "
                f"any more: {gone}",
                from_sample=from_sample,
                to_sample=to_sample,
                removed=[[it.first_sample, it.end_sample, it.reason.value] for it in removed],
            )
    raise StorageDamagedError(
        f"{uri}: the positions from {position} on are missing in the store; 'jackcapture store check' tells more",
        position=position,
    )
