"""Suggestions in the catalog, and how far the segments of triggered sessions have been watched.

Methods may be called on any thread; changes are one transaction each.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jackcapture.catalog import rows
from jackcapture.catalog.connections import Connections
from jackcapture.errors import ConflictError, NotFoundError
from jackcapture.model.artifacts import Artifact
from jackcapture.model.suggestions import Suggestion, SuggestionReason, SuggestionStatus
from jackcapture.model.uris import StreamUri

_NAMED = 20  # of what there is, in an error

_SELECT = (
    "SELECT suggestions.*, sessions.id AS session_id, uri FROM suggestions"
    " JOIN sessions ON sessions.number = session JOIN streams ON streams.id = suggestions.stream_id"
)


@dataclass(frozen=True, slots=True)
class Watched:
    """A segment that has not been watched to its end: all from `frame` on, a JACK frame, is still to be looked at."""

    session_id: str
    segment: int
    frame: int
    is_running: bool


class SuggestionRows:
    """Suggestions and watches; part of the catalog."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    # --- what there is ---

    def get(self, suggestion_id: str) -> Suggestion:
        """Give a suggestion; raises `NotFoundError`, naming the newest that there are."""
        with self._connections.read() as db:
            return _suggestion(_row(db, suggestion_id))

    def newest(
        self, *, session_id: str | None = None, status: SuggestionStatus | None = None, limit: int = 1000
    ) -> list[Suggestion]:
        """Give the newest suggestions, newest first; of a session, of a status."""
        conditions, values = ["1"], []
        for condition, value in (("sessions.id = ?", session_id), ("suggestions.status = ?", status)):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        with self._connections.read() as db:
            found = db.execute(
                f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY suggestions.number DESC LIMIT ?",
                (*values, limit),
            )
            return [_suggestion(row) for row in found]

    def of_session(self, session_id: str) -> list[Suggestion]:
        """Give all suggestions of a session, in the order of their finding."""
        with self._connections.read() as db:
            found = db.execute(f"{_SELECT} WHERE sessions.id = ? ORDER BY suggestions.number", (session_id,))
            return [_suggestion(row) for row in found]

    def of_segment(self, session_id: str, segment: int) -> tuple[Suggestion | None, int | None]:
        """Give the suggestion that is open in a segment, and the frame after the last one that is not, if any."""
        with self._connections.read() as db:
            row = db.execute(
                f"{_SELECT} WHERE sessions.id = ? AND segment = ? AND suggestions.status = 'open'",
                (session_id, segment),
            ).fetchone()
            last = db.execute(
                "SELECT max(to_frame) FROM suggestions JOIN sessions ON sessions.number = session"
                " WHERE sessions.id = ? AND segment = ?",
                (session_id, segment),
            ).fetchone()[0]
        return None if row is None else _suggestion(row), last

    def counts(self, session_id: str) -> dict[SuggestionStatus, int]:
        """Give how many suggestions a session has of each status."""
        with self._connections.read() as db:
            found = dict(
                db.execute(
                    "SELECT suggestions.status, count(*) FROM suggestions JOIN sessions ON sessions.number = session"
                    " WHERE sessions.id = ? GROUP BY suggestions.status",
                    (session_id,),
                ).fetchall()
            )
        return {status: found.get(status, 0) for status in SuggestionStatus}

    def automatic(self) -> list[str]:
        """Give the ids of the suggestions that are to be accepted by themselves, oldest first."""
        with self._connections.read() as db:
            found = db.execute(
                "SELECT suggestions.id FROM suggestions JOIN sessions ON sessions.number = session"
                " WHERE suggestions.status = 'pending' AND json_extract(settings, '$.trigger.auto')"
                " ORDER BY suggestions.number"
            )
            return [row[0] for row in found]

    def leftovers(self, suggestion: Suggestion) -> list[str]:
        """Give the ids of slices that an acceptance which did not come to its end has left."""
        with self._connections.read() as db:
            found = db.execute(
                "SELECT id FROM artifacts WHERE kind = 'slice' AND NOT removing AND created_at_ns >= ?"
                " AND json_extract(metadata, '$.suggestion_id') = ?",
                (suggestion.found_at_ns, suggestion.id),
            )
            return [row[0] for row in found]

    # --- watching ---

    def under_way(self) -> list[Watched]:
        """Give the segments that have not been watched to their end."""
        with self._connections.read() as db:
            found = db.execute(
                "SELECT sessions.id, segment, frame, segments.status FROM watches"
                " JOIN sessions ON sessions.number = watches.session JOIN segments"
                " ON segments.session = watches.session AND segments.number = segment"
                " WHERE is_done = 0 ORDER BY watches.session, segment"
            )
            return [Watched(row[0], row[1], row[2], row[3] == "running") for row in found]

    def note_watched(
        self, session_id: str, segment: int, frame: int, found: Iterable[Suggestion] = (), *, is_done: bool = False
    ) -> None:
        """Note how far a segment has been watched, with what was found there or has changed since.

        A suggestion of a place that has one already takes its id, so none is there twice.
        """
        with self._connections.write() as db:
            session = db.execute("SELECT number FROM sessions WHERE id = ?", (session_id,)).fetchone()
            if session is None:  # it was deleted meanwhile
                return
            db.execute(
                "UPDATE watches SET frame = ?, is_done = ? WHERE session = ? AND segment = ?",
                (frame, is_done, session[0], segment),
            )
            for suggestion in found:
                db.execute(
                    "UPDATE suggestions SET status = ?, peak = ?, end_frame = ?, to_frame = ? WHERE session = ?"
                    " AND segment = ? AND begin_frame = ? AND status = 'open'",
                    (
                        suggestion.status,
                        suggestion.peak,
                        suggestion.end_frame,
                        suggestion.to_frame,
                        session[0],
                        segment,
                        suggestion.begin_frame,
                    ),
                )
                insert_suggestion(db, session[0], suggestion)

    def rewind(self, session_id: str, segment: int, end_frame: int) -> int:
        """Take back what was found beyond the end of a segment, which has been watched for longer; give the new frame.

        What stood out at the end is open again, as if only its first frame had been seen.
        """
        with self._connections.write() as db:
            row = db.execute(
                "SELECT watches.session, frame FROM watches JOIN sessions ON number = watches.session"
                " WHERE id = ? AND segment = ?",
                (session_id, segment),
            ).fetchone()
            if row is None:  # it was deleted meanwhile
                return end_frame
            place = (row["session"], segment, end_frame)
            db.execute(
                "DELETE FROM suggestions WHERE session = ? AND segment = ? AND begin_frame >= ?"
                " AND status IN ('open', 'pending')",
                place,
            )
            begin = db.execute(
                "SELECT min(begin_frame) FROM suggestions WHERE session = ? AND segment = ?"
                " AND ifnull(to_frame, 9223372036854775807) > ? AND status IN ('open', 'pending')",
                place,
            ).fetchone()[0]
            db.execute(
                "UPDATE suggestions SET status = 'open', to_frame = NULL, end_frame = begin_frame + 1, peak = NULL"
                " WHERE session = ? AND segment = ? AND ifnull(to_frame, 9223372036854775807) > ?"
                " AND status IN ('open', 'pending')",
                place,
            )
            frame: int = min(row["frame"], end_frame if begin is None else begin)
            db.execute("UPDATE watches SET frame = ? WHERE session = ? AND segment = ?", (frame, *place[:2]))
        return frame

    # --- decisions ---

    def decide(
        self,
        suggestion_id: str,
        status: SuggestionStatus,
        decided_at_ns: int,
        artifacts: Sequence[str] = (),
        document: Artifact | None = None,
    ) -> None:
        """Note that a suggestion was accepted, or dismissed, with the new document of a session that is closed.

        Raises `ConflictError` if it has been decided meanwhile.
        """
        with self._connections.write() as db:
            row = _row(db, suggestion_id)
            if row["status"] != SuggestionStatus.PENDING:
                raise ConflictError(f"{suggestion_id} is {row['status']} already", suggestion_id=suggestion_id)
            db.execute(
                "UPDATE suggestions SET status = ?, decided_at_ns = ?, artifacts = ?, problem = '' WHERE id = ?",
                (status, decided_at_ns, json.dumps(list(artifacts)), suggestion_id),
            )
            if document is not None:
                rows.insert_artifact(db, document)

    def note_problem(self, suggestion_id: str, problem: str) -> None:
        """Note why a suggestion could not be accepted by itself."""
        with self._connections.write() as db:
            db.execute(
                "UPDATE suggestions SET problem = ? WHERE id = ? AND status = 'pending'", (problem, suggestion_id)
            )


