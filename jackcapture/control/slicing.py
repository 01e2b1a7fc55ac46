"""Cuts a range of a stream into an artifact; the samples are moved by the kernel. Everything here blocks."""

import errno
import os
import time
from dataclasses import dataclass, replace

from jackcapture.catalog import Catalog
from jackcapture.catalog.catalog import new_artifact_id
from jackcapture.clock.answers import Moment
from jackcapture.clock.take_clock import TakeClock, snapshot_margin
from jackcapture.control.copying import copy_range
from jackcapture.control.excerpts import Excerpt, collect, open_piece, trim_midi
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.errors import InvalidValueError, StorageError, StorageFullError
from jackcapture.formats.midi_records import MIDI_RECORDS_TYPE
from jackcapture.formats.wav import wav_header, wav_padding
from jackcapture.model.addresses import Staging
from jackcapture.model.artifacts import Artifact
from jackcapture.model.progress import Progress
from jackcapture.model.results import GapResult, LatencyResult, SliceResult, WallClockRange
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.times import iso
from jackcapture.protocol.messages import StreamState
from jackcapture.store import Sealed, Store

MIME_TYPES = {"wav": "audio/vnd.wave", "raw": "application/octet-stream"}
MIDI_MIME_TYPES = {"raw": MIDI_RECORDS_TYPE}


@dataclass(frozen=True, slots=True)
class SliceRequest:
    """What to cut: `[from_sample, to_sample)` of a stream, `state` being the engine's, just drained.

    `asked` is the range as the user wrote it.
    """

    stream: ManagedStream
    state: StreamState | None
    from_sample: int
    to_sample: int
    output_format: str
    asked: str


def default_output_format(definition: StreamDefinition) -> str:
    """Give the format of a slice for which none is asked."""
    return next(iter(MIME_TYPES if definition.is_audio else MIDI_MIME_TYPES))


def mime_type(definition: StreamDefinition, output_format: str) -> str:
    """Give the MIME type of a format; raises `InvalidValueError` for one in which the stream cannot be written."""
    types = MIME_TYPES if definition.is_audio else MIDI_MIME_TYPES
    found = types.get(output_format)
    if found is None:
        kind = "an audio" if definition.is_audio else "a MIDI"
        raise InvalidValueError(
            f"{output_format!r} is not a format for a slice of {definition.uri}: of {kind} stream, this version writes "
            f"{' and '.join(types)}",
            output_format=output_format,
        )
    return found


def cut(
    store: Store, catalog: Catalog, request: SliceRequest, progress: Progress, *, clipped: bool, path: str | None
) -> tuple[SliceResult, Artifact]:
    """Cut a slice, put it into the store and enter it as an artifact; nothing is left of one that fails."""
    written_type = mime_type(request.stream.definition, request.output_format)
    excerpt = collect(catalog, request.stream, request.state, request.from_sample, request.to_sample)
    if not excerpt.definition.is_audio:
        excerpt = trim_midi(store, catalog, excerpt)
    sealed = _write(store, catalog, excerpt, request.output_format, progress)
    wall_clock = _wall_clock(catalog, excerpt)
    result = SliceResult(
        artifact_id=new_artifact_id("slice"),
        content_hash=sealed.content.hash,
        mime_type=written_type,
        bytes=sealed.bytes,
        stream_uri=request.stream.uri,
        sample_range=(request.from_sample, request.to_sample),
        sample_rate=excerpt.definition.sample_rate,
        channels=excerpt.definition.ports if excerpt.definition.is_audio else None,
        source_chunks=tuple(
            piece.address.id if isinstance(piece.address, Staging) else piece.address.hash for piece in excerpt.pieces
        ),
        takes=excerpt.takes,
        gaps=tuple(GapResult(gap.position, gap.frames, gap.cause.value) for gap in excerpt.gaps),
        wall_clock=wall_clock,
        clipped=clipped,
        path=path,
        capture_latency=_capture_latency(catalog, request.stream, excerpt),
    )
    artifact = Artifact(
        id=result.artifact_id,
        kind="slice",
        content_hash=result.content_hash,
        mime_type=result.mime_type,
        bytes=result.bytes,
        created_at_ns=time.time_ns(),
        stream_uri=result.stream_uri,
        parents=(request.stream.record.definition_artifact,),
        metadata={
            "asked": request.asked,
            "sample_range": list(result.sample_range),
            "sample_rate": result.sample_rate,
            "channels": result.channels,
            "takes": list(result.takes),
            "source_chunks": list(result.source_chunks),
            "capture_latency": [{"min": latency.min, "max": latency.max} for latency in result.capture_latency],
            "gaps": [{"position": gap.position, "frames": gap.frames, "cause": gap.cause} for gap in result.gaps],
            "wall_clock": None
            if wall_clock is None
            else {
                "from": wall_clock.from_,
                "to": wall_clock.to,
                "error_ms": wall_clock.error_ms,
                "drift_ppm": wall_clock.drift_ppm,
                "drift_error_ppm": wall_clock.drift_error_ppm,
            },
        },
    )
    catalog.add_artifact(artifact)
    return result, artifact


