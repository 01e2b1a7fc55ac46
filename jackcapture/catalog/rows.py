"""Rows of the catalog as typed values, and back."""

import dataclasses
import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jackcapture.model.addresses import Content
from jackcapture.model.artifacts import Artifact
from jackcapture.model.retention import KEEP_ALL, Retention
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.takes import (
    NO_TRANSPORT,
    Chunk,
    ClockReason,
    ClockSnapshot,
    Gap,
    Latency,
    MidiClock,
    Take,
    Transport,
    TransportState,
)
from jackcapture.model.uris import StreamUri

_NOTHING = "{}"  # what most clock snapshots have of transport and MIDI clock; a slice reads some hundred
_STILL_MIDI_CLOCK = MidiClock()


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """A stream as the catalog knows it."""

    definition: StreamDefinition
    definition_artifact: str
    created_at_ns: int
    retention: Retention = KEEP_ALL


@dataclass(frozen=True, slots=True)
class TakeRecord:
    """A take, why it ended by itself (empty: it did not), and the totals of what was sealed of it.

    They count also what was removed since, `removed_chunks` and `removed_bytes` (with overviews).
    """

    take: Take
    error: str
    sealed_chunks: int
    sealed_samples: int
    sealed_bytes: int
    gap_count: int
    lost_frames: int
    clipped_samples: int = 0
    removed_chunks: int = 0
    removed_bytes: int = 0

    @property
    def end_sample(self) -> int:
        """The position after the take's last sample, or after its last sealed one while it runs."""
        samples = self.sealed_samples if self.take.samples is None else self.take.samples
        return self.take.first_sample + samples


_TOTALS = (
    "sealed_chunks",
    "sealed_samples",
    "sealed_bytes",
    "gap_count",
    "lost_frames",
    "clipped_samples",
    "removed_chunks",
    "removed_bytes",
)


@dataclass(frozen=True, slots=True)
class StreamTotals:
    """What is kept of a stream (bytes with overviews), and what its takes lost and clipped, over all takes."""

    takes: int
    kept_chunks: int
    kept_bytes: int
    gap_count: int
    lost_frames: int
    clipped_samples: int = 0


@dataclass(frozen=True, slots=True)
class SealedChunk:
    """A chunk in the store, and its overview if it has one; its gaps and clocks are asked for by themselves."""

    take_number: int
    chunk: Chunk
    content: Content
    overview: Content | None = None


def insert_observations(
    db: sqlite3.Connection, take_id: int, gaps: Iterable[Gap], clocks: Iterable[ClockSnapshot]
) -> None:
    """Enter gaps and clock snapshots of a take; those that are known are left as they are."""
    db.executemany(
        "INSERT OR IGNORE INTO gaps VALUES (?, ?, ?, ?)",
        [(take_id, gap.position, gap.frames, gap.cause.value) for gap in gaps],
    )
    db.executemany(
        "INSERT OR IGNORE INTO clock_snapshots VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                take_id,
                at.sample_position,
                at.jack_frame,
                at.monotonic_us,
                at.wall_clock_ns,
                ",".join(at.reasons),
                at.period,
                at.is_freewheeling,
                json.dumps(differences(at.transport)),
                json.dumps(differences(at.midi_clock)),
            )
            for at in clocks
        ],
    )


def clock_snapshot(row: sqlite3.Row) -> ClockSnapshot:
    """Read a clock snapshot."""
    return ClockSnapshot(
        row["sample_position"],
        row["jack_frame"],
        row["monotonic_us"],
        row["wall_clock_ns"],
        tuple(ClockReason(word) for word in row["reasons"].split(",") if word),
        row["period"],
        bool(row["is_freewheeling"]),
        _transport(row["transport"]),
        _STILL_MIDI_CLOCK if row["midi_clock"] == _NOTHING else MidiClock(**json.loads(row["midi_clock"])),
    )


