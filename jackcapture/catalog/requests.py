"""Requests of sessions in the catalog. Methods may be called on any thread; changes are one transaction each."""

import json
import sqlite3
from dataclasses import replace

from jackcapture.catalog.connections import Connections
from jackcapture.errors import NotFoundError
from jackcapture.model.requests import Request, request_from_json


class RequestRows:
    """The requests of all sessions; part of the catalog."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def add(self, session_id: str, request: Request) -> Request:
        """Enter a request that begins, in a segment that is there; gives it with its number."""
        with self._connections.write() as db:
            session = _session(db, session_id)
            last = db.execute("SELECT ifnull(max(number), 0) FROM requests WHERE session = ?", (session,)).fetchone()[0]
            numbered = replace(request, number=last + 1)
            insert_request(db, session, numbered)
        return numbered

    def update(self, session_id: str, request: Request) -> None:
        """Enter what has become of a request."""
        with self._connections.write() as db:
            db.execute(
                "UPDATE requests SET request = ? WHERE session = ? AND number = ?",
                (json.dumps(request.as_json()), _session(db, session_id), request.number),
            )

    def running(self) -> list[tuple[str, Request]]:
        """Give the requests that have not ended, with the ids of their sessions."""
        with self._connections.read() as db:
            found = db.execute(
                "SELECT sessions.id, request FROM requests JOIN sessions ON sessions.number = session"
                " WHERE json_extract(request, '$.ended_by') IS NULL ORDER BY session, requests.number"
            )
            return [(row[0], request_from_json(json.loads(row[1]))) for row in found]

    def artifacts(self, session_id: str, number: int) -> list[str]:
        """Give the ids of the artifacts that were made for a request, those of its answers first."""
        with self._connections.read() as db:
            found = db.execute(
                "SELECT id FROM artifacts WHERE NOT removing AND kind IN ('request', 'slice')"
                " AND json_extract(metadata, '$.request.session_id') = ?"
                " AND json_extract(metadata, '$.request.number') = ? ORDER BY kind = 'request'",
                (session_id, number),
            )
            return [row[0] for row in found]


def insert_request(db: sqlite3.Connection, session: int, request: Request) -> None:
    """Insert a request of a session, by its number."""
    db.execute(
        "INSERT INTO requests VALUES (?, ?, ?, ?)",
        (session, request.number, request.segment, json.dumps(request.as_json())),
    )


def requests_of(db: sqlite3.Connection, session: int) -> tuple[Request, ...]:
    """Give the requests of a session, by its number, in order."""
    found = db.execute("SELECT request FROM requests WHERE session = ? ORDER BY number", (session,))
    return tuple(request_from_json(json.loads(row[0])) for row in found)


def _session(db: sqlite3.Connection, session_id: str) -> int:
    row = db.execute("SELECT number FROM sessions WHERE id = ?", (session_id,)).fetchone()
    if row is None:
        raise NotFoundError(f"no session {session_id!r}", session_id=session_id)
    return int(row[0])
