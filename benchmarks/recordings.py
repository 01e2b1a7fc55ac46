"""Recordings without an engine: an hour of samples in chunks, and the rows of a catalog of any length."""

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from jackcapture.catalog import Catalog, SealedChunk
from jackcapture.catalog.catalog import new_artifact_id
from jackcapture.control.contents import Contents
from jackcapture.control.documents import MANIFEST_TYPE, enter_definition
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.slices.requests import SliceOptions, SliceRequest
from jackcapture.control.slices.slicer import Slicer
from jackcapture.model.addresses import Content
from jackcapture.model.artifacts import Artifact
from jackcapture.model.overviews import overview_bytes
from jackcapture.model.results import SliceResult
from jackcapture.model.retention import KEEP_ALL
from jackcapture.model.streams import DEFAULT_CHUNK_BYTES, AudioFormat, SampleFormat, StreamDefinition
from jackcapture.model.takes import Chunk, ClockSnapshot, Take
from jackcapture.model.uris import StreamUri, parse_stream_uri
from jackcapture.store import Store

RATE = 48_000
FORMAT = AudioFormat(RATE, 2, SampleFormat.F32)
HOUR_FRAMES = 3600 * RATE
HOUR_BYTES = HOUR_FRAMES * FORMAT.frame_bytes
BEGAN_NS = 1_700_000_000 * 10**9

_GAP_FRAMES = 64


@dataclass(frozen=True, slots=True)
class Extent:
    """How much a catalog's streams have: seconds in all, and between gaps; every second stream has `takes`, others one.

    Seconds are a multiple of takes times those of a chunk.
    """

    seconds: int
    takes: int = 1
    chunk_seconds: int = 20
    gap_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Recording:
    """One stream in a store, as control has it."""

    store: Store
    catalog: Catalog
    contents: Contents
    stream: ManagedStream

    def cut(self, from_sample: int, to_sample: int, *, is_virtual: bool = False) -> SliceResult:
        """Cut a WAV slice."""
        options = SliceOptions("wav", is_virtual=is_virtual)
        request = SliceRequest(self.stream, None, from_sample, to_sample, options, f"{from_sample} to {to_sample}")
        return Slicer(self.store, self.catalog, self.contents).cut(request, lambda *_: None)[0]

    def delete(self, result: SliceResult) -> None:
        """Delete a slice, so that the next one is made anew."""
        self.catalog.keeping.mark_artifact(result.artifact_id)
        self.contents.remove_marked()


@contextlib.contextmanager
def opened(root: Path) -> Iterator[Recording]:
    """Open the first stream of a store."""
    store = Store.create_or_open(str(root))
    catalog = Catalog(str(root / "catalog.db"), store.uuid)
    try:
        yield Recording(store, catalog, Contents(store, catalog), ManagedStream(catalog.streams()[0]))
    finally:
        catalog.close()


