"""Writes the file of one part of an export, and tells where its bytes come from. Everything here blocks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from jackcapture.catalog import Catalog
from jackcapture.catalog.rows import differences
from jackcapture.control.exports.plan import Part
from jackcapture.control.exports.targets import Moved, Target, Written
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.slices.excerpts import Excerpt, Piece, collect, trim_midi
from jackcapture.control.slices.files import wav_ends
from jackcapture.control.slices.layouts import layout_of, write_layout
from jackcapture.control.slices.midi_files import chased_from, midi_file
from jackcapture.control.slices.requests import SliceOptions
from jackcapture.control.slices.take_clocks import began_at
from jackcapture.formats.smf import Smf
from jackcapture.model.addresses import Content
from jackcapture.model.takes import ClockReason, ClockSnapshot
from jackcapture.model.times import iso
from jackcapture.store import Store

_WINDOW_SECONDS = 600
"""Of how much the clock snapshots are looked at at a time: of a night there are hundreds of thousands."""

_REGULAR_SECONDS = 60
"""How far apart are the snapshots in an export at which nothing happened."""


@dataclass(frozen=True, slots=True)
class PartFile:
    """A part that was written: its file, where it comes from as JSON values, and its MIDI file if that is kept."""

    part: Part
    written: Written
    provenance: dict[str, Any]
    smf: Smf | None


@dataclass(frozen=True, slots=True)
class PartWriter:
    """Writes the parts of one session out of a store."""

    store: Store
    catalog: Catalog
    session_id: str
    check: Callable[[], None]
    """Raises to cancel."""

    keeps_midi: bool = False
    """Whether MIDI files stay in memory, for a project to have their events."""

    def first_read(self, part: Part) -> int:
        """Give the first sample position that the file of a part is made from."""
        return part.from_sample if part.definition.is_audio else chased_from(self.catalog, part.uri, part.from_sample)

    def write(self, part: Part, target: Target, prefix: str, moved: Moved) -> PartFile:
        """Write the file of a part that has one, at its path after `prefix`."""
        assert part.path is not None
        path = prefix + part.path
        excerpt = self._collect(part, part.from_sample, part.to_sample)
        smf = None
        told: dict[str, Any] = {}
        if part.definition.is_audio:
            written = self._write_audio(part, path, excerpt, target, moved)
        else:
            smf, told = self._midi(part, excerpt)
            written = target.add_bytes(path, smf.data)
        provenance = self._provenance(part, excerpt, written) | told
        return PartFile(part, written, provenance, smf if self.keeps_midi else None)

    def _collect(self, part: Part, from_sample: int, to_sample: int) -> Excerpt:
        # A stream without what its take does at present: all that is exported is sealed.
        stream = ManagedStream(self.catalog.stream(part.uri))
        excerpt = collect(self.catalog, stream, None, from_sample, to_sample)
        return excerpt if part.definition.is_audio else trim_midi(self.store, self.catalog, excerpt)

    def _write_audio(self, part: Part, path: str, excerpt: Excerpt, target: Target, moved: Moved) -> Written:
        description = (
            f"{part.uri}, {self.session_id} segment {part.segment}, store {self.store.uuid}, "
            f"samples {part.from_sample} to {part.to_sample}"
        )
        began = began_at(self.catalog, excerpt)
        ends = wav_ends(self.store, excerpt, part.definition.audio, part.frames, began, description)
        layout = layout_of(excerpt).between(*ends)
        return target.add(
            path,
            layout.length,
            lambda descriptor, position: write_layout(self.store, self.catalog, layout, descriptor, moved, position),
        )

    def _midi(self, part: Part, excerpt: Excerpt) -> tuple[Smf, dict[str, Any]]:
        since = self.first_read(part)
        history = self._collect(part, since, part.from_sample) if since < part.from_sample else None
        smf = midi_file(
            self.store, self.catalog, excerpt, history, SliceOptions("mid"), lambda done, total, unit: self.check()
        )
        skipped = {reason.value: count for reason, count in sorted(smf.skipped.items())}
        told = {"events": smf.events, "chased": smf.chased, "ended": smf.ended, "skipped": skipped}
        return smf, told | {"chased_from": since}

    # --- where it comes from ---

    def _provenance(self, part: Part, excerpt: Excerpt, written: Written) -> dict[str, Any]:
        latencies = self.catalog.take(part.uri, part.take_number).take.latencies
        return {
            "segment": part.segment,
            "stream_uri": part.uri,
            "path": part.path,
            "bytes": written.bytes,
            "blake3": written.content_hash,
            "take": part.take_number,
            "sample_range": [part.from_sample, part.to_sample],
            "chunks": [
                {
                    "index": piece.chunk_index,
                    "content_hash": _content_hash(piece),
                    "offset": piece.offset,
                    "bytes": piece.length,
                    "sample_range": [piece.from_sample, piece.to_sample],
                }
                for piece in excerpt.pieces
            ],
            "gaps": [
                {
                    "position": gap.position,
                    "frames": gap.frames,
                    "cause": gap.cause.value,
                    "frame_in_file": max(gap.position - part.from_sample, 0),
                }
                for gap in excerpt.gaps
            ],
            "capture_latency": [{"min": latency.min, "max": latency.max} for latency in latencies],
            "clocks": [_snapshot(at) for at in self._clocks(part)],
        }

    def _clocks(self, part: Part) -> Iterator[ClockSnapshot]:
        """Give the last snapshot up to each end, those at which something happened, and one a minute between."""
        rate = part.definition.sample_rate
        window, apart = _WINDOW_SECONDS * rate, _REGULAR_SECONDS * rate
        newest = last_given = -1
        left_out: ClockSnapshot | None = None
        for begin in range(part.from_sample, part.to_sample, window):
            self.check()
            for at in self.catalog.clocks(part.uri, part.take_number, begin, min(begin + window, part.to_sample)):
                position = at.sample_position
                # What comes after the end may come after the export, too.
                if not newest < position <= part.to_sample:
                    continue
                newest = position
                happened = any(reason is not ClockReason.TAKE for reason in at.reasons)
                if happened or last_given < 0 or position - last_given >= apart:
                    last_given, left_out = position, None
                    yield at
                else:
                    left_out = at
        if left_out is not None:
            yield left_out


def _content_hash(piece: Piece) -> str:
    assert isinstance(piece.address, Content)  # all that is exported is sealed
    return piece.address.hash


def _snapshot(at: ClockSnapshot) -> dict[str, Any]:
    return {
        "sample_position": at.sample_position,
        "jack_frame": at.jack_frame,
        "monotonic_us": at.monotonic_us,
        "wall_clock": iso(at.wall_clock_ns),
        "wall_clock_ns": at.wall_clock_ns,
        "reasons": [reason.value for reason in at.reasons],
        "is_freewheeling": at.is_freewheeling,
        "transport": differences(at.transport),
        "midi_clock": differences(at.midi_clock),
    }
