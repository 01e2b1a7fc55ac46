"""What is kept of the streams: retention, holds, and the removal of what is beyond them.

Chunks and artifacts go in two phases, so that an interruption leaves nothing that cannot be taken up again: their rows
are marked (`mark_chunks`, `mark_artifact`, `mark_stream`), their content is unlinked and that made durable by the
caller (`marked` names it), and then their rows go (`remove`). Rows that are marked are seen by nobody else. Methods may
be called on any thread.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass

from jackcapture.catalog.connections import Connections
from jackcapture.errors import ConflictError, NotFoundError
from jackcapture.model.addresses import Content
from jackcapture.model.durations import duration_frames
from jackcapture.model.overviews import overview_bytes
from jackcapture.model.retention import Doomed, Hold, HolderKind, Removal, RemovalReason, Retention
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.uris import StreamUri

Boundary = tuple[int, RemovalReason]
"""A sample position before which nothing is kept, and which limit says so."""


@dataclass(frozen=True, slots=True)
class Marked:
    """Rows that are marked: chunks by take id and index, artifacts by id, and the content that may be unlinked."""

    chunks: tuple[tuple[int, int], ...]
    artifacts: tuple[str, ...]
    contents: tuple[Content, ...]


class Keeping:
    """Retention, holds and removals; part of the catalog."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    # --- retention and holds ---

    def set_retention(self, uri: StreamUri, retention: Retention) -> None:
        """Change what is kept of a stream; raises `NotFoundError`."""
        with self._connections.write() as db:
            changed = db.execute(
                "UPDATE streams SET keep_ns = ?, keep_bytes = ?, keep_chunks = ? WHERE uri = ?",
                (*astuple(retention), uri),
            ).rowcount
            if not changed:
                raise NotFoundError(f"no stream {uri}", uri=uri)

    def add_pin(self, hold: Hold) -> None:
        """Pin a range of a stream; raises `ConflictError` if the name is taken, or some of the range is going."""
        with self._connections.write() as db:
            if db.execute(
                "SELECT 1 FROM holds WHERE stream_id = (SELECT id FROM streams WHERE uri = ?)"
                " AND kind = ? AND holder = ?",
                (hold.uri, hold.kind, hold.holder),
            ).fetchone():
                raise ConflictError(f"{hold.uri} has a pin {hold.holder!r} already; choose another name", uri=hold.uri)
            if _removals(db, hold.uri, hold.from_sample, hold.to_sample):
                raise ConflictError(f"{hold.uri}: some of this range was just removed", uri=hold.uri)
            insert_holds(db, [hold])

    def remove_holds(self, uri: StreamUri, kind: HolderKind, holder: str) -> int:
        """Let go of what somebody holds of a stream; gives how many holds that were."""
        with self._connections.write() as db:
            return db.execute(
                "DELETE FROM holds WHERE stream_id = (SELECT id FROM streams WHERE uri = ?)"
                " AND kind = ? AND holder = ?",
                (uri, kind, holder),
            ).rowcount

    def holds(self, uri: StreamUri, kind: HolderKind | None = None) -> list[Hold]:
        """Give what is held of a stream, in order of its place."""
        with self._connections.read() as db:
            found = db.execute(
                "SELECT * FROM holds WHERE stream_id = (SELECT id FROM streams WHERE uri = ?)"
                " AND (?2 IS NULL OR kind = ?2)"
                " ORDER BY from_sample, holder",
                (uri, kind),
            )
            return [_hold(uri, row) for row in found]

    # --- what is not there any more ---

    def first_kept_sample(self, uri: StreamUri) -> int | None:
        """Give where the first chunk of a stream begins that is there; None if none is sealed."""
        with self._connections.read() as db:
            row = db.execute(
                "SELECT chunks.first_sample FROM takes JOIN chunks ON take_id = takes.id"
                " WHERE stream_id = (SELECT id FROM streams WHERE uri = ?) AND removing IS NULL"
                " ORDER BY number, chunk_index LIMIT 1",
                (uri,),
            ).fetchone()
        return None if row is None else int(row[0])

    def was_removed(self, uri: StreamUri, take_number: int, index: int) -> bool:
        """Tell whether a chunk was in the catalog and is removed since, or is being removed."""
        with self._connections.read() as db:
            take = db.execute(
                "SELECT id FROM takes WHERE stream_id = (SELECT id FROM streams WHERE uri = ?) AND number = ?",
                (uri, take_number),
            ).fetchone()
            if take is None:
                return False
            found = db.execute(
                "SELECT 1 FROM removals WHERE take_id = ?1 AND first_index <= ?2 AND end_index > ?2 UNION ALL"
                " SELECT 1 FROM chunks WHERE take_id = ?1 AND chunk_index = ?2 AND removing IS NOT NULL",
                (take["id"], index),
            ).fetchone()
        return found is not None

    def removals(self, uri: StreamUri, from_sample: int, to_sample: int) -> list[Removal]:
        """Give what was removed of `[from_sample, to_sample)`, or is being removed, in order."""
        with self._connections.read() as db:
            return _removals(db, uri, from_sample, to_sample)

    def note_lost(self, uri: StreamUri, take_number: int) -> None:
        """Note as removed what is missing between the sealed chunks of a take that has lost chunks."""
        now = time.time_ns()
        with self._connections.write() as db:
            take = db.execute(
                "SELECT id, first_sample FROM takes WHERE stream_id = (SELECT id FROM streams WHERE uri = ?)"
                " AND number = ?",
                (uri, take_number),
            ).fetchone()
            runs = db.execute(
                "SELECT chunk_index AS first, chunk_index + 1 AS last,"
                " first_sample, first_sample + samples AS end_sample FROM chunks WHERE take_id = ?1 UNION ALL"
                " SELECT first_index, end_index, first_sample, end_sample FROM removals WHERE take_id = ?1 ORDER BY 1",
                (take["id"],),
            ).fetchall()
            index, position = 0, take["first_sample"]
            for run in runs:
                if run["first"] > index:
                    lost = (take["id"], index, run["first"], position, run["first_sample"], RemovalReason.LOST, now)
                    db.execute("INSERT INTO removals VALUES (?, ?, ?, ?, ?, ?, ?)", lost)
                index, position = run["last"], run["end_sample"]

    # --- what is beyond the limits ---

    def doomed(self, definition: StreamDefinition, retention: Retention, limit: int) -> list[Doomed]:
        """Give the oldest sealed chunks that are beyond the retention, at most `limit` that nobody holds.

        Those that are held are among them.
        """
        with self._connections.read() as db:
            return _doomed(db, definition, retention, limit)

    # --- two-phase removal ---

    def mark_chunks(
        self,
        definition: StreamDefinition,
        retention: Retention,
        limit: int,
        is_in_use: Callable[[Doomed], bool],
    ) -> list[Doomed]:
        """Mark at most `limit` chunks that are beyond the retention, not held and not in use; give them."""
        with self._connections.write() as db:
            found = [
                chunk
                for chunk in _doomed(db, definition, retention, limit)
                if chunk.held_by is None and not is_in_use(chunk)
            ]
            for chunk in found:
                db.execute(
                    "UPDATE chunks SET removing = ? WHERE take_id ="
                    " (SELECT id FROM takes WHERE stream_id = (SELECT id FROM streams WHERE uri = ?)"
                    " AND number = ?) AND chunk_index = ?",
                    (chunk.reason, chunk.uri, chunk.take_number, chunk.index),
                )
        return found

    def mark_artifact(self, artifact_id: str) -> None:
        """Mark an artifact that nothing was made from; raises `NotFoundError` or `ConflictError`."""
        with self._connections.write() as db:
            if not db.execute("SELECT 1 FROM artifacts WHERE id = ? AND NOT removing", (artifact_id,)).fetchone():
                raise NotFoundError(f"no artifact {artifact_id!r}", artifact_id=artifact_id)
            children = [
                row[0]
                for row in db.execute(
                    "SELECT artifact_id FROM artifact_parents WHERE parent_id = ? LIMIT 10", (artifact_id,)
                )
            ]
            if children:
                raise ConflictError(
                    f"{artifact_id} is what {', '.join(children)} was made from; delete that first", children=children
                )
            db.execute("UPDATE artifacts SET removing = 1 WHERE id = ?", (artifact_id,))

    def mark_stream(self, uri: StreamUri) -> None:
        """Mark all chunks of a stream that is deleted.

        Raises `ConflictError` while a session has it, or somebody else than its own artifacts holds some of it.
        """
        with self._connections.write() as db:
            sessions = [
                row[0]
                for row in db.execute(
                    "SELECT sessions.id FROM sessions JOIN session_streams ON session = number"
                    " WHERE stream_id = (SELECT id FROM streams WHERE uri = ?) ORDER BY number LIMIT 10",
                    (uri,),
                )
            ]
            if sessions:
                raise ConflictError(
                    f"{uri} is in the session {', '.join(sessions)}; delete that first", uri=uri, sessions=sessions
                )
            pins = db.execute(
                "SELECT kind, holder FROM holds WHERE stream_id = (SELECT id FROM streams WHERE uri = ?) AND kind <> ?"
                " ORDER BY holder",
                (uri, HolderKind.ARTIFACT),
            ).fetchall()
            if pins:
                named = ", ".join(f"{row['kind']} {row['holder']}" for row in pins[:10])
                raise ConflictError(f"{uri} is held by {named}; remove that first", uri=uri)
            db.execute(
                "UPDATE chunks SET removing = ? WHERE removing IS NULL AND take_id IN"
                " (SELECT id FROM takes WHERE stream_id = (SELECT id FROM streams WHERE uri = ?))",
                (RemovalReason.DELETED, uri),
            )

    def marked(self, limit: int) -> Marked | None:
        """Give at most `limit` chunks, or artifacts, that are marked, and the content that nothing else needs."""
        with self._connections.read() as db:
            chunks = db.execute(
                "SELECT take_id, chunk_index, content_hash, overview_hash FROM chunks WHERE removing IS NOT NULL"
                " ORDER BY take_id, chunk_index LIMIT ?",
                (limit,),
            ).fetchall()
            artifacts = db.execute(
                "SELECT id, content_hash FROM artifacts WHERE removing = 1"  # first what nothing was made from
                " AND NOT EXISTS (SELECT 1 FROM artifact_parents WHERE parent_id = artifacts.id) LIMIT ?",
                (limit,),
            ).fetchall()
            if not chunks and not artifacts:
                return None
            named = {row["content_hash"] for row in (*chunks, *artifacts)}
            named |= {row["overview_hash"] for row in chunks if row["overview_hash"] is not None}
            return Marked(
                tuple((row["take_id"], row["chunk_index"]) for row in chunks),
                tuple(row["id"] for row in artifacts),
                tuple(Content(name) for name in sorted(named) if not _is_needed(db, name)),
            )

    def remove(self, marked: Marked) -> None:
        """Remove rows that are marked, whose content is gone durably."""
        now = time.time_ns()
        with self._connections.write() as db:
            for take_id, index in marked.chunks:
                _remove_chunk(db, take_id, index, now)
            for name in marked.artifacts:
                db.execute("DELETE FROM holds WHERE kind = ? AND holder = ?", (HolderKind.ARTIFACT, name))
                db.execute("DELETE FROM artifact_parents WHERE artifact_id = ?", (name,))
                db.execute("DELETE FROM artifact_tags WHERE artifact_id = ?", (name,))
                db.execute("DELETE FROM artifacts WHERE id = ? AND removing = 1", (name,))

    def remove_stream(self, uri: StreamUri) -> None:
        """Remove a stream none of whose chunks is left; what was cut out of it stays, and its definition with that."""
        with self._connections.write() as db:
            takes = [
                row[0]
                for row in db.execute(
                    "SELECT takes.id FROM takes JOIN streams ON streams.id = stream_id WHERE uri = ?", (uri,)
                )
            ]
            for take_id in takes:
                db.execute("DELETE FROM gaps WHERE take_id = ?", (take_id,))
                db.execute("DELETE FROM clock_snapshots WHERE take_id = ?", (take_id,))
                db.execute("DELETE FROM removals WHERE take_id = ?", (take_id,))
                db.execute("DELETE FROM takes WHERE id = ?", (take_id,))
            db.execute("DELETE FROM holds WHERE stream_id = (SELECT id FROM streams WHERE uri = ?)", (uri,))
            definition = db.execute(
                "DELETE FROM streams WHERE uri = ? RETURNING definition_artifact", (uri,)
            ).fetchone()
            # Manifests first: their parent is the definition.
            db.execute(
                "UPDATE artifacts SET removing = 1 WHERE kind = 'manifest' AND stream_uri = ?"
                " AND NOT EXISTS (SELECT 1 FROM artifact_parents WHERE parent_id = artifacts.id)",
                (uri,),
            )
            if definition is not None:
                db.execute(
                    "UPDATE artifacts SET removing = 1 WHERE id = ? AND NOT EXISTS (SELECT 1 FROM artifact_parents"
                    " JOIN artifacts AS made ON made.id = artifact_id WHERE parent_id = artifacts.id"
                    " AND made.removing = 0)",
                    (definition[0],),
                )

    def is_needed(self, content: Content) -> bool:
        """Tell whether any row that is not marked needs content."""
        with self._connections.read() as db:
            return _is_needed(db, content.hash)