def record_hour(root: Path) -> None:
    """Make a store with an hour of stereo noise in float, sealed in chunks of the default size."""
    store = Store.create_or_open(str(root))
    catalog = Catalog(str(root / "catalog.db"), store.uuid)
    try:
        uri = _define(store, catalog, "stream://bench/hour", DEFAULT_CHUNK_BYTES)
        catalog.begin_take(Take(uri, 1, 1000, 0, None, BEGAN_NS, None))
        noise, chunk_frames = np.random.default_rng(1), DEFAULT_CHUNK_BYTES // FORMAT.frame_bytes
        for index, first in enumerate(range(0, HOUR_FRAMES, chunk_frames)):
            frames = min(chunk_frames, HOUR_FRAMES - first)
            data = noise.uniform(-1, 1, frames * FORMAT.channels).astype("<f4").tobytes()
            seconds = range(-(-first // RATE), -(-(first + frames) // RATE))
            chunk = Chunk(
                index, first, frames, len(data), _ns(first + frames), clocks=tuple(map(_snapshot, seconds))
            )  # fmt: skip
            catalog.add_chunk(uri, SealedChunk(1, chunk, store.put(data).content))
        catalog.end_take(uri, 1, HOUR_FRAMES, _ns(HOUR_FRAMES), "")
    finally:
        catalog.close()


def record_catalog(root: Path, streams: int, extent: Extent) -> None:
    """Make a store whose catalog has so many streams of such an extent.

    All chunks are silent, and so one content. A clock snapshot is in each second. The manifests tell only how many
    takes there were: what is measured here does not read them.
    """
    store = Store.create_or_open(str(root))
    path = str(root / "catalog.db")
    catalog = Catalog(path, store.uuid)
    chunk_bytes = extent.chunk_seconds * RATE * FORMAT.frame_bytes
    try:
        uris = [
            _define(store, catalog, f"stream://bench/track-{number:02}", chunk_bytes)
            for number in range(1, streams + 1)
        ]
        content = store.put(bytes(chunk_bytes)).content
        overview = store.put(bytes(overview_bytes(extent.chunk_seconds * RATE, FORMAT.channels))).content
        manifest = store.put(json.dumps({"type": MANIFEST_TYPE, "takes": []}).encode())
        for number, uri in enumerate(uris):
            last = extent.takes if number % 2 else 1
            catalog.add_artifact(
                Artifact(
                    new_artifact_id("manifest"), "manifest", manifest.content.hash, MANIFEST_TYPE, manifest.bytes,
                    time.time_ns(), uri, (catalog.stream(uri).definition_artifact,), metadata={"last_take": last},
                )
            )  # fmt: skip
    finally:
        catalog.close()
    # Rows by the million: not one transaction each, as a recording has them.
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        for number in range(streams):
            count = extent.takes if number % 2 else 1
            for take in range(count):
                _insert_take(db, number + 1, take, replace(extent, seconds=extent.seconds // count), content, overview)
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        db.close()
    os.sync()  # what is written back late is not to be in what is measured


def _define(store: Store, catalog: Catalog, uri: str, chunk_bytes: int) -> StreamUri:
    definition = StreamDefinition(parse_stream_uri(uri), "bench", FORMAT, chunk_bytes)
    return enter_definition(Contents(store, catalog), catalog, definition, KEEP_ALL).definition.uri


def _insert_take(
    db: sqlite3.Connection, stream_id: int, index: int, extent: Extent, content: Content, overview: Content
) -> None:
    """Enter take `index` (from 0) of such an extent, with its chunks, gaps and clock snapshots."""
    seconds, chunk_frames, gap_frames = extent.seconds, extent.chunk_seconds * RATE, int(extent.gap_seconds * RATE)
    first, samples, chunks = index * seconds * RATE, seconds * RATE, seconds // extent.chunk_seconds
    size, gaps = overview_bytes(chunk_frames, FORMAT.channels), samples // gap_frames
    take_id = db.execute(
        "INSERT INTO takes (stream_id, number, start_frame, first_sample, samples, started_at_ns, ended_at_ns,"
        " sealed_chunks, sealed_samples, sealed_bytes, gap_count, lost_frames, overview_bytes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            stream_id, index + 1, first + 1000, first, samples, _ns(first), _ns(first + samples),
            chunks, samples, samples * FORMAT.frame_bytes, gaps, gaps * _GAP_FRAMES, chunks * size,
        ),
    ).lastrowid  # fmt: skip
    counted = "WITH RECURSIVE counted (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted WHERE n + 1 < :count)"
    db.execute(
        f"{counted} INSERT INTO chunks SELECT :take, n, :first + n * :frames, :frames, :bytes, :content,"  # noqa: S608 - fixed
        " :began + (n + 1) * :ns, 0, :overview, NULL FROM counted",
        {
            "count": chunks, "take": take_id, "first": first, "frames": chunk_frames, "content": content.hash,
            "bytes": chunk_frames * FORMAT.frame_bytes, "began": _ns(first), "ns": extent.chunk_seconds * 10**9,
            "overview": overview.hash,
        },
    )  # fmt: skip
    db.execute(
        f"{counted} INSERT INTO gaps SELECT :take, :first + n * :every + 1234, :frames, 'xrun' FROM counted",  # noqa: S608 - fixed
        {"count": gaps, "take": take_id, "first": first, "every": gap_frames, "frames": _GAP_FRAMES},
    )
    db.execute(
        f"{counted} INSERT INTO clock_snapshots SELECT :take, :first + n * :rate, :first + n * :rate + 1000,"  # noqa: S608 - fixed
        " (:began + n * 1000000000) / 1000, :began + n * 1000000000, '', 64, 0, '{}', '{}' FROM counted",
        {"count": seconds, "take": take_id, "first": first, "rate": RATE, "began": _ns(first)},
    )


def _ns(position: int) -> int:
    return BEGAN_NS + position * 10**9 // RATE


def _snapshot(second: int) -> ClockSnapshot:
    position = second * RATE
    return ClockSnapshot(position, position + 1000, _ns(position) // 1000, _ns(position))