def insert_suggestion(db: sqlite3.Connection, session: int, suggestion: Suggestion) -> None:
    """Insert a suggestion of a session, by its number, unless there is one at its place."""
    db.execute(
        "INSERT INTO suggestions (id, session, segment, status, reason, stream_id, peak, begin_frame, end_frame,"
        " from_frame, to_frame, found_at_ns, decided_at_ns, artifacts, problem)"
        " VALUES (?, ?, ?, ?, ?, (SELECT id FROM streams WHERE uri = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (session, segment, begin_frame) DO NOTHING",
        (
            suggestion.id,
            session,
            suggestion.segment,
            suggestion.status,
            suggestion.reason,
            suggestion.stream_uri,
            suggestion.peak,
            suggestion.begin_frame,
            suggestion.end_frame,
            suggestion.from_frame,
            suggestion.to_frame,
            suggestion.found_at_ns,
            suggestion.decided_at_ns,
            json.dumps(list(suggestion.artifacts)),
            suggestion.problem,
        ),
    )


def _row(db: sqlite3.Connection, suggestion_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute(f"{_SELECT} WHERE suggestions.id = ?", (suggestion_id,)).fetchone()
    if row is None:
        known = [it[0] for it in db.execute("SELECT id FROM suggestions ORDER BY number DESC LIMIT ?", (_NAMED,))]
        there_are = f"there are {', '.join(known)}" if known else "there are none"
        raise NotFoundError(f"no suggestion {suggestion_id!r}; {there_are}", suggestion_id=suggestion_id, known=known)
    return row


def _suggestion(row: sqlite3.Row) -> Suggestion:
    return Suggestion(
        row["id"],
        row["session_id"],
        row["segment"],
        SuggestionStatus(row["status"]),
        SuggestionReason(row["reason"]),
        StreamUri(row["uri"]),
        row["peak"],
        row["begin_frame"],
        row["end_frame"],
        row["from_frame"],
        row["to_frame"],
        row["found_at_ns"],
        row["decided_at_ns"],
        tuple(json.loads(row["artifacts"])),
        row["problem"],
    )
