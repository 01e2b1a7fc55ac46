"""An older catalog becomes what a new one is, step by step, each step whole or not at all."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from jackcapture.catalog import migration

SCHEMAS = {
    "old": "CREATE TABLE a (x INTEGER) STRICT;",
    "schema.sql": "CREATE TABLE a (x INTEGER) STRICT; CREATE TABLE b (y TEXT) STRICT; CREATE INDEX b_y ON b (y);",
    "migrations/0002.sql": "CREATE TABLE b (y TEXT) STRICT;",
    "migrations/0003.sql": "CREATE INDEX b_y ON b (y);",
}


@pytest.fixture
def databases() -> Iterator[list[sqlite3.Connection]]:
    made = [sqlite3.connect(":memory:", isolation_level=None) for _ in range(2)]
    yield made
    for connection in made:
        connection.close()


def schema(connection: sqlite3.Connection) -> set[tuple[str, str, str]]:
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {(kind, name, re.sub(r"\s+", " ", sql)) for kind, name, sql in rows}


def columns(connection: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    tables = [name for kind, name, _ in schema(connection) if kind == "table"]
    return {name: connection.execute(f"PRAGMA table_xinfo({name})").fetchall() for name in tables}


def numbers(connection: sqlite3.Connection) -> tuple[int, int]:
    application, version = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    return application, version


def test_an_upgraded_catalog_equals_a_fresh_one(
    databases: list[sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh, upgraded = databases
    monkeypatch.setattr(migration, "_read", lambda _: SCHEMAS["old"])
    migration.migrate(upgraded, "old", 1)
    monkeypatch.setattr(migration, "_read", SCHEMAS.__getitem__)
    migration.migrate(upgraded, "old", 3)
    migration.migrate(fresh, "fresh", 3)
    assert schema(upgraded) == schema(fresh)
    assert numbers(upgraded) == numbers(fresh) == (migration.APPLICATION_ID, 3)


def test_the_first_catalog_becomes_todays(databases: list[sqlite3.Connection], monkeypatch: pytest.MonkeyPatch) -> None:
    fresh, upgraded = databases
    first = (Path(__file__).parents[1] / "golden" / "catalog-1.sql").read_text()
    with monkeypatch.context() as patch:
        patch.setattr(migration, "_read", lambda _: first)
        migration.migrate(upgraded, "old", 1)
    for connection in databases:
        migration.migrate(connection, "catalog")
    assert numbers(upgraded) == numbers(fresh) == (migration.APPLICATION_ID, migration.VERSION)
    assert columns(upgraded) == columns(fresh)
    indexes = [{row for row in schema(connection) if row[0] == "index"} for connection in databases]
    assert indexes[0] == indexes[1]


def test_a_step_that_fails_leaves_the_version_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "catalog.db"
    connection = sqlite3.connect(path, isolation_level=None)
    monkeypatch.setattr(migration, "_read", lambda _: SCHEMAS["old"])
    migration.migrate(connection, "old", 1)
    before = schema(connection)
    broken = SCHEMAS | {"migrations/0003.sql": "CREATE INDEX b_y ON b (y); CREATE TABLE a (x INTEGER);"}
    monkeypatch.setattr(migration, "_read", broken.__getitem__)
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migration.migrate(connection, "old", 3)
    connection.close()
    again = sqlite3.connect(path, isolation_level=None)
    assert numbers(again) == (migration.APPLICATION_ID, 2)
    assert {name for _, name, _ in schema(again)} == {name for _, name, _ in before} | {"b"}
    again.close()


def test_there_is_a_migration_for_every_version_and_none_beyond() -> None:
    folder = Path(migration.__file__).parent / "migrations"
    assert sorted(path.name for path in folder.glob("*.sql")) == [
        f"{version:04}.sql" for version in range(2, migration.VERSION + 1)
    ]
