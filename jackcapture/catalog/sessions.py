"""Sessions in the catalog: their streams, segments and marks, and what they hold.

A segment holds its ranges from its start on, so that retention leaves them, until its session is deleted. Methods may
be called on any thread; changes are one transaction each.
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from jackcapture.catalog import rows
from jackcapture.catalog.connections import Connections
from jackcapture.catalog.keeping import insert_holds
from jackcapture.catalog.requests import requests_of
from jackcapture.errors import ConflictError, NotFoundError
from jackcapture.model.artifacts import Artifact
from jackcapture.model.places import MAX_SAMPLE_POSITION
from jackcapture.model.retention import Hold, HolderKind
from jackcapture.model.sessions import (
    Mark,
    Relocation,
    Segment,
    SegmentClock,
    SegmentRange,
    Session,
    SessionGlance,
    SessionMode,
    SessionStatus,
)
from jackcapture.model.takes import TransportState
from jackcapture.model.uris import StreamUri

_NAMED = 20  # of what there is, in an error

_RANGES = (
    "SELECT segment_ranges.session, segment, uri, takes.number AS take_number, from_sample, is_own, start_frame,"
    " first_sample,"
    # A take that ended by itself ends the range, though the segment runs on.
    " ifnull(to_sample, CASE WHEN samples IS NOT NULL THEN max(from_sample, first_sample + samples) END) AS to_sample"
    " FROM segment_ranges JOIN takes ON takes.id = take_id JOIN streams ON streams.id = takes.stream_id"
)


class SessionRows:
    """Sessions, their segments and marks; part of the catalog."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    # --- what there is ---

    def get(self, session_id: str) -> Session:
        """Give a session; raises `NotFoundError`, naming the newest that there are."""
        with self._connections.read() as db:
            return _session(db, _row(db, session_id))

    def glances(self, limit: int) -> list[SessionGlance]:
        """Give the newest sessions, newest first, with numbers in place of what they hold: a status asks for it."""
        streams: dict[int, list[StreamUri]] = {}
        with self._connections.read() as db:
            found = db.execute(
                "SELECT *, (SELECT count(*) FROM segments WHERE session = sessions.number) AS segment_count,"
                " (SELECT count(*) FROM marks WHERE session = sessions.number) AS mark_count"
                " FROM sessions ORDER BY number DESC LIMIT ?",
                (limit,),
            ).fetchall()
            for number, uri in db.execute(
                "SELECT session, uri FROM session_streams JOIN streams ON streams.id = stream_id"
                " WHERE session >= ? ORDER BY session, ordinal",
                (found[-1]["number"] if found else 0,),
            ):
                streams.setdefault(number, []).append(StreamUri(uri))
        return [
            SessionGlance(
                it["id"],
                it["name"],
                SessionMode(it["mode"]),
                SessionStatus(it["status"]),
                it["created_at_ns"],
                tuple(streams.get(it["number"], ())),
                it["segment_count"],
                it["mark_count"],
            )
            for it in found
        ]

    def segment(self, session_id: str, number: int) -> Segment:
        """Give one segment of a session alone; raises `NotFoundError`."""
        with self._connections.read() as db:
            found = _segments(db, _row(db, session_id)["number"], number)
        if not found:
            raise NotFoundError(f"{session_id} has no segment {number}", session_id=session_id, segment=number)
        return found[0]

    def playing(self) -> list[Session]:
        """Give the sessions of which a segment runs."""
        with self._connections.read() as db:
            found = db.execute(
                "SELECT * FROM sessions WHERE status = ? ORDER BY number", (SessionStatus.PLAYING,)
            ).fetchall()
            return [_session(db, row) for row in found]

    def following(self) -> list[str]:
        """Give the ids of the sessions that follow JACK's transport and are not closed."""
        with self._connections.read() as db:
            found = db.execute(
                "SELECT id FROM sessions WHERE status != ? AND json_extract(settings, '$.transport.follow')"
                " ORDER BY number",
                (SessionStatus.CLOSED,),
            )
            return [row[0] for row in found]

    # --- life cycle ---

    def add(self, session: Session) -> None:
        """Enter a session that has just been created."""
        with self._connections.write() as db:
            insert_session(db, session)

    def begin_segment(self, session_id: str, segment: Segment, now_ns: int) -> None:
        """Enter a segment that has begun, and what it holds from now on."""
        with self._connections.write() as db:
            _begin_segment(db, session_id, segment, now_ns)

    def note_start(self, session_id: str, number: int, started: SegmentClock) -> None:
        """Note what is known by now of the clocks at a segment's start."""
        with self._connections.write() as db:
            db.execute(
                "UPDATE segments SET started = ? WHERE session = ? AND number = ?",
                (_clock_as_json(started), _row(db, session_id)["number"], number),
            )

    def end_segment(self, session_id: str, number: int, ended: SegmentClock, ends: Mapping[StreamUri, int]) -> None:
        """End a segment with the position after the last of each stream, and hold no more than that."""
        with self._connections.write() as db:
            _end_segment(db, session_id, number, ended, ends)

    def split_segment(
        self,
        session_id: str,
        ended: SegmentClock,
        ends: Mapping[StreamUri, int],
        segment: Segment,
        now_ns: int,
        relocation: Relocation,
    ) -> None:
        """End the segment that runs, and begin the next one, for a relocation that belongs to it."""
        with self._connections.write() as db:
            _end_segment(db, session_id, segment.number - 1, ended, ends)
            _begin_segment(db, session_id, segment, now_ns)
            insert_relocation(db, _row(db, session_id)["number"], relocation)

    def close(self, session_id: str, closed_at_ns: int, document: Artifact) -> None:
        """Close a session, and enter its document."""
        with self._connections.write() as db:
            db.execute(
                "UPDATE sessions SET status = ?, closed_at_ns = ? WHERE number = ?",
                (SessionStatus.CLOSED, closed_at_ns, _row(db, session_id)["number"]),
            )
            rows.insert_artifact(db, document)

    def delete(self, session_id: str) -> None:
        """Remove a session with its marks and suggestions, let go of what it holds, and mark its documents.

        Their content is then to be removed.
        """
        with self._connections.write() as db:
            session = _row(db, session_id)["number"]
            for table in (
                "requests",
                "mark_positions",
                "marks",
                "relocations",
                "suggestions",
                "watches",
                "segment_ranges",
                "segments",
                "session_streams",
            ):
                db.execute(f"DELETE FROM {table} WHERE session = ?", (session,))  # noqa: S608 - fixed names
            db.execute("DELETE FROM sessions WHERE number = ?", (session,))
            db.execute("DELETE FROM holds WHERE kind = ? AND holder = ?", (HolderKind.SESSION, session_id))
            db.execute(
                "UPDATE artifacts SET removing = 1 WHERE kind = 'session'"
                " AND json_extract(metadata, '$.session_id') = ?",
                (session_id,),
            )

    # --- marks ---

    def add_mark(self, session_id: str, mark: Mark, document: Artifact | None = None) -> None:
        """Enter a mark, with the new document of a session that is closed; raises `ConflictError` for a known name."""
        with self._connections.write() as db:
            _insert_mark(db, session_id, mark)
            if document is not None:
                rows.insert_artifact(db, document)

    def add_relocation(self, session_id: str, relocation: Relocation, mark: Mark) -> None:
        """Enter a relocation within a segment, with the mark that is made of it."""
        with self._connections.write() as db:
            _insert_mark(db, session_id, mark)
            insert_relocation(db, _row(db, session_id)["number"], relocation)

    # --- places in a stream ---

    def chunk_range(self, found: SegmentRange) -> tuple[int, int] | None:
        """Give the index of the first sealed chunk that has some of a range, and that after the last one's."""
        with self._connections.read() as db:
            row = db.execute(
                "SELECT min(chunk_index), max(chunk_index) + 1 FROM chunks WHERE removing IS NULL AND take_id ="
                " (SELECT id FROM takes WHERE stream_id = (SELECT id FROM streams WHERE uri = ?) AND number = ?)"
                " AND first_sample < ? AND first_sample + samples > ?",
                (
                    found.uri,
                    found.take_number,
                    MAX_SAMPLE_POSITION if found.to_sample is None else found.to_sample,
                    found.from_sample,
                ),
            ).fetchone()
        return None if row[0] is None else (row[0], row[1])

    def ranges_of(self, session_id: str, uri: StreamUri) -> list[SegmentRange]:
        """Give what the segments of a session have of a stream, in order; raises `NotFoundError` for no session."""
        with self._connections.read() as db:
            found = db.execute(
                f"{_RANGES} WHERE segment_ranges.session = ? AND uri = ? ORDER BY segment",
                (_row(db, session_id)["number"], uri),
            )
            return [_range(row) for row in found]

    def newest_range(self, uri: StreamUri, segment: int) -> SegmentRange:
        """Give what a segment has of a stream: that of the newest session that has both; raises `NotFoundError`."""
        with self._connections.read() as db:
            row = db.execute(
                f"{_RANGES} WHERE uri = ? AND segment = ? ORDER BY segment_ranges.session DESC LIMIT 1", (uri, segment)
            ).fetchone()
            if row is None:
                last = db.execute(
                    "SELECT max(segment) FROM segment_ranges JOIN takes ON takes.id = take_id"
                    " WHERE stream_id = (SELECT id FROM streams WHERE uri = ?)",
                    (uri,),
                ).fetchone()[0]
                there_are = f"its sessions have the segments 1 to {last}" if last else "no session has recorded it"
                raise NotFoundError(
                    f"no segment {segment} of a session has {uri}: {there_are}", uri=uri, segment=segment
                )
            return _range(row)

    def newest_mark(self, uri: StreamUri, name: str) -> int:
        """Give the position of a mark in a stream: that of the newest session that has it; raises `NotFoundError`."""
        with self._connections.read() as db:
            row = db.execute(
                "SELECT sample_position FROM mark_positions WHERE stream_id = (SELECT id FROM streams WHERE uri = ?)"
                " AND name = ? ORDER BY session DESC LIMIT 1",
                (uri, name),
            ).fetchone()
            if row is not None:
                return int(row[0])
            known = [
                found[0]
                for found in db.execute(
                    "SELECT DISTINCT name FROM mark_positions WHERE stream_id ="
                    " (SELECT id FROM streams WHERE uri = ?) ORDER BY name LIMIT ?",
                    (uri, _NAMED),
                )
            ]
        there_are = f"it has {', '.join(known)}" if known else "it has none; 'jackcapture session mark' makes one"
        raise NotFoundError(f"{uri} has no mark {name!r}: {there_are}", uri=uri, mark=name)


