"""Cuts a range of a stream into an artifact. Everything here blocks."""

import time
from dataclasses import dataclass, replace
from typing import Any

from jackcapture.catalog import Catalog
from jackcapture.catalog.catalog import new_artifact_id
from jackcapture.control.contents import Contents
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.slices.excerpts import Excerpt, collect, trim_midi
from jackcapture.control.slices.files import (
    SliceFile,
    audio_layout,
    counter,
    with_header,
    write_audio,
    write_records,
    write_whole,
)
from jackcapture.control.slices.layouts import Layout, layout_of
from jackcapture.control.slices.midi_files import chased_from, midi_file
from jackcapture.control.slices.requests import SLICE_TYPE, SliceRequest, mime_type
from jackcapture.control.slices.take_clocks import began_at, moment_at, snapshots_near
from jackcapture.control.slices.virtual import read_document, render_document
from jackcapture.errors import ConflictError
from jackcapture.model.addresses import Staging
from jackcapture.model.artifacts import Artifact
from jackcapture.model.progress import Progress
from jackcapture.model.results import GapResult, LatencyResult, SliceResult, WallClockRange
from jackcapture.model.retention import Hold, HolderKind
from jackcapture.model.takes import ClockSnapshot
from jackcapture.model.times import iso
from jackcapture.store import Sealed, Store

MAX_NOTED_FRAMES = 10_000
"""Events of a MIDI file whose exact frames are noted in its metadata; for more, there is the slice as raw."""