def insert_holds(db: sqlite3.Connection, holds: Iterable[Hold]) -> None:
    """Enter holds."""
    db.executemany(
        "INSERT INTO holds VALUES ((SELECT id FROM streams WHERE uri = ?), ?, ?, ?, ?, ?)",
        [(it.uri, it.kind, it.holder, it.from_sample, it.to_sample, it.created_at_ns) for it in holds],
    )


def _removals(db: sqlite3.Connection, uri: StreamUri, from_sample: int, to_sample: int) -> list[Removal]:
    found = db.execute(
        "SELECT number, first_index, end_index, removals.first_sample, end_sample, reason, removed_at_ns"
        " FROM removals JOIN takes ON takes.id = take_id"
        " WHERE stream_id = (SELECT id FROM streams WHERE uri = ?1)"
        " AND removals.first_sample < ?2 AND end_sample > ?3"
        " UNION ALL SELECT number, chunk_index, chunk_index + 1, chunks.first_sample,"
        " chunks.first_sample + chunks.samples, removing, ?4 FROM chunks JOIN takes ON takes.id = take_id"
        " WHERE stream_id = (SELECT id FROM streams WHERE uri = ?1) AND removing IS NOT NULL"
        " AND chunks.first_sample < ?2 AND chunks.first_sample + chunks.samples > ?3 ORDER BY 4",
        (uri, to_sample, from_sample, time.time_ns()),
    )
    return [
        Removal(
            row["number"],
            row["first_index"],
            row["end_index"],
            row["first_sample"],
            row["end_sample"],
            RemovalReason(row["reason"]),
            row["removed_at_ns"],
        )
        for row in found
    ]