def insert_session(db: sqlite3.Connection, session: Session) -> int:
    """Insert a session with its streams, without segments and marks; give its number."""
    number = db.execute(
        "INSERT INTO sessions (id, name, mode, status, settings, created_at_ns, closed_at_ns)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            session.id,
            session.name,
            session.mode,
            session.status,
            json.dumps(dict(session.settings)),
            session.created_at_ns,
            session.closed_at_ns,
        ),
    ).lastrowid
    assert number is not None
    db.executemany(
        "INSERT INTO session_streams VALUES (?, ?, (SELECT id FROM streams WHERE uri = ?))",
        [(number, ordinal, uri) for ordinal, uri in enumerate(session.streams)],
    )
    return number


def insert_segment(db: sqlite3.Connection, session: int, session_id: str, segment: Segment, now_ns: int) -> None:
    """Insert a segment of a session, by its number and its id, and what it holds: all that comes, while it runs."""
    status = "running" if segment.is_running else "ended"
    ended = None if segment.ended is None else _clock_as_json(segment.ended)
    db.execute(
        "INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?)",
        (session, segment.number, status, segment.started.jack_frame, _clock_as_json(segment.started), ended),
    )
    db.executemany(
        "INSERT INTO segment_ranges VALUES (?, ?, (SELECT id FROM takes WHERE stream_id ="
        " (SELECT id FROM streams WHERE uri = ?) AND number = ?), ?, ?, ?)",
        [
            (session, segment.number, it.uri, it.take_number, it.from_sample, it.to_sample, it.is_own)
            for it in segment.ranges
        ],
    )
    held = [(it, MAX_SAMPLE_POSITION if it.to_sample is None else it.to_sample) for it in segment.ranges]
    insert_holds(
        db,
        [
            Hold(it.uri, HolderKind.SESSION, session_id, it.from_sample, to_sample, now_ns)
            for it, to_sample in held
            if it.from_sample < to_sample
        ],
    )