def _transport(text: str) -> Transport:
    if text == _NOTHING:
        return NO_TRANSPORT
    values = json.loads(text)
    if "state" in values:
        values["state"] = TransportState(values["state"])
    return Transport(**values)


def latencies_as_json(latencies: Iterable[Latency]) -> str:
    """Write the latencies of a take's ports."""
    return json.dumps([[latency.min, latency.max] for latency in latencies])


def differences(clock: Transport | MidiClock) -> dict[str, Any]:
    """Give what differs from a clock that has not moved, which most clocks have not: a row a second adds up."""
    still = NO_TRANSPORT if isinstance(clock, Transport) else _STILL_MIDI_CLOCK
    if clock == still:
        return {}
    names = (field.name for field in dataclasses.fields(clock))
    return {name: getattr(clock, name) for name in names if getattr(clock, name) != getattr(still, name)}


def insert_artifact(db: sqlite3.Connection, artifact: Artifact) -> None:
    """Enter an artifact with its parents and tags."""
    db.execute(
        "INSERT INTO artifacts VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
        (
            artifact.id,
            artifact.kind,
            artifact.content_hash,
            artifact.mime_type,
            artifact.bytes,
            artifact.created_at_ns,
            artifact.stream_uri,
            json.dumps(artifact.metadata),
        ),
    )
    parents: Sequence[tuple[str, str, int]] = [(artifact.id, parent, i) for i, parent in enumerate(artifact.parents)]
    db.executemany("INSERT INTO artifact_parents VALUES (?, ?, ?)", parents)
    db.executemany("INSERT INTO artifact_tags VALUES (?, ?)", [(artifact.id, tag) for tag in artifact.tags])


def stream(row: sqlite3.Row) -> StreamRecord:
    """Read a stream."""
    definition = StreamDefinition.from_json(json.loads(row["definition"]))
    retention = Retention(row["keep_ns"], row["keep_bytes"], row["keep_chunks"])
    return StreamRecord(definition, row["definition_artifact"], row["created_at_ns"], retention)


def take(uri: StreamUri, row: sqlite3.Row) -> TakeRecord:
    """Read a take."""
    fields: dict[str, Any] = {
        name: row[name] for name in ("number", "start_frame", "first_sample", "samples", "started_at_ns", "ended_at_ns")
    }
    fields["latencies"] = tuple(Latency(*ends) for ends in json.loads(row["latencies"]))
    totals = {name: row[name] for name in _TOTALS}
    return TakeRecord(Take(uri, **fields), row["error"], **totals)


def chunk(take_number: int, row: sqlite3.Row) -> SealedChunk:
    """Read a chunk."""
    found = Chunk(
        row["chunk_index"],
        row["first_sample"],
        row["samples"],
        row["bytes"],
        row["wall_clock_ns"],
        clipped_samples=row["clipped_samples"],
    )
    overview = None if row["overview_hash"] is None else Content(row["overview_hash"])
    return SealedChunk(take_number, found, Content(row["content_hash"]), overview)


def artifact(db: sqlite3.Connection, row: sqlite3.Row) -> Artifact:
    """Read an artifact with its parents and tags."""
    parents = db.execute(
        "SELECT parent_id FROM artifact_parents WHERE artifact_id = ? ORDER BY ordinal", (row["id"],)
    ).fetchall()
    tags = db.execute("SELECT tag FROM artifact_tags WHERE artifact_id = ? ORDER BY tag", (row["id"],)).fetchall()
    return Artifact(
        id=row["id"],
        kind=row["kind"],
        content_hash=row["content_hash"],
        mime_type=row["mime_type"],
        bytes=row["bytes"],
        created_at_ns=row["created_at_ns"],
        stream_uri=row["stream_uri"],
        parents=tuple(parent["parent_id"] for parent in parents),
        tags=tuple(tag["tag"] for tag in tags),
        metadata=json.loads(row["metadata"]),
    )
