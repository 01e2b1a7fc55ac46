"""Writes a new catalog beside the old one, in one go: no crash can leave half of it, because nobody opens it before."""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable
from types import TracebackType

from jackcapture.catalog import rows
from jackcapture.catalog.connections import translated
from jackcapture.catalog.keeping import insert_holds
from jackcapture.catalog.migration import migrate
from jackcapture.catalog.requests import insert_request
from jackcapture.catalog.sessions import insert_mark, insert_relocation, insert_segment, insert_session
from jackcapture.catalog.suggestions import insert_suggestion
from jackcapture.model.artifacts import Artifact
from jackcapture.model.overviews import overview_bytes
from jackcapture.model.retention import Hold, HolderKind, Removal, Retention
from jackcapture.model.sessions import Session
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.suggestions import Suggestion
from jackcapture.model.takes import ClockSnapshot, Gap, Take
from jackcapture.model.uris import StreamUri
from jackcapture.store import Files
from jackcapture.store.failures import translated as files_translated

SUFFIXES = ("", "-wal", "-shm", "-journal")
"""Of the files that SQLite may keep for one database."""


class NewCatalog:
    """A catalog that is being made at `path`, as a context manager; what was there is replaced. For one thread.

    `finish` makes it a whole one, in one file, which the caller makes durable and renames. On any error it is removed.
    """

    def __init__(self, path: str, store_uuid: str, files: Files) -> None:
        self.path = path
        self._files = files
        with files_translated(files, path), translated(path):
            self._remove()
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                self._db.row_factory = sqlite3.Row
                # If this is cut short, the file is made anew.
                self._db.execute("PRAGMA journal_mode = OFF")
                self._db.execute("PRAGMA synchronous = OFF")
                migrate(self._db, path)
                self._db.execute("BEGIN")
                self._db.execute("INSERT INTO identity VALUES (?)", (store_uuid,))
                os.chmod(path, 0o600)
            except BaseException:
                self._db.close()
                self._remove_if_possible()
                raise

    def __enter__(self) -> "NewCatalog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        if error is not None:
            self._remove_if_possible()

    def _remove_if_possible(self) -> None:
        # If it stays, the next one removes it; that must not hide what went wrong.
        with contextlib.suppress(OSError):
            self._remove()

    def _remove(self) -> None:
        for suffix in SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                self._files.unlink(self.path + suffix)

    def finish(self) -> None:
        """Complete the file; nothing can be added any more."""
        with translated(self.path):
            self._db.execute("COMMIT")
            self._db.close()

    def add_artifact(self, artifact: Artifact, holds: Iterable[Hold] = ()) -> None:
        """Enter an artifact, and what it holds."""
        with translated(self.path):
            rows.insert_artifact(self._db, artifact)
            insert_holds(self._db, holds)

    def has_artifact(self, artifact_id: str) -> bool:
        """Tell whether an artifact is entered."""
        with translated(self.path):
            return self._db.execute("SELECT 1 FROM artifacts WHERE id = ?", (artifact_id,)).fetchone() is not None

    def has_stream(self, uri: StreamUri) -> bool:
        """Tell whether a stream is entered."""
        with translated(self.path):
            return self._db.execute("SELECT 1 FROM streams WHERE uri = ?", (uri,)).fetchone() is not None

    def add_stream(
        self, definition: StreamDefinition, artifact_id: str, created_at_ns: int, retention: Retention
    ) -> int:
        """Enter a stream whose definition is entered; gives its row id."""
        with translated(self.path):
            cursor = self._db.execute(
                "INSERT INTO streams (uri, definition, definition_artifact, created_at_ns, keep_ns, keep_bytes,"
                " keep_chunks) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    definition.uri,
                    json.dumps(definition.as_json()),
                    artifact_id,
                    created_at_ns,
                    retention.keep_ns,
                    retention.keep_bytes,
                    retention.keep_chunks,
                ),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def add_pin(self, stream_id: int, name: str, from_sample: int, to_sample: int, created_at_ns: int) -> None:
        """Enter a pin."""
        with translated(self.path):
            self._db.execute(
                "INSERT OR IGNORE INTO holds VALUES (?, ?, ?, ?, ?, ?)",
                (stream_id, HolderKind.PIN, name, from_sample, to_sample, created_at_ns),
            )

    def add_take(
        self,
        stream_id: int,
        definition: StreamDefinition,
        take: Take,
        error: str,
        chunks: Iterable[rows.SealedChunk],
        removals: Iterable[Removal],
        gaps: list[Gap],
        clocks: Iterable[ClockSnapshot],
    ) -> None:
        """Enter a take with all that belongs to it; its totals are made from that."""
        removals = list(removals)
        with translated(self.path):
            cursor = self._db.execute(
                "INSERT INTO takes (stream_id, number, start_frame, first_sample, samples, started_at_ns, ended_at_ns,"
                " error, latencies) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    stream_id,
                    take.number,
                    take.start_frame,
                    take.first_sample,
                    take.samples,
                    take.started_at_ns,
                    take.ended_at_ns,
                    error,
                    rows.latencies_as_json(take.latencies),
                ),
            )
            take_id = cursor.lastrowid
            assert take_id is not None
            totals = dict.fromkeys(("chunks", "samples", "bytes", "overviews", "clipped"), 0)
            for sealed in chunks:
                self._add_chunk(take_id, definition, sealed, totals)
            self._db.executemany(
                "INSERT INTO removals VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        take_id,
                        gone.first_index,
                        gone.end_index,
                        gone.first_sample,
                        gone.end_sample,
                        gone.reason,
                        gone.removed_at_ns,
                    )
                    for gone in removals
                ],
            )
            rows.insert_observations(self._db, take_id, gaps, clocks)
            removed = sum(gone.end_index - gone.first_index for gone in removals)
            self._db.execute(
                "UPDATE takes SET sealed_chunks = ?, sealed_samples = ?, sealed_bytes = ?, overview_bytes = ?,"
                " clipped_samples = ?, gap_count = ?, lost_frames = ?, removed_chunks = ? WHERE id = ?",
                (
                    totals["chunks"] + removed,
                    totals["samples"] + sum(gone.end_sample - gone.first_sample for gone in removals),
                    totals["bytes"],
                    totals["overviews"],
                    totals["clipped"],
                    len(gaps),
                    sum(gap.frames for gap in gaps),
                    removed,
                    take_id,
                ),
            )

    def _add_chunk(
        self, take_id: int, definition: StreamDefinition, sealed: rows.SealedChunk, totals: dict[str, int]
    ) -> None:
        chunk = sealed.chunk
        self._db.execute(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
            (
                take_id,
                chunk.index,
                chunk.first_sample,
                chunk.samples,
                chunk.bytes,
                sealed.content.hash,
                chunk.wall_clock_ns,
                chunk.clipped_samples,
                None if sealed.overview is None else sealed.overview.hash,
            ),
        )
        totals["chunks"] += 1
        totals["samples"] += chunk.samples
        totals["bytes"] += chunk.bytes
        totals["clipped"] += chunk.clipped_samples
        if sealed.overview is not None:
            totals["overviews"] += overview_bytes(chunk.samples, definition.audio.channels)

    def take(self, uri: StreamUri, number: int) -> tuple[int, int, int] | None:
        """Give a take's start frame, its first sample position and the one after its last; None if it is not there."""
        with translated(self.path):
            row = self._db.execute(
                "SELECT start_frame, first_sample, first_sample + samples AS end_sample FROM takes"
                " WHERE stream_id = (SELECT id FROM streams WHERE uri = ?) AND number = ?",
                (uri, number),
            ).fetchone()
        return None if row is None else (row["start_frame"], row["first_sample"], row["end_sample"])

    def documents_of(self, uri: StreamUri) -> list[str]:
        """Give the ids of the artifacts of a stream's definition and newest manifest, as far as they are there."""
        with translated(self.path):
            found = self._db.execute(
                "SELECT definition_artifact FROM streams WHERE uri = ?1 UNION ALL SELECT id FROM"
                " (SELECT id FROM artifacts WHERE kind = 'manifest' AND stream_uri = ?1"
                " ORDER BY created_at_ns DESC, id LIMIT 1)",
                (uri,),
            )
            return [row[0] for row in found]

    def add_session(self, session: Session, suggestions: Iterable[Suggestion] = ()) -> None:
        """Enter a session whose streams and takes are entered, with all that it has and holds."""
        with translated(self.path):
            number = insert_session(self._db, session)
            for segment in session.segments:
                insert_segment(self._db, number, session.id, segment, segment.started.wall_clock_ns)
            for mark in session.marks:
                insert_mark(self._db, number, mark)
            for relocation in session.relocations:
                insert_relocation(self._db, number, relocation)
            for request in session.requests:
                insert_request(self._db, number, request)
            for suggestion in suggestions:
                insert_suggestion(self._db, number, suggestion)

    def is_known(self, content_hash: str) -> bool:
        """Tell whether a row needs this content."""
        with translated(self.path):
            return any(
                self._db.execute(f"SELECT 1 FROM {table} WHERE {column} = ? LIMIT 1", (content_hash,)).fetchone()  # noqa: S608
                for table, column in (
                    ("chunks", "content_hash"),
                    ("chunks", "overview_hash"),
                    ("artifacts", "content_hash"),
                )
            )