def _write(store: Store, catalog: Catalog, excerpt: Excerpt, output_format: str, progress: Progress) -> Sealed:
    """Write header and samples, or MIDI records, into staging and seal it."""
    head = tail = b""
    if output_format == "wav":
        audio = excerpt.definition.audio
        head, tail = wav_header(audio, excerpt.frames), wav_padding(audio, excerpt.frames)
    content = sum(piece.length for piece in excerpt.pieces)
    total = len(head) + content + len(tail)
    staging = store.create_staging(total)
    done = 0

    def moved(step: int) -> None:
        nonlocal done
        done += step
        progress(done, content, "bytes")

    path = store.path(staging)
    try:
        target = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.pwrite(target, head, 0)
            position = len(head)
            for piece in excerpt.pieces:
                source = open_piece(store, catalog, excerpt, piece)
                try:
                    copy_range(source, piece.offset, target, position, piece.length, moved)
                finally:
                    os.close(source)
                position += piece.length
            os.pwrite(target, tail, position)
        finally:
            os.close(target)
        return store.seal(staging, total)
    except OSError as error:
        store.discard(staging)
        kind = StorageFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else StorageError
        raise kind(f"the slice cannot be written to {path}: {error.strerror}", path=path) from error
    except BaseException:
        store.discard(staging)
        raise


def _capture_latency(catalog: Catalog, stream: ManagedStream, excerpt: Excerpt) -> tuple[LatencyResult, ...]:
    """Give for each port the least and the most of all takes that the excerpt covers; nothing if none is known."""
    by_take = {record.take.number: record.take.latencies for record in catalog.takes(stream.uri)}
    live = stream.take
    if live is not None and live.latencies:
        by_take[live.number] = live.latencies
    known = [by_take[number] for number in excerpt.takes if by_take.get(number)]
    return tuple(
        LatencyResult(min(latency.min for latency in port), max(latency.max for latency in port))
        for port in zip(*known, strict=False)
    )


def _wall_clock(catalog: Catalog, excerpt: Excerpt) -> WallClockRange | None:
    first = _moment(catalog, excerpt, excerpt.takes[0], excerpt.from_sample)
    last = _moment(catalog, excerpt, excerpt.takes[-1], excerpt.to_sample)
    if first is None or last is None:
        return None
    error_ms = max(first.error_ns, last.error_ns) / 1_000_000
    drifts = [moment.drift for moment in (first, last) if moment.drift is not None]
    drift = min(drifts, key=lambda drift: drift.error_ppm, default=None)
    return WallClockRange(
        iso(first.ns),
        iso(last.ns),
        round(error_ms, 3),
        None if drift is None else round(drift.ppm, 1),
        None if drift is None else round(drift.error_ppm, 1),
    )


def _moment(catalog: Catalog, excerpt: Excerpt, take_number: int, position: int) -> Moment | None:
    """Give the wall clock of a position, from the snapshots near it; None if the take has none."""
    uri, rate = excerpt.definition.uri, excerpt.definition.sample_rate
    near = position - snapshot_margin(rate), position + snapshot_margin(rate)
    snapshots = [*catalog.clocks(uri, take_number, *near), *excerpt.unsealed_clocks.get(take_number, ())]
    take = next((record.take for record in catalog.takes(uri) if record.take.number == take_number), None)
    if take is None or not snapshots:
        return None
    take = replace(take, samples=None)  # what the excerpt has is there, also if the take's end is not told yet
    clock = TakeClock(take, rate, snapshots, [*catalog.gaps(uri, *near), *excerpt.gaps])
    return clock.wall_clock_at(position)