@dataclass(frozen=True, slots=True)
class Slicer:
    """Cuts slices of one store. Any thread may call any method; all block."""

    store: Store
    catalog: Catalog
    contents: Contents

    def cut(
        self, request: SliceRequest, progress: Progress, *, clipped: bool = False, path: str | None = None
    ) -> tuple[SliceResult, Artifact]:
        """Cut a slice, put it into the store and enter it as an artifact; nothing is left of one that fails.

        It holds the chunks that it was cut from. Raises `InvalidValueError` for what the stream cannot be written as,
        `NotFoundError` for a range that is not all kept, `ConflictError` for one over several takes if that was not
        wanted.
        """
        request.options.check_for(request.stream.definition)
        since = self._chased_from(request)
        with self.contents.reading(request.stream.uri, since, request.to_sample):
            excerpt = collect(self.catalog, request.stream, request.state, request.from_sample, request.to_sample)
            if not excerpt.definition.is_audio:
                excerpt = trim_midi(self.store, self.catalog, excerpt)
            file = self._write(request, excerpt, progress)

            def add_row(sealed: Sealed) -> tuple[SliceResult, Artifact]:
                progress(file.bytes, file.bytes, "bytes")  # the last step that may raise to cancel
                result, artifact = self._describe(request, excerpt, sealed, file.metadata, clipped, path)
                self.catalog.add_artifact(artifact, holds=[_hold_of(request, artifact)])
                return result, artifact

            return self.contents.enter(file.staging, file.bytes, add_row)

    def materialise(self, artifact_id: str, progress: Progress) -> Artifact:
        """Make a file of a virtual slice, and enter it as an artifact; raises `ConflictError` if it is none."""
        virtual = self.catalog.artifact(artifact_id)
        if virtual.mime_type != SLICE_TYPE:
            raise ConflictError(f"{artifact_id} is {virtual.mime_type}, and no virtual slice: it is a file already")
        layout, mime_type = read_document(self.store, virtual)
        # The virtual slice holds the chunks; it may be deleted meanwhile.
        first, last = virtual.metadata["sample_range"]
        with self.contents.reading(layout.uri, first, last):
            file = write_whole(self.store, self.catalog, layout, counter(progress, layout.length))

            def add_row(sealed: Sealed) -> Artifact:
                progress(file.bytes, file.bytes, "bytes")
                made = replace(
                    virtual,
                    id=new_artifact_id("slice"),
                    content_hash=sealed.content.hash,
                    mime_type=mime_type,
                    bytes=sealed.bytes,
                    created_at_ns=time.time_ns(),
                    parents=(*virtual.parents, virtual.id),
                    tags=(),
                    metadata={name: value for name, value in virtual.metadata.items() if name != "rendered_bytes"},
                )
                hold = Hold(layout.uri, HolderKind.ARTIFACT, made.id, first, last, made.created_at_ns)
                self.catalog.add_artifact(made, holds=[hold])
                return made

            return self.contents.enter(file.staging, file.bytes, add_row)

    def _chased_from(self, request: SliceRequest) -> int:
        """Give where what is read begins: before the range, where a MIDI file needs what is in force there."""
        if request.options.output_format != "mid" or not request.options.chase:
            return request.from_sample
        return chased_from(self.catalog, request.stream.uri, request.from_sample)

    def _write(self, request: SliceRequest, excerpt: Excerpt, progress: Progress) -> SliceFile:
        options = request.options
        if options.is_virtual:
            layout = self._layout(request, excerpt)
            kind = mime_type(excerpt.definition, options.output_format)
            document = render_document(self.store, layout, (request.from_sample, request.to_sample), kind)
            return SliceFile(self.store.stage(document), len(document), {"rendered_bytes": layout.length})
        if excerpt.definition.is_audio:
            return write_audio(self.store, self.catalog, excerpt, options, began_at(self.catalog, excerpt), progress)
        if options.output_format == "raw":
            return write_records(self.store, self.catalog, excerpt, progress)
        return self._write_midi_file(request, excerpt, progress)

    def _layout(self, request: SliceRequest, excerpt: Excerpt) -> Layout:
        if not excerpt.definition.is_audio:
            return layout_of(excerpt)
        samples = audio_layout(self.catalog, excerpt, request.options)
        return with_header(self.store, excerpt, samples, request.options, began_at(self.catalog, excerpt))

    def _write_midi_file(self, request: SliceRequest, excerpt: Excerpt, progress: Progress) -> SliceFile:
        since = self._chased_from(request)
        history = None
        if since < request.from_sample:
            before = collect(self.catalog, request.stream, request.state, since, request.from_sample)
            history = trim_midi(self.store, self.catalog, before)
        made = midi_file(self.store, self.catalog, excerpt, history, request.options, progress)
        noted: dict[str, Any] = {
            "events": made.events,
            "chased": made.chased,
            "ended": made.ended,
            "skipped": {reason.value: count for reason, count in made.skipped.items()},
        }
        if len(made.frames) <= MAX_NOTED_FRAMES:
            noted["event_frames"] = list(made.frames)
        return SliceFile(self.store.stage(made.data), len(made.data), noted)

    def _describe(
        self,
        request: SliceRequest,
        excerpt: Excerpt,
        sealed: Sealed,
        noted: dict[str, Any],
        clipped: bool,
        path: str | None,
    ) -> tuple[SliceResult, Artifact]:
        options, definition = request.options, excerpt.definition
        rendered_type = mime_type(definition, options.output_format)
        wall_clock = self._wall_clock(excerpt)
        audio = options.audio(definition) if definition.is_audio else None
        result = SliceResult(
            artifact_id=new_artifact_id("slice"),
            content_hash=sealed.content.hash,
            mime_type=SLICE_TYPE if options.is_virtual else rendered_type,
            bytes=sealed.bytes,
            stream_uri=request.stream.uri,
            sample_range=(request.from_sample, request.to_sample),
            sample_rate=definition.sample_rate,
            channels=None if audio is None else audio.channels,
            sample_format=None if audio is None else audio.sample_format.value,
            source_chunks=tuple(
                piece.address.id if isinstance(piece.address, Staging) else piece.address.hash
                for piece in excerpt.pieces
            ),
            takes=excerpt.takes,
            gaps=tuple(GapResult(gap.position, gap.frames, gap.cause.value) for gap in excerpt.gaps),
            wall_clock=wall_clock,
            virtual=options.is_virtual,
            rendered_bytes=noted.get("rendered_bytes", sealed.bytes),
            rendered_type=rendered_type,
            clipped=clipped,
            path=path,
            capture_latency=self._capture_latency(request.stream, excerpt),
        )
        return result, Artifact(
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
                "sample_format": result.sample_format,
                "output_format": options.output_format,
                "between_takes": options.between_takes.value,
                "rendered_type": rendered_type,
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
                "clocks": self._clocks(excerpt),
                **request.noted,
                **noted,
            },
        )

    def _capture_latency(self, stream: ManagedStream, excerpt: Excerpt) -> tuple[LatencyResult, ...]:
        """Give for each port the least and the most of all takes that the excerpt covers; nothing if none is known."""
        by_take = {number: self.catalog.take(stream.uri, number).take.latencies for number in excerpt.takes}
        live = stream.take
        if live is not None and live.latencies:
            by_take[live.number] = live.latencies
        known = [by_take[number] for number in excerpt.takes if by_take.get(number)]
        return tuple(
            LatencyResult(min(latency.min for latency in port), max(latency.max for latency in port))
            for port in zip(*known, strict=False)
        )

    # --- clocks ---

    def _wall_clock(self, excerpt: Excerpt) -> WallClockRange | None:
        first = moment_at(self.catalog, excerpt, excerpt.takes[0], excerpt.from_sample)
        last = moment_at(self.catalog, excerpt, excerpt.takes[-1], excerpt.to_sample)
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

    def _clocks(self, excerpt: Excerpt) -> list[dict[str, int]]:
        """Give the observations on each side of each end of the range."""
        near: dict[int, ClockSnapshot] = {}
        for take, position in ((excerpt.takes[0], excerpt.from_sample), (excerpt.takes[-1], excerpt.to_sample)):
            known = snapshots_near(self.catalog, excerpt, take, position)
            before = [at for at in known if at.sample_position <= position]
            after = [at for at in known if at.sample_position > position]
            near |= {at.sample_position: at for at in (*before[-1:], *after[:1])}
        return [
            {
                "sample_position": at.sample_position,
                "jack_frame": at.jack_frame,
                "monotonic_us": at.monotonic_us,
                "wall_clock_ns": at.wall_clock_ns,
            }
            for _, at in sorted(near.items())
        ]


def _hold_of(request: SliceRequest, artifact: Artifact) -> Hold:
    return Hold(
        request.stream.uri,
        HolderKind.ARTIFACT,
        artifact.id,
        request.from_sample,
        request.to_sample,
        artifact.created_at_ns,
    )