def _is_needed(db: sqlite3.Connection, content_hash: str) -> bool:
    """Tell whether any row that is not marked needs content."""
    return any(
        db.execute(f"SELECT 1 FROM {where} LIMIT 1", (content_hash,)).fetchone()  # noqa: S608 - fixed conditions
        for where in (
            "chunks WHERE content_hash = ? AND removing IS NULL",
            "chunks WHERE overview_hash = ? AND removing IS NULL",
            "artifacts WHERE content_hash = ? AND NOT removing",
        )
    )


def _takes(db: sqlite3.Connection, uri: str) -> list[sqlite3.Row]:
    return db.execute(
        "SELECT id, number FROM takes WHERE stream_id = (SELECT id FROM streams WHERE uri = ?)"
        " AND sealed_chunks > removed_chunks"
        " ORDER BY number",
        (uri,),
    ).fetchall()


def _chunk_bytes(definition: StreamDefinition, row: sqlite3.Row) -> int:
    overview = 0 if row["overview_hash"] is None else overview_bytes(row["samples"], definition.audio.channels)
    return int(row["bytes"]) + overview


def _boundary(db: sqlite3.Connection, definition: StreamDefinition, retention: Retention) -> Boundary | None:
    """Give the first position that all limits keep, seen from the newest sealed chunk; None if they keep all."""
    found: list[Boundary] = []
    chunks = total = 0
    for take in reversed(_takes(db, definition.uri)):
        for row in db.execute(
            "SELECT * FROM chunks WHERE take_id = ? AND removing IS NULL ORDER BY chunk_index DESC", (take["id"],)
        ):
            end = row["first_sample"] + row["samples"]
            if chunks == 0 and retention.keep_ns is not None:
                kept = end - duration_frames(retention.keep_ns, definition.sample_rate)
                found.append((kept, RemovalReason.KEEP_TIME))
                if retention.keep_bytes is None and retention.keep_chunks is None:
                    return found[0]
            chunks += 1
            total += _chunk_bytes(definition, row)
            if retention.keep_chunks is not None and chunks > retention.keep_chunks:
                found.append((end, RemovalReason.KEEP_CHUNKS))
            if retention.keep_bytes is not None and total > retention.keep_bytes:
                found.append((end, RemovalReason.KEEP_BYTES))
            if found and max(found)[0] >= end:
                return max(found)
    return None


