"""Makes a catalog, or brings an older one to the version of schema.sql."""

import importlib.resources
import sqlite3

from jackcapture.errors import StorageDamagedError

APPLICATION_ID = 0x4A435054  # "JCPT", in the header of the file
VERSION = 7


def migrate(connection: sqlite3.Connection, path: str, version: int = VERSION) -> None:
    """Bring the database to `version`; raises `StorageDamagedError` for one that is newer or no catalog."""
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if found == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
        _run(connection, _read("schema.sql"), version)
        return
    if application != APPLICATION_ID or found == 0:
        raise StorageDamagedError(
            f"{path} is a SQLite database, but no catalog of jackcapture; 'jackcapture store rebuild' makes one "
            "from the store",
            path=path,
        )
    if found > version:
        raise StorageDamagedError(
            f"{path} is a catalog of version {found}; this jackcapture reads up to {version}: use a newer one",
            path=path,
            version=found,
        )
    for step in range(found + 1, version + 1):
        _run(connection, _read(f"migrations/{step:04}.sql"), step)


def _read(name: str) -> str:
    return importlib.resources.files("jackcapture.catalog").joinpath(name).read_text(encoding="utf-8")


def _run(connection: sqlite3.Connection, script: str, version: int) -> None:
    connection.executescript(
        f"BEGIN IMMEDIATE;\n{script}\nPRAGMA application_id = {APPLICATION_ID};\n"
        f"PRAGMA user_version = {version};\nCOMMIT;"
    )
