"""Turns what control knows into results."""

from dataclasses import dataclass
from typing import Any

from jackcapture.catalog import Catalog, StreamTotals, TakeRecord
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.model.addresses import Content
from jackcapture.model.artifacts import Artifact
from jackcapture.model.durations import SECOND_NS
from jackcapture.model.latency_results import LatencyResult
from jackcapture.model.results import (
    ArtifactResult,
    ChunkCounts,
    ConnectionResult,
    GapResult,
    PinResult,
    RetentionResult,
    StreamResult,
    TakeResult,
)
from jackcapture.model.retention import Hold, Retention
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.takes import Gap, Latency
from jackcapture.model.times import iso
from jackcapture.model.uris import StreamUri
from jackcapture.store import Store

NEWEST = 100


def describe_format(definition: StreamDefinition) -> dict[str, Any]:
    """Give a stream's format as JSON values."""
    described: dict[str, Any] = definition.as_json()["format"]
    return described


def describe_gap(gap: Gap) -> GapResult:
    """Give a gap as a result."""
    return GapResult(gap.position, gap.frames, gap.cause.value)


def describe_latency(latency: Latency) -> LatencyResult:
    """Give a latency as a result."""
    return LatencyResult(latency.min, latency.max)


def describe_retention(retention: Retention) -> RetentionResult:
    """Give a retention as a result."""
    seconds = None if retention.keep_ns is None else retention.keep_ns / SECOND_NS
    return RetentionResult(seconds, retention.keep_bytes, retention.keep_chunks)


def describe_pin(hold: Hold) -> PinResult:
    """Give a pin as a result."""
    return PinResult(hold.holder, hold.uri, (hold.from_sample, hold.to_sample), iso(hold.created_at_ns))


def describe_take(record: TakeRecord, clipped_samples: int) -> TakeResult:
    """Give a take as a result; `clipped_samples` also counts those that are not sealed."""
    take = record.take
    return TakeResult(
        take.number,
        take.first_sample,
        take.samples,
        take.start_frame,
        iso(take.started_at_ns),
        None if take.ended_at_ns is None else iso(take.ended_at_ns),
        record.error or None,
        tuple(describe_latency(latency) for latency in take.latencies),
        clipped_samples,
    )


@dataclass(frozen=True, slots=True)
class SealedPart:
    """What the catalog has of a stream: its totals, its newest takes and gaps."""

    totals: StreamTotals
    takes: list[TakeRecord]
    gaps: list[Gap]


def read_sealed(catalog: Catalog, uri: StreamUri) -> SealedPart:
    """Read what is sealed of a stream. Blocks."""
    return SealedPart(catalog.totals(uri), catalog.newest_takes(uri, NEWEST), catalog.newest_gaps(uri, NEWEST))


def describe_stream(sealed: SealedPart, stream: ManagedStream, xruns: int) -> StreamResult:
    """Give a stream's state as control knows it now; `sealed` was just read, or is older if the disk has stalled."""
    definition, state, take = stream.definition, stream.engine_state, stream.take
    totals, takes = sealed.totals, sealed.takes
    gaps = {gap.position: gap for gap in sealed.gaps}
    head_sample = takes[-1].end_sample if takes else 0
    head_bytes = takes[-1].sealed_bytes if takes else 0  # counts also what was removed since
    head_wall_clock_ns = takes[-1].take.ended_at_ns if takes else None
    lost_frames, gap_count, staging = totals.lost_frames, totals.gap_count, 0
    clipped = {record.take.number: record.clipped_samples for record in takes}
    if take is not None:
        head_sample = max(head_sample, take.head_sample)
        if definition.is_audio:
            head_bytes = (head_sample - take.first_sample) * definition.audio.frame_bytes
        elif state is not None and state.take_number == take.number:
            head_bytes = state.head_bytes
        head_wall_clock_ns = take.head_wall_clock_ns or None
        staging = len(take.pending) + (1 if take.given else 0)
        unsealed = {gap.position: gap for full in take.pending.values() for gap in full.gaps}
        if state is not None and state.take_number == take.number:
            unsealed |= {gap.position: gap for gap in state.gaps}
            # What is sealed may be newer than the state.
            clipped[take.number] = max(clipped.get(take.number, 0), state.clipped_samples)
        new = [gap for position, gap in unsealed.items() if position not in gaps]
        gaps |= {gap.position: gap for gap in new}
        gap_count += len(new)
        lost_frames += sum(gap.frames for gap in new)
    return StreamResult(
        uri=stream.uri,
        status=stream.status.value,
        error=stream.notice or None,
        format=describe_format(definition),
        device_identity=definition.device_identity,
        chunk_size_bytes=definition.chunk_size_bytes,
        sources=definition.sources,
        retention=describe_retention(stream.record.retention),
        head_sample=head_sample,
        head_bytes=head_bytes,
        head_wall_clock=None if head_wall_clock_ns is None else iso(head_wall_clock_ns),
        takes=tuple(describe_take(record, clipped[record.take.number]) for record in takes),
        chunks=ChunkCounts(totals.kept_chunks, staging),
        gaps=tuple(describe_gap(gaps[position]) for position in sorted(gaps)[-NEWEST:]),
        gap_count=gap_count,
        lost_frames=lost_frames,
        xruns=xruns,
        ring_fill=0.0 if state is None else round(state.ring_fill, 4),
        connections=()
        if state is None
        else tuple(
            ConnectionResult(port.port, port.connections, describe_latency(port.latency)) for port in state.ports
        ),
        unconnected=definition.sources if state is None else state.absent_sources,
        clipped_samples=totals.clipped_samples + sum(clipped[it.take.number] - it.clipped_samples for it in takes),
    )


def describe_artifact(store: Store, artifact: Artifact) -> ArtifactResult:
    """Give an artifact as a result."""
    return ArtifactResult(
        id=artifact.id,
        kind=artifact.kind,
        content_hash=artifact.content_hash,
        mime_type=artifact.mime_type,
        bytes=artifact.bytes,
        created_at=iso(artifact.created_at_ns),
        stream_uri=artifact.stream_uri,
        parents=artifact.parents,
        tags=artifact.tags,
        metadata=artifact.metadata,
        content_path=store.path(Content(artifact.content_hash)),
    )