def _doomed(db: sqlite3.Connection, definition: StreamDefinition, retention: Retention, limit: int) -> list[Doomed]:
    boundary = _boundary(db, definition, retention)
    if boundary is None:
        return []
    position, reason = boundary
    found: list[Doomed] = []
    free = 0
    for take in _takes(db, definition.uri):
        for row in db.execute(
            "SELECT * FROM chunks WHERE take_id = ? AND removing IS NULL AND first_sample + samples <= ?"
            " ORDER BY chunk_index",
            (take["id"], position),
        ):
            chunk = _doomed_chunk(db, definition, take["number"], row, reason)
            found.append(chunk)
            free += chunk.held_by is None
            if free == limit:
                return found
    return found


def _doomed_chunk(
    db: sqlite3.Connection, definition: StreamDefinition, take_number: int, row: sqlite3.Row, reason: RemovalReason
) -> Doomed:
    end = row["first_sample"] + row["samples"]
    holder = db.execute(
        "SELECT kind, holder FROM holds WHERE stream_id = (SELECT id FROM streams WHERE uri = ?)"
        " AND from_sample < ? AND to_sample > ? LIMIT 1",
        (definition.uri, end, row["first_sample"]),
    ).fetchone()
    return Doomed(
        definition.uri,
        take_number,
        row["chunk_index"],
        row["first_sample"],
        end,
        _chunk_bytes(definition, row),
        tuple(Content(name) for name in (row["content_hash"], row["overview_hash"]) if name is not None),
        reason,
        None if holder is None else (HolderKind(holder["kind"]), holder["holder"]),
    )