def _begin_segment(db: sqlite3.Connection, session_id: str, segment: Segment, now_ns: int) -> None:
    session = _row(db, session_id)["number"]
    db.execute("UPDATE sessions SET status = ? WHERE number = ?", (SessionStatus.PLAYING, session))
    insert_segment(db, session, session_id, segment, now_ns)
    db.execute(
        "INSERT INTO watches SELECT number, ?, ?, 0 FROM sessions WHERE number = ? AND mode = ?",
        (segment.number, segment.started.jack_frame, session, SessionMode.TRIGGERED),
    )


def _end_segment(
    db: sqlite3.Connection, session_id: str, number: int, ended: SegmentClock, ends: Mapping[StreamUri, int]
) -> None:
    session = _row(db, session_id)["number"]
    db.execute("UPDATE sessions SET status = ? WHERE number = ?", (SessionStatus.STOPPED, session))
    for uri, to_sample in ends.items():
        db.execute(
            "UPDATE segment_ranges SET to_sample = ? WHERE session = ? AND segment = ? AND take_id IN"
            " (SELECT id FROM takes WHERE stream_id = (SELECT id FROM streams WHERE uri = ?))",
            (to_sample, session, number, uri),
        )
        held = (to_sample, uri, HolderKind.SESSION, session_id, MAX_SAMPLE_POSITION)
        db.execute(
            "DELETE FROM holds WHERE from_sample >= ?"
            " AND stream_id = (SELECT id FROM streams WHERE uri = ?) AND kind = ? AND holder = ?"
            " AND to_sample = ?",
            held,
        )
        db.execute(
            "UPDATE holds SET to_sample = ?"
            " WHERE stream_id = (SELECT id FROM streams WHERE uri = ?) AND kind = ? AND holder = ?"
            " AND to_sample = ?",
            held,
        )
    db.execute(
        "UPDATE segments SET status = 'ended', ended = ? WHERE session = ? AND number = ?",
        (_clock_as_json(ended), session, number),
    )


