"""A take as a manifest and the files in content have it: what is missing becomes a run that is lost. Blocks."""

import itertools
import time
from dataclasses import dataclass, field

from jackcapture.catalog import SealedChunk
from jackcapture.control.maintenance.check_content import content_path
from jackcapture.control.maintenance.documents_reading import ChunkPart, ClockPart, Manifest, TakePart
from jackcapture.model.addresses import Content
from jackcapture.model.durations import duration_frames
from jackcapture.model.overviews import overview_bytes
from jackcapture.model.retention import Removal, RemovalReason
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.takes import Chunk, ClockSnapshot, Gap, Latency, Take
from jackcapture.store.survey import Survey


@dataclass(slots=True)
class RebuiltTake:
    """What goes into the catalog; `lost` are those of `removals` that nobody removed."""

    take: Take
    error: str
    chunks: list[SealedChunk] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    lost: list[Removal] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    clocks: list[ClockSnapshot] = field(default_factory=list)
    missing_overviews: int = 0
    is_unfinished: bool = False


Boundary = tuple[int, RemovalReason]
"""A sample position before which the retention keeps nothing, and which limit says so."""


def boundary(manifest: Manifest) -> Boundary:
    """Give what the stream's retention had to remove after its manifest was written, if control still ran."""
    definition, kept = manifest.stream, manifest.retention
    found: Boundary = (-1, RemovalReason.LOST)
    total = 0
    newest_first = (chunk for take in reversed(manifest.takes) for chunk in reversed(take.chunks))
    for count, chunk in enumerate(newest_first, 1):
        end = chunk.first_sample + chunk.samples
        if count == 1 and kept.keep_ns is not None:
            found = (end - duration_frames(kept.keep_ns, definition.sample_rate), RemovalReason.KEEP_TIME)
        total += chunk.bytes
        if chunk.overview_hash is not None and definition.is_audio:
            total += overview_bytes(chunk.samples, definition.audio.channels)
        if kept.keep_chunks is not None and count > kept.keep_chunks:
            found = max(found, (end, RemovalReason.KEEP_CHUNKS))
        if kept.keep_bytes is not None and total > kept.keep_bytes:
            found = max(found, (end, RemovalReason.KEEP_BYTES))
        if found[0] >= end:
            break
    return found


def rebuilt_take(survey: Survey, definition: StreamDefinition, part: TakePart, bound: Boundary) -> RebuiltTake:
    """Give a take, with those of its chunks that are there in their length.

    Those that are not were removed by the retention, if they end before the boundary, or lost.
    """
    now = time.time_ns()
    ends = [chunk.first_sample + chunk.samples for chunk in part.chunks] + [gone.end_sample for gone in part.removals]
    end = max(ends, default=part.first_sample)
    samples = end - part.first_sample if part.samples is None else part.samples
    take = Take(
        definition.uri,
        part.number,
        part.start_frame,
        part.first_sample,
        samples,
        part.started_at_ns,
        part.started_at_ns if part.ended_at_ns is None else part.ended_at_ns,
        tuple(Latency(latency.min, latency.max) for latency in part.latencies),
    )
    made = RebuiltTake(take, part.error, is_unfinished=part.samples is None)
    if made.is_unfinished:
        made.error = made.error or "its end is in no manifest; it ends with the last chunk that is known"
    missing: list[ChunkPart] = []
    for chunk in part.chunks:
        if _has(survey, chunk.content_hash, chunk.bytes):
            made.chunks.append(_sealed(survey, definition, part.number, chunk, made))
        else:
            missing.append(chunk)
    gone = [_removal(part.number, run, bound, now) for run in _runs(missing, bound)]
    made.lost = [run for run in gone if run.reason is RemovalReason.LOST]
    made.removals = [
        Removal(
            part.number,
            run.first_index,
            run.end_index,
            run.first_sample,
            run.end_sample,
            run.reason,
            run.removed_at_ns,
        )
        for run in part.removals
    ] + gone
    # A gap that a stop cut off reaches into the next take, and is in that one's list, too.
    last = part.first_sample + samples
    gaps = {gap.position: gap for gap in part.gaps if part.first_sample <= gap.position < last}
    made.gaps = [Gap(gap.position, gap.frames, gap.cause) for gap in gaps.values()]
    made.clocks = [_snapshot(at) for at in part.clocks]
    return made


def _sealed(
    survey: Survey, definition: StreamDefinition, number: int, chunk: ChunkPart, made: RebuiltTake
) -> SealedChunk:
    overview = None
    if chunk.overview_hash is not None and definition.is_audio:
        if _has(survey, chunk.overview_hash, overview_bytes(chunk.samples, definition.audio.channels)):
            overview = Content(chunk.overview_hash)
        else:
            made.missing_overviews += 1
    found = Chunk(
        chunk.index,
        chunk.first_sample,
        chunk.samples,
        chunk.bytes,
        chunk.wall_clock_ns,
        clipped_samples=chunk.clipped_samples,
    )
    return SealedChunk(number, found, Content(chunk.content_hash), overview)


def _has(survey: Survey, name: str, size: int) -> bool:
    found = survey.find(content_path(name), name)
    return found is not None and found.is_file and found.status.st_size == size


def _reason(chunk: ChunkPart, bound: Boundary) -> RemovalReason:
    return bound[1] if chunk.first_sample + chunk.samples <= bound[0] else RemovalReason.LOST


def _runs(chunks: list[ChunkPart], bound: Boundary) -> list[list[ChunkPart]]:
    """Join chunks that follow each other and went for the same reason."""
    groups = itertools.groupby(enumerate(chunks), lambda at: (at[1].index - at[0], _reason(at[1], bound)))
    return [[chunk for _, chunk in group] for _, group in groups]


def _removal(number: int, run: list[ChunkPart], bound: Boundary, now: int) -> Removal:
    first, last = run[0], run[-1]
    return Removal(
        number,
        first.index,
        last.index + 1,
        first.first_sample,
        last.first_sample + last.samples,
        _reason(first, bound),
        now,
    )


def _snapshot(at: ClockPart) -> ClockSnapshot:
    return ClockSnapshot(
        at.sample_position,
        at.jack_frame,
        at.monotonic_us,
        at.wall_clock_ns,
        at.reasons,
        at.period,
        at.is_freewheeling,
        at.transport,
        at.midi_clock,
    )