def _remove_chunk(db: sqlite3.Connection, take_id: int, index: int, now: int) -> None:
    """Remove a marked chunk's row and what was observed in it; its place goes into the removals."""
    row = db.execute(
        "SELECT chunks.*, definition FROM chunks JOIN takes ON takes.id = take_id"
        " JOIN streams ON streams.id = stream_id WHERE take_id = ? AND chunk_index = ? AND removing IS NOT NULL",
        (take_id, index),
    ).fetchone()
    if row is None:
        return
    end = row["first_sample"] + row["samples"]
    run = db.execute(
        "SELECT first_index, first_sample FROM removals WHERE take_id = ? AND end_index = ? AND reason = ?",
        (take_id, index, row["removing"]),
    ).fetchone()
    first_index, first_sample = (index, row["first_sample"]) if run is None else run
    db.execute(
        "INSERT INTO removals VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (take_id, first_index) DO UPDATE"
        " SET end_index = excluded.end_index, end_sample = excluded.end_sample, removed_at_ns = excluded.removed_at_ns",
        (take_id, first_index, index + 1, first_sample, end, row["removing"], now),
    )
    db.execute("DELETE FROM chunks WHERE take_id = ? AND chunk_index = ?", (take_id, index))
    db.execute(
        "DELETE FROM gaps WHERE take_id = ? AND position >= ? AND position + frames <= ?", (take_id, first_sample, end)
    )
    # The last snapshot before the end stays: it tells the time of what follows.
    db.execute(
        "DELETE FROM clock_snapshots WHERE take_id = ?1 AND sample_position >= ?2 AND sample_position <"
        " (SELECT max(sample_position) FROM clock_snapshots WHERE take_id = ?1 AND sample_position <= ?3)",
        (take_id, first_sample, end),
    )
    definition = StreamDefinition.from_json(json.loads(row["definition"]))
    db.execute(
        "UPDATE takes SET removed_chunks = removed_chunks + 1, removed_bytes = removed_bytes + ? WHERE id = ?",
        (_chunk_bytes(definition, row), take_id),
    )


def _hold(uri: StreamUri, row: sqlite3.Row) -> Hold:
    return Hold(uri, HolderKind(row["kind"]), row["holder"], row["from_sample"], row["to_sample"], row["created_at_ns"])