def _insert_mark(db: sqlite3.Connection, session_id: str, mark: Mark) -> None:
    session = _row(db, session_id)["number"]
    if db.execute("SELECT 1 FROM marks WHERE session = ? AND name = ?", (session, mark.name)).fetchone():
        raise ConflictError(
            f"{session_id} has a mark {mark.name!r} already; choose another name",
            session_id=session_id,
            mark=mark.name,
        )
    insert_mark(db, session, mark)


def insert_mark(db: sqlite3.Connection, session: int, mark: Mark) -> None:
    """Insert a mark of a session, by its number."""
    db.execute(
        "INSERT INTO marks VALUES (?, ?, ?, ?, ?, ?)",
        (session, mark.name, mark.segment, mark.jack_frame, mark.wall_clock_ns, mark.created_at_ns),
    )
    db.executemany(
        "INSERT INTO mark_positions VALUES (?, ?, (SELECT id FROM streams WHERE uri = ?), ?)",
        [(session, mark.name, uri, position) for uri, position in mark.positions.items()],
    )


def insert_relocation(db: sqlite3.Connection, session: int, relocation: Relocation) -> None:
    """Insert a relocation of the transport in a session, by the session's number."""
    db.execute(
        "INSERT INTO relocations VALUES (?, ?, ?, ?, ?, ?)",
        (
            session,
            relocation.segment,
            relocation.at.jack_frame,
            _clock_as_json(relocation.at),
            relocation.from_frame,
            relocation.mark,
        ),
    )


