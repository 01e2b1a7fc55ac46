"""Queries and changes of the catalog. Every method may be called on any thread; changes are one transaction each."""

import json
import secrets
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import astuple

from jackcapture.catalog import rows
from jackcapture.catalog.connections import Connections, translated
from jackcapture.catalog.keeping import Keeping, insert_holds
from jackcapture.catalog.migration import migrate
from jackcapture.catalog.requests import RequestRows
from jackcapture.catalog.rows import SealedChunk, StreamRecord, StreamTotals, TakeRecord
from jackcapture.catalog.sessions import SessionRows
from jackcapture.catalog.suggestions import SuggestionRows
from jackcapture.errors import ConflictError, NotFoundError, StorageDamagedError
from jackcapture.model.artifacts import Artifact
from jackcapture.model.retention import KEEP_ALL, Hold, Retention
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.takes import ClockSnapshot, Gap, GapCause, Latency, Take
from jackcapture.model.uris import StreamUri


class Catalog:
    """The catalog of one store."""

    keeping: Keeping
    """Retention, holds and removals."""

    sessions: SessionRows
    """Sessions, their segments and marks."""

    requests: RequestRows
    """Requests of sessions, as they begin and end."""

    suggestions: SuggestionRows
    """What stood out in triggered sessions."""

    def __init__(self, path: str, store_uuid: str) -> None:
        """Open or make the catalog; raises `StorageDamagedError` if it is another store's or a newer version's."""
        self._connections = Connections(path)
        try:
            with translated(path):
                migrate(self._connections.writer, path)
            self._check_identity(path, store_uuid)
            self.keeping = Keeping(self._connections)
            self.sessions = SessionRows(self._connections)
            self.requests = RequestRows(self._connections)
            self.suggestions = SuggestionRows(self._connections)
        except BaseException:
            self._connections.close()
            raise

    def close(self) -> None:
        """Close all connections; no other thread may be using the catalog."""
        self._connections.close()

    # --- streams ---

    def add_stream(
        self, definition: StreamDefinition, artifact: Artifact, retention: Retention = KEEP_ALL
    ) -> StreamRecord:
        """Enter a stream with the artifact of its definition; raises `ConflictError` if the URI is taken."""
        now = time.time_ns()
        with self._connections.write() as db:
            if db.execute("SELECT 1 FROM streams WHERE uri = ?", (definition.uri,)).fetchone():
                raise ConflictError(
                    f"{definition.uri} exists already; its definition cannot change, so choose another URI",
                    uri=definition.uri,
                )
            rows.insert_artifact(db, artifact)
            db.execute(
                "INSERT INTO streams"
                " (uri, definition, definition_artifact, created_at_ns, keep_ns, keep_bytes, keep_chunks)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (definition.uri, json.dumps(definition.as_json()), artifact.id, now, *astuple(retention)),
            )
        return StreamRecord(definition, artifact.id, now, retention)

    def stream(self, uri: StreamUri) -> StreamRecord:
        """Give a stream; raises `NotFoundError`, naming those there are."""
        with self._connections.read() as db:
            row = db.execute("SELECT * FROM streams WHERE uri = ?", (uri,)).fetchone()
            if row is None:
                known = [row["uri"] for row in db.execute("SELECT uri FROM streams ORDER BY uri LIMIT 20")]
                there_are = f"there are {', '.join(known)}" if known else "there are none; create one first"
                raise NotFoundError(f"no stream {uri}; {there_are}", uri=uri, known=known)
        return rows.stream(row)

    def streams(self) -> list[StreamRecord]:
        """Give all streams, by URI."""
        with self._connections.read() as db:
            return [rows.stream(row) for row in db.execute("SELECT * FROM streams ORDER BY uri")]

    # --- takes and chunks ---

    def begin_take(self, take: Take) -> None:
        """Enter a take that has begun; one that is known already is left as it is. Raises `NotFoundError`."""
        self.begin_takes([take])

    def begin_takes(self, takes: Iterable[Take]) -> None:
        """Enter several takes, all or none."""
        with self._connections.write() as db:
            for take in takes:
                if not db.execute("SELECT 1 FROM streams WHERE uri = ?", (take.uri,)).fetchone():
                    raise NotFoundError(f"no stream {take.uri}", uri=take.uri)
                db.execute(
                    "INSERT INTO takes (stream_id, number, start_frame, first_sample, started_at_ns)"
                    " VALUES ((SELECT id FROM streams WHERE uri = ?), ?, ?, ?, ?)"
                    " ON CONFLICT (stream_id, number) DO NOTHING",
                    (take.uri, take.number, take.start_frame, take.first_sample, take.started_at_ns),
                )

    def end_take(self, uri: StreamUri, number: int, samples: int, ended_at_ns: int, error: str) -> None:
        """Note that a take has ended after `samples`, and why if by itself; a take ends once."""
        with self._connections.write() as db:
            db.execute(
                "UPDATE takes SET samples = ?, ended_at_ns = ?, error = ? WHERE id = ? AND samples IS NULL",
                (samples, ended_at_ns, error, _take_id(db, uri, number)),
            )

    def note_latencies(self, uri: StreamUri, number: int, latencies: Iterable[Latency]) -> None:
        """Note the capture latencies of a take's ports, in their order, in place of those noted before."""
        with self._connections.write() as db:
            db.execute(
                "UPDATE takes SET latencies = ? WHERE id = ?",
                (rows.latencies_as_json(latencies), _take_id(db, uri, number)),
            )

    def withdraw_take(self, uri: StreamUri, number: int) -> None:
        """Remove a take that did not come to be: one that has no chunk and has not ended."""
        with self._connections.write() as db:
            take_id = _take_id(db, uri, number)
            db.execute(
                "DELETE FROM takes WHERE id = ? AND samples IS NULL"
                " AND NOT EXISTS (SELECT 1 FROM chunks WHERE take_id = takes.id)",
                (take_id,),
            )

    def add_chunk(self, uri: StreamUri, sealed: SealedChunk, *, overview_bytes: int = 0) -> bool:
        """Enter a sealed chunk with its gaps and clocks; False if it is known already.

        `overview_bytes` is the length of its overview.
        """
        chunk = sealed.chunk
        with self._connections.write() as db:
            take_id = _take_id(db, uri, sealed.take_number)
            added = db.execute(
                "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL) ON CONFLICT DO NOTHING",
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
            ).rowcount
            if not added:
                return False
            rows.insert_observations(db, take_id, chunk.gaps, chunk.clocks)
            db.execute(
                "UPDATE takes SET sealed_chunks = sealed_chunks + 1, sealed_samples = sealed_samples + ?,"
                " sealed_bytes = sealed_bytes + ?, gap_count = gap_count + ?, lost_frames = lost_frames + ?,"
                " clipped_samples = clipped_samples + ?, overview_bytes = overview_bytes + ? WHERE id = ?",
                (
                    chunk.samples,
                    chunk.bytes,
                    len(chunk.gaps),
                    sum(gap.frames for gap in chunk.gaps),
                    chunk.clipped_samples,
                    overview_bytes,
                    take_id,
                ),
            )
        return True

    def takes(self, uri: StreamUri) -> list[TakeRecord]:
        """Give all takes of a stream, in order."""
        with self._connections.read() as db:
            found = db.execute(
                "SELECT takes.* FROM takes JOIN streams ON streams.id = stream_id WHERE uri = ? ORDER BY number", (uri,)
            )
            return [rows.take(uri, row) for row in found]

    def take(self, uri: StreamUri, number: int) -> TakeRecord:
        """Give one take; raises `NotFoundError`."""
        with self._connections.read() as db:
            row = db.execute("SELECT * FROM takes WHERE id = ?", (_take_id(db, uri, number),)).fetchone()
        return rows.take(uri, row)

    def newest_takes(self, uri: StreamUri, limit: int) -> list[TakeRecord]:
        """Give the newest takes of a stream, oldest first."""
        with self._connections.read() as db:
            found = db.execute(
                "SELECT takes.* FROM takes JOIN streams ON streams.id = stream_id WHERE uri = ?"
                " ORDER BY number DESC LIMIT ?",
                (uri, limit),
            )
            return [rows.take(uri, row) for row in found][::-1]

    def newest_gaps(self, uri: StreamUri, limit: int) -> list[Gap]:
        """Give the newest gaps of a stream, oldest first."""
        with self._connections.read() as db:
            found = db.execute(
                "SELECT gaps.* FROM gaps JOIN takes ON takes.id = take_id JOIN streams ON streams.id = stream_id"
                " WHERE uri = ? ORDER BY number DESC, position DESC LIMIT ?",
                (uri, limit),
            )
            return [Gap(row["position"], row["frames"], GapCause(row["cause"])) for row in found][::-1]

    def last_take(self, uri: StreamUri) -> TakeRecord | None:
        """Give the newest take of a stream."""
        takes = self.newest_takes(uri, 1)
        return takes[0] if takes else None

    def sealed_end(self, uri: StreamUri, number: int) -> int:
        """Give the position after the last sealed chunk of a take, whether all before it are sealed or not."""
        with self._connections.read() as db:
            row = db.execute(
                "SELECT ifnull((SELECT max(first_sample + samples) FROM chunks WHERE take_id = takes.id), first_sample)"
                " FROM takes WHERE id = ?",
                (_take_id(db, uri, number),),
            ).fetchone()
        return int(row[0])

    def totals(self, uri: StreamUri) -> StreamTotals:
        """Give what is kept of a stream, and what its takes lost."""
        with self._connections.read() as db:
            row = db.execute(
                "SELECT count(*), total(sealed_chunks - removed_chunks),"
                " total(sealed_bytes + overview_bytes - removed_bytes), total(gap_count), total(lost_frames),"
                " total(clipped_samples)"
                " FROM takes JOIN streams ON streams.id = stream_id WHERE uri = ?",
                (uri,),
            ).fetchone()
        return StreamTotals(*(int(value) for value in row))

    def chunk(self, uri: StreamUri, take_number: int, index: int) -> SealedChunk:
        """Give one sealed chunk; raises `NotFoundError`."""
        with self._connections.read() as db:
            row = db.execute(
                "SELECT chunks.* FROM chunks JOIN takes ON takes.id = take_id JOIN streams ON streams.id = stream_id"
                " WHERE uri = ? AND number = ? AND chunk_index = ? AND removing IS NULL",
                (uri, take_number, index),
            ).fetchone()
        if row is None:
            raise NotFoundError(f"{uri} has no sealed chunk {index} in take {take_number}", uri=uri)
        return rows.chunk(take_number, row)

    def chunks(self, uri: StreamUri, from_sample: int, to_sample: int) -> list[SealedChunk]:
        """Give the sealed chunks that overlap `[from_sample, to_sample)`, in order, without those being removed."""
        found = []
        with self._connections.read() as db:
            for take_id, number in _takes_over(db, uri, from_sample, to_sample):
                matching = db.execute(
                    "SELECT * FROM chunks WHERE take_id = ? AND removing IS NULL AND first_sample < ?"
                    " AND first_sample >="
                    " ifnull((SELECT max(first_sample) FROM chunks WHERE take_id = ? AND first_sample <= ?), 0)"
                    " ORDER BY first_sample",
                    (take_id, to_sample, take_id, from_sample),
                )
                found += [rows.chunk(number, row) for row in matching]
        return [sealed for sealed in found if sealed.chunk.end_sample > from_sample]

    def gaps(self, uri: StreamUri, from_sample: int, to_sample: int) -> list[Gap]:
        """Give the gaps that overlap `[from_sample, to_sample)`, in order."""
        found = []
        with self._connections.read() as db:
            for take_id, _ in _takes_over(db, uri, from_sample, to_sample):
                # Of those that begin before the range only the last may reach into it: gaps of a take do not overlap.
                found += db.execute(
                    "SELECT * FROM gaps WHERE take_id = ?1 AND position < ?2 AND position >="
                    " ifnull((SELECT max(position) FROM gaps WHERE take_id = ?1 AND position <= ?3), 0)"
                    " AND position + frames > ?3 ORDER BY position",
                    (take_id, to_sample, from_sample),
                ).fetchall()
        return [Gap(row["position"], row["frames"], GapCause(row["cause"])) for row in found]

    def clocks(self, uri: StreamUri, take_number: int, from_sample: int, to_sample: int) -> list[ClockSnapshot]:
        """Give a take's clock snapshots in `[from_sample, to_sample)` and the one on each side, in order."""
        with self._connections.read() as db:
            take_id = _take_id(db, uri, take_number)
            found = db.execute(
                "SELECT * FROM clock_snapshots WHERE take_id = ?1"
                " AND sample_position >= ifnull((SELECT max(sample_position) FROM clock_snapshots"
                "     WHERE take_id = ?1 AND sample_position < ?2), 0)"
                " AND sample_position <= ifnull((SELECT min(sample_position) FROM clock_snapshots"
                "     WHERE take_id = ?1 AND sample_position >= ?3), 9223372036854775807) ORDER BY sample_position",
                (take_id, from_sample, to_sample),
            )
            return [rows.clock_snapshot(row) for row in found]

    def last_clock_position(self, uri: StreamUri, take_number: int, wall_clock_ns: int) -> int | None:
        """Give where a take's last snapshot is whose wall clock is not after a time; None if there is none.

        That is the newest place where the wall clock passed that time, also if it was set back meanwhile.
        """
        with self._connections.read() as db:
            row = db.execute(
                "SELECT max(sample_position) FROM clock_snapshots WHERE take_id = ? AND wall_clock_ns <= ?",
                (_take_id(db, uri, take_number), wall_clock_ns),
            ).fetchone()
        return None if row[0] is None else int(row[0])

    def end_clocks(self, uri: StreamUri, take_number: int) -> list[ClockSnapshot]:
        """Give the first and the last clock snapshot of a take."""
        with self._connections.read() as db:
            found = db.execute(
                "SELECT * FROM clock_snapshots WHERE take_id = ?1 AND sample_position IN"
                " ((SELECT min(sample_position) FROM clock_snapshots WHERE take_id = ?1),"
                " (SELECT max(sample_position) FROM clock_snapshots WHERE take_id = ?1)) ORDER BY sample_position",
                (_take_id(db, uri, take_number),),
            )
            return [rows.clock_snapshot(row) for row in found]

    def has_transport(self, uri: StreamUri, take_number: int) -> bool:
        """Tell whether the transport ever did anything in a take but stand at frame 0."""
        with self._connections.read() as db:
            return (
                db.execute(
                    "SELECT 1 FROM clock_snapshots WHERE take_id = ? AND transport <> '{}' LIMIT 1",
                    (_take_id(db, uri, take_number),),
                ).fetchone()
                is not None
            )

    def add_clocks(self, uri: StreamUri, take_number: int, clocks: Iterable[ClockSnapshot]) -> None:
        """Enter clock snapshots that belong to no chunk, such as the one at a take's start."""
        with self._connections.write() as db:
            rows.insert_observations(db, _take_id(db, uri, take_number), (), clocks)

    # --- artifacts ---

    def add_artifact(self, artifact: Artifact, *, holds: Iterable[Hold] = ()) -> None:
        """Enter an artifact with parents and tags, and what it holds."""
        with self._connections.write() as db:
            rows.insert_artifact(db, artifact)
            insert_holds(db, holds)

    def artifact(self, artifact_id: str) -> Artifact:
        """Give an artifact by its full id; raises `NotFoundError`."""
        with self._connections.read() as db:
            row = db.execute("SELECT * FROM artifacts WHERE id = ? AND NOT removing", (artifact_id,)).fetchone()
            if row is None:
                raise NotFoundError(
                    f"no artifact {artifact_id!r}; 'jackcapture artifact list' shows what there is",
                    artifact_id=artifact_id,
                )
            return rows.artifact(db, row)

    def tag_artifact(self, artifact_id: str, tags: Iterable[str]) -> Artifact:
        """Add tags to an artifact; those that it has are left. Raises `NotFoundError`."""
        self.artifact(artifact_id)
        with self._connections.write() as db:
            db.executemany("INSERT OR IGNORE INTO artifact_tags VALUES (?, ?)", [(artifact_id, tag) for tag in tags])
        return self.artifact(artifact_id)

    def artifacts(
        self, *, kind: str | None = None, tag: str | None = None, stream_uri: str | None = None, limit: int = 1000
    ) -> list[Artifact]:
        """Give the newest artifacts of a kind, with a tag, of a stream; newest first."""
        conditions, values = ["NOT removing"], []
        for condition, value in (
            ("kind = ?", kind),
            ("stream_uri = ?", stream_uri),
            ("id IN (SELECT artifact_id FROM artifact_tags WHERE tag = ?)", tag),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        with self._connections.read() as db:
            found = db.execute(
                f"SELECT * FROM artifacts WHERE {' AND '.join(conditions)}"  # noqa: S608 - fixed conditions
                " ORDER BY created_at_ns DESC, id LIMIT ?",
                (*values, limit),
            ).fetchall()
            return [rows.artifact(db, row) for row in found]

    def stored_bytes(self) -> int:
        """Give the bytes of all sealed chunks, overviews and artifacts; content that several share counts for each."""
        with self._connections.read() as db:
            row = db.execute(
                "SELECT (SELECT ifnull(sum(sealed_bytes + overview_bytes - removed_bytes), 0) FROM takes)"
                " + (SELECT ifnull(sum(bytes), 0) FROM artifacts)"
            ).fetchone()
        return int(row[0])

    def _check_identity(self, path: str, store_uuid: str) -> None:
        with self._connections.write() as db:
            row = db.execute("SELECT store_uuid FROM identity").fetchone()
            if row is None:
                db.execute("INSERT INTO identity VALUES (?)", (store_uuid,))
            elif row["store_uuid"] != store_uuid:
                raise StorageDamagedError(
                    f"{path} is the catalog of store {row['store_uuid']}, not of this store {store_uuid}; put the "
                    "right one there, or make one with 'jackcapture store rebuild'",
                    path=path,
                )


def new_artifact_id(kind: str) -> str:
    """Give a new artifact id: the kind and 12 random hex digits."""
    return f"{kind}-{secrets.token_hex(6)}"


def _take_id(db: sqlite3.Connection, uri: str, number: int) -> int:
    row = db.execute(
        "SELECT takes.id FROM takes JOIN streams ON streams.id = stream_id WHERE uri = ? AND number = ?", (uri, number)
    ).fetchone()
    if row is None:
        raise NotFoundError(f"{uri} has no take {number}", uri=uri, take=number)
    return int(row[0])


def _takes_over(db: sqlite3.Connection, uri: str, from_sample: int, to_sample: int) -> list[tuple[int, int]]:
    found = db.execute(
        "SELECT takes.id, number FROM takes JOIN streams ON streams.id = stream_id WHERE uri = ?"
        " AND first_sample < ? AND (samples IS NULL OR first_sample + samples > ?) ORDER BY number",
        (uri, to_sample, from_sample),
    )
    return [(row[0], row[1]) for row in found]
