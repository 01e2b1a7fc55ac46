"""Reads all rows of a catalog for a check, in bounded memory, and believes nothing that they say.

It has a connection of its own, and opens what `Catalog` would refuse. For one thread, any one.
"""

import contextlib
import itertools
import json
import os
import re
import sqlite3
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from jackcapture.catalog.connections import translated
from jackcapture.catalog.migration import APPLICATION_ID, VERSION
from jackcapture.errors import InvalidValueError, StorageDamagedError
from jackcapture.model.checks import artifact_address, chunk_address
from jackcapture.model.overviews import overview_bytes
from jackcapture.model.streams import StreamDefinition

_BUSY_SECONDS = 10.0
_STEPS = 100_000  # of SQLite's machine between two looks at whether to go on
_GREATEST = "\U0010ffff"  # text after all other
_SOME = 100  # reports of SQLite about its file
_ALL = 2**31 - 1
_NULL_VALUE = re.compile(r"NULL value in (\w+)\.(\w+)", re.ASCII)


def is_empty(path: str) -> bool:
    """Tell whether a catalog's file has no bytes: SQLite would take a log beside it for a stray one, and remove it."""
    try:
        return os.path.getsize(path) == 0
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A stream; `definition` is None if what the row says is no definition."""

    id: int
    uri: str
    definition: StreamDefinition | None
    text: str
    artifact: str


@dataclass(frozen=True, slots=True)
class Need:
    """Rows that need content: which, of how many bytes (None: that cannot be told), and the first of them."""

    content_hash: str
    bytes: int | None
    owner: str
    what: str  # chunk, overview, artifact
    count: int  # of a take, or of artifacts
    is_going: bool  # it is being removed: its content may be there or not
    midi_range: tuple[int, int] | None = None  # sample positions of a chunk of MIDI


class Audit:
    """The rows of the catalog at `path`. Raises the errors of `Catalog`; `is_cancelled` ends long queries."""

    def __init__(self, path: str, is_cancelled: Callable[[], bool] = lambda: False) -> None:
        """Open the catalog; raises `StorageDamagedError` for what is none, of whatever store."""
        self.path = path
        if is_empty(path):
            raise StorageDamagedError(f"{path} is empty", path=path)
        with translated(path):
            # mode=rw: a missing file is an error, and what a crash left in the WAL is read.
            self._db = sqlite3.connect(
                f"file:{urllib.parse.quote(path)}?mode=rw",
                uri=True,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
        try:
            with translated(path):
                self._db.row_factory = sqlite3.Row
                self._db.execute("PRAGMA query_only = ON")
                self._db.set_progress_handler(lambda: is_cancelled() or None, _STEPS)
                self._check_kind()
        except BaseException:
            self._db.close()
            raise
        self._nulls: dict[str, bool] = {}
        self._takes: dict[int, tuple[str, int, StreamDefinition | None]] = {}

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def __enter__(self) -> "Audit":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_kind(self) -> None:
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        self.version = version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if application != APPLICATION_ID:
            raise StorageDamagedError(f"{self.path} is a SQLite database, but no catalog", path=self.path)
        if not 1 <= version <= VERSION:
            raise StorageDamagedError(
                f"{self.path} is a catalog of version {version}; this jackcapture reads up to {VERSION}: use a newer "
                "one",
                path=self.path,
                version=version,
            )

    @contextlib.contextmanager
    def moment(self) -> Iterator[None]:
        """Read one moment of the catalog until the block ends."""
        with translated(self.path):
            self._takes.clear()  # row ids may be used again
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("ROLLBACK")

    # --- the file ---

    def damage(self) -> list[str]:
        """Give some of what SQLite finds wrong with the file; reads all of it."""
        with translated(self.path):
            said = (str(row[0]) for row in self._db.execute(f"PRAGMA integrity_check({_ALL})"))
            return list(itertools.islice((it for it in said if it != "ok" and self._is_true(it)), _SOME))

    def _is_true(self, said: str) -> bool:
        """Tell whether SQLite means it: 3.40.0 to 3.41.0 see NULL in tables without rowid where there is none."""
        found = _NULL_VALUE.fullmatch(said)
        if found is None:
            return True
        table, column = found.groups()  # of the schema
        if said not in self._nulls:
            # Not "IS NULL", which SQLite answers from the column's constraint.
            query = f"SELECT 1 FROM {table} WHERE typeof({column}) = 'null' LIMIT 1"  # noqa: S608 - its names
            self._nulls[said] = self._db.execute(query).fetchone() is not None
        return self._nulls[said]

    def dangling(self) -> list[str]:
        """Give some references to rows that are not there, but for those that `missing_parents` gives."""
        found = []
        with translated(self.path):
            for table, _, to, key in self._db.execute("PRAGMA foreign_key_check").fetchmany(_SOME):
                keys = self._db.execute(f"PRAGMA foreign_key_list({table})")
                column = next(row["from"] for row in keys if row["id"] == key)
                if (table, column) != ("artifact_parents", "parent_id"):
                    found.append(f"{column} in a row of {table} refers to a row of {to} that is not there")
        return found

    def store_uuid(self) -> str | None:
        """Give the UUID of the store that this catalog describes."""
        with translated(self.path):
            row = self._db.execute("SELECT store_uuid FROM identity").fetchone()
        return None if row is None else str(row[0])

    def has_unfinished_takes(self) -> bool:
        """Tell whether a take has not ended."""
        return any(True for _ in self._rows("SELECT 1 FROM takes WHERE samples IS NULL LIMIT 1"))

    def counts(self) -> dict[str, int]:
        """Give how many streams, takes, chunks, artifacts, tags and, but in an older catalog, sessions there are."""
        tables = {"streams": "streams", "takes": "takes", "chunks": "chunks", "artifacts": "artifacts"}
        tables["tags"] = "artifact_tags"
        with translated(self.path):
            if self._db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sessions'").fetchone():
                tables["sessions"] = "sessions"
            return {
                name: int(self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - fixed names
                for name, table in tables.items()
            }

    # --- content ---

    def needs(self, low: str, high: str = _GREATEST) -> list[Need]:
        """Give the rows that need content whose hash is at least `low` and less than `high`."""
        with self.moment():
            return list(self._needs(low, high))

    def needs_of(self, content_hash: str) -> list[Need]:
        """Give the rows that need this content now."""
        with self.moment():
            return list(self._needs(content_hash, content_hash + "\1"))

    def _needs(self, low: str, high: str) -> Iterator[Need]:
        # Grouped: chunks of silence share their content, and a studio is silent for days.
        for row in self._rows(
            "SELECT content_hash, take_id, bytes, samples, removing IS NOT NULL AS going, count(*) AS count,"
            " min(chunk_index) AS chunk_index, first_sample FROM chunks WHERE content_hash >= ? AND content_hash < ?"
            " GROUP BY content_hash, take_id, bytes, samples, going",
            (low, high),
        ):
            uri, number, definition = self._take(row["take_id"])
            owner = chunk_address(uri, number, row["chunk_index"])
            span = None
            if definition is not None and not definition.is_audio:
                span = (row["first_sample"], row["first_sample"] + row["samples"])
            yield Need(row["content_hash"], row["bytes"], owner, "chunk", row["count"], bool(row["going"]), span)
        for row in self._rows(
            "SELECT overview_hash, take_id, samples, removing IS NOT NULL AS going, count(*) AS count,"
            " min(chunk_index) AS chunk_index FROM chunks WHERE overview_hash IS NOT NULL"
            " AND overview_hash >= ? AND overview_hash < ? GROUP BY overview_hash, take_id, samples, going",
            (low, high),
        ):
            uri, number, definition = self._take(row["take_id"])
            size = None
            if definition is not None and definition.is_audio:
                size = overview_bytes(row["samples"], definition.audio.channels)
            owner = chunk_address(uri, number, row["chunk_index"])
            yield Need(row["overview_hash"], size, owner, "overview", row["count"], bool(row["going"]))
        for row in self._rows(
            "SELECT content_hash, bytes, removing, count(*) AS count, min(id) AS id FROM artifacts"
            " WHERE content_hash >= ? AND content_hash < ? GROUP BY content_hash, bytes, removing",
            (low, high),
        ):
            owner = artifact_address(row["id"])
            yield Need(row["content_hash"], row["bytes"], owner, "artifact", row["count"], bool(row["removing"]))

    def _take(self, take_id: int) -> tuple[str, int, StreamDefinition | None]:
        if take_id not in self._takes:
            for row in self._rows(
                "SELECT takes.id, number, uri, definition FROM takes JOIN streams ON streams.id = stream_id"
                " WHERE takes.id = ?",
                (take_id,),
            ):
                self._takes[take_id] = (row["uri"], row["number"], _definition(row["definition"]))
        return self._takes.get(take_id, (f"take row {take_id}", 0, None))

    # --- streams, takes and what belongs to them; inside `moment`, so that they fit together ---

    def streams(self) -> list[StreamRow]:
        """Give all streams."""
        found = self._rows("SELECT * FROM streams ORDER BY uri")
        return [
            StreamRow(
                row["id"], row["uri"], _definition(row["definition"]), row["definition"], row["definition_artifact"]
            )
            for row in found
        ]

    def has(self, stream: StreamRow) -> bool:
        """Tell whether a stream is still there: it may be deleted, and its row id used again."""
        return any(
            True
            for _ in self._rows(
                "SELECT 1 FROM streams WHERE id = ? AND uri = ? AND definition_artifact = ?",
                (stream.id, stream.uri, stream.artifact),
            )
        )

    def takes(self, stream_id: int) -> list[sqlite3.Row]:
        """Give the takes of a stream, in order of their numbers."""
        return list(self._rows("SELECT * FROM takes WHERE stream_id = ? ORDER BY number", (stream_id,)))

    def chunks(self, take_id: int) -> Iterator[sqlite3.Row]:
        """Give all chunks of a take, in order, with those that are being removed."""
        return self._rows("SELECT * FROM chunks WHERE take_id = ? ORDER BY chunk_index", (take_id,))

    def removals(self, take_id: int) -> list[sqlite3.Row]:
        """Give what was removed of a take, in order."""
        return list(self._rows("SELECT * FROM removals WHERE take_id = ? ORDER BY first_index", (take_id,)))

    def gaps(self, take_id: int) -> Iterator[sqlite3.Row]:
        """Give the gaps of a take, in order."""
        return self._rows("SELECT * FROM gaps WHERE take_id = ? ORDER BY position", (take_id,))

    def misplaced_clocks(self, take_id: int, first_sample: int, end_sample: int | None, start_frame: int) -> list[int]:
        """Give some positions of clock snapshots outside a take, or not at their JACK frame.

        The cycle of one may have begun before `first_sample`.
        """
        return [
            row[0]
            for row in self._rows(
                "SELECT sample_position FROM clock_snapshots WHERE take_id = ?1 AND (sample_position + period < ?2"
                " OR (?3 IS NOT NULL AND sample_position > ?3) OR sample_position - ?2 <> jack_frame - ?4) LIMIT 10",
                (take_id, first_sample, end_sample, start_frame),
            )
        ]

    def malformed_clocks(self, take_id: int, reasons: frozenset[str], states: frozenset[str]) -> list[int]:
        """Give some positions of clock snapshots whose JSON is none, or that have other words than these."""
        # No index helps here, and SQLite reads some millions of rows a second.
        found = [
            row[0]
            for row in self._rows(
                "SELECT sample_position FROM clock_snapshots WHERE take_id = ?1"
                " AND CASE WHEN json_valid(transport) AND json_valid(midi_clock) THEN"
                " json_type(transport) <> 'object' OR json_type(midi_clock) <> 'object'"
                " OR ifnull(json_extract(transport, '$.state'), 'stopped') NOT IN (SELECT value FROM json_each(?2))"
                " ELSE 1 END LIMIT 10",
                (take_id, json.dumps(sorted(states))),
            )
        ]
        for row in self._rows(
            "SELECT min(sample_position), reasons FROM clock_snapshots WHERE take_id = ? AND reasons <> ''"
            " GROUP BY reasons LIMIT 1000",
            (take_id,),
        ):
            if not set(row["reasons"].split(",")) <= reasons:
                found.append(row[0])
        return found

    # --- artifacts and holds ---

    def artifacts(self, kind: str) -> Iterator[sqlite3.Row]:
        """Give all artifacts of a kind, newest first."""
        return self._rows(
            "SELECT * FROM artifacts WHERE kind = ? AND NOT removing ORDER BY created_at_ns DESC, id", (kind,)
        )

    def artifact(self, artifact_id: str) -> sqlite3.Row | None:
        """Give an artifact, also one that is being removed."""
        return next(self._rows("SELECT * FROM artifacts WHERE id = ?", (artifact_id,)), None)

    def artifacts_without_json(self) -> list[str]:
        """Give the ids of artifacts whose metadata is no JSON object."""
        return [
            row[0]
            for row in self._rows(
                "SELECT id FROM artifacts WHERE CASE WHEN json_valid(metadata)"
                " THEN json_type(metadata) <> 'object' ELSE 1 END ORDER BY id"
            )
        ]

    def missing_parents(self) -> list[sqlite3.Row]:
        """Give (artifact, parent) where the parent is not there."""
        return list(
            self._rows(
                "SELECT artifact_id, parent_id FROM artifact_parents WHERE NOT EXISTS"
                " (SELECT 1 FROM artifacts WHERE id = parent_id) ORDER BY artifact_id, ordinal"
            )
        )

    def odd_holds(self) -> list[sqlite3.Row]:
        """Give holds of an unknown kind, of no range, or of an artifact or a session that is not there."""
        return list(
            self._rows(
                "SELECT uri, holds.kind, holder, from_sample, to_sample"
                " FROM holds JOIN streams ON streams.id = stream_id"
                " WHERE holds.kind NOT IN ('artifact', 'pin', 'session') OR from_sample >= to_sample OR from_sample < 0"
                " OR holds.kind = 'artifact' AND NOT EXISTS (SELECT 1 FROM artifacts WHERE artifacts.id = holder)"
                " OR holds.kind = 'session' AND NOT EXISTS (SELECT 1 FROM sessions WHERE sessions.id = holder)"
                " ORDER BY uri, from_sample"
            )
        )

    def _rows(self, query: str, values: tuple[Any, ...] = ()) -> Iterator[sqlite3.Row]:
        with translated(self.path):
            yield from self._db.execute(query, values)


def _definition(text: str) -> StreamDefinition | None:
    try:
        found = json.loads(text)
        return StreamDefinition.from_json(found) if isinstance(found, dict) else None
    except (ValueError, RecursionError, InvalidValueError):
        return None
