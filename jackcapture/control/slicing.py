"""Cuts a range of a stream into an artifact; the samples are moved by the kernel. Everything here blocks."""

import errno
import os
import time
from dataclasses import dataclass

from jackcapture.catalog import Catalog
from jackcapture.catalog.catalog import new_artifact_id
from jackcapture.clock.wall import WallClock, wall_clock_at
from jackcapture.control.contents import Contents
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
from jackcapture.model.retention import Hold, HolderKind
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
    store: Store,
    catalog: Catalog,
    contents: Contents,
    request: SliceRequest,
    progress: Progress,
    *,
    clipped: bool,
    path: str | None,
) -> tuple[SliceResult, Artifact]:
    """Cut a slice, put it into the store and enter it as an artifact; nothing is left of one that fails.

    It holds the chunks that it was cut from.
    """
    written_type = mime_type(request.stream.definition, request.output_format)
    with contents.reading(request.stream.uri, request.from_sample, request.to_sample):
        excerpt = collect(catalog, request.stream, request.state, request.from_sample, request.to_sample)
        if not excerpt.definition.is_audio:
            excerpt = trim_midi(store, catalog, excerpt)
        staging, size = _write(store, catalog, excerpt, request.output_format, progress)

        def add_row(sealed: Sealed) -> tuple[SliceResult, Artifact]:
            result, artifact = _describe(catalog, request, excerpt, sealed, written_type, clipped, path)
            hold = Hold(
                request.stream.uri,
                HolderKind.ARTIFACT,
                artifact.id,
                request.from_sample,
                request.to_sample,
                artifact.created_at_ns,
            )
            catalog.add_artifact(artifact, holds=[hold])
            return result, artifact

        return contents.enter(staging, size, add_row)


def _describe(
    catalog: Catalog,
    request: SliceRequest,
    excerpt: Excerpt,
    sealed: Sealed,
    written_type: str,
    clipped: bool,
    path: str | None,
) -> tuple[SliceResult, Artifact]:
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
            else {"from": wall_clock.from_, "to": wall_clock.to, "error_ms": wall_clock.error_ms},
        },
    )
    return result, artifact


def _write(
    store: Store, catalog: Catalog, excerpt: Excerpt, output_format: str, progress: Progress
) -> tuple[Staging, int]:
    """Write header and samples, or MIDI records, into staging; give the file and its size in bytes."""
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
        return staging, total
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
    return WallClockRange(iso(first.ns), iso(last.ns), round(error_ms, 3))


def _moment(catalog: Catalog, excerpt: Excerpt, take_number: int, position: int) -> WallClock | None:
    snapshots = {
        at.sample_position: at for at in catalog.clocks(excerpt.definition.uri, take_number, position, position + 1)
    }
    snapshots |= {at.sample_position: at for at in excerpt.unsealed_clocks.get(take_number, ())}
    ordered = [snapshots[at] for at in sorted(snapshots)]
    return wall_clock_at(ordered, position, excerpt.definition.sample_rate)