def _row(db: sqlite3.Connection, session_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute("SELECT * FROM sessions WHERE id = ?", (session_id,)).fetchone()
    if row is None:
        known = [it[0] for it in db.execute("SELECT id FROM sessions ORDER BY number DESC LIMIT ?", (_NAMED,))]
        there_are = f"there are {', '.join(known)}" if known else "there are none; create one first"
        raise NotFoundError(f"no session {session_id!r}; {there_are}", session_id=session_id, known=known)
    return row


def _session(db: sqlite3.Connection, row: sqlite3.Row) -> Session:
    number = (row["number"],)
    streams = db.execute(
        "SELECT uri FROM session_streams JOIN streams ON streams.id = stream_id WHERE session = ? ORDER BY ordinal",
        number,
    )
    positions: dict[str, dict[StreamUri, int]] = {}
    for it in db.execute(
        "SELECT name, uri, sample_position FROM mark_positions JOIN streams ON streams.id = stream_id"
        " WHERE session = ? ORDER BY uri",
        number,
    ):
        positions.setdefault(it["name"], {})[StreamUri(it["uri"])] = it["sample_position"]
    relocations = db.execute("SELECT * FROM relocations WHERE session = ? ORDER BY segment, jack_frame", number)
    marks = db.execute("SELECT * FROM marks WHERE session = ? ORDER BY segment, jack_frame, name", number)
    return Session(
        row["id"],
        row["name"],
        SessionMode(row["mode"]),
        SessionStatus(row["status"]),
        row["created_at_ns"],
        row["closed_at_ns"],
        tuple(StreamUri(it["uri"]) for it in streams),
        _segments(db, row["number"]),
        tuple(
            Mark(
                it["name"],
                it["segment"],
                it["jack_frame"],
                it["wall_clock_ns"],
                it["created_at_ns"],
                positions.get(it["name"], {}),
            )
            for it in marks
        ),
        json.loads(row["settings"]),
        tuple(Relocation(it["segment"], _clock(it["clocks"]), it["from_frame"], it["mark"]) for it in relocations),
        requests_of(db, row["number"]),
    )


def _segments(db: sqlite3.Connection, session: int, only: int | None = None) -> tuple[Segment, ...]:
    """Give the segments of a session, by its number, in order, or one of them."""
    ranges: dict[int, list[SegmentRange]] = {}
    order = (
        " JOIN session_streams ON session_streams.stream_id = streams.id"
        " AND session_streams.session = segment_ranges.session"
    )
    one, wanted = ("", (session,)) if only is None else (" AND {} = ?", (session, only))
    for it in db.execute(
        f"{_RANGES}{order} WHERE segment_ranges.session = ?{one.format('segment')} ORDER BY segment, ordinal", wanted
    ):
        ranges.setdefault(it["segment"], []).append(_range(it))
    found = db.execute(
        f"SELECT * FROM segments WHERE session = ?{one.format('number')} ORDER BY number",  # noqa: S608 - fixed names
        wanted,
    )
    return tuple(
        Segment(
            it["number"],
            _clock(it["started"]),
            None if it["ended"] is None else _clock(it["ended"]),
            tuple(ranges.get(it["number"], ())),
        )
        for it in found
    )


def _range(row: sqlite3.Row) -> SegmentRange:
    return SegmentRange(
        StreamUri(row["uri"]),
        row["take_number"],
        row["from_sample"],
        row["to_sample"],
        bool(row["is_own"]),
        row["start_frame"],
        row["first_sample"],
    )


def _clock_as_json(clock: SegmentClock) -> str:
    return json.dumps({name: value for name, value in asdict(clock).items() if value is not None})


def _clock(text: str) -> SegmentClock:
    fields: dict[str, Any] = json.loads(text)
    if "transport_state" in fields:
        fields["transport_state"] = TransportState(fields["transport_state"])
    return SegmentClock(**fields)
