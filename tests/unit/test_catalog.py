"""The catalog: what goes in comes out, once, and nothing of SQLite shows."""

import random
import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackcapture.catalog import Catalog, SealedChunk
from jackcapture.catalog import migration as migration_module
from jackcapture.catalog.catalog import new_artifact_id
from jackcapture.errors import ConflictError, NotFoundError, StorageDamagedError
from jackcapture.model.addresses import Content
from jackcapture.model.artifacts import Artifact
from jackcapture.model.streams import AudioFormat, StreamDefinition
from jackcapture.model.takes import Chunk, ClockSnapshot, Gap, GapCause, Take
from jackcapture.model.uris import StreamUri

URI = StreamUri("stream://test/stereo")
DEFINITION = StreamDefinition(URI, "test", AudioFormat(48000, 2), 65536, ("system:capture_.*",))
STORE = "00000000-0000-0000-0000-000000000001"


def artifact(kind: str = "definition", **fields: object) -> Artifact:
    """An artifact of arbitrary content."""
    values: dict[str, object] = {
        "id": new_artifact_id(kind),
        "kind": kind,
        "content_hash": random.randbytes(32).hex(),
        "mime_type": "text/plain",
        "bytes": 3,
        "created_at_ns": 5,
        "stream_uri": URI,
        **fields,
    }
    return Artifact(**values)  # type: ignore[arg-type]


def chunk(index: int, first: int, samples: int, **fields: object) -> Chunk:
    """A chunk of two channels of float32."""
    return Chunk(index, first, samples, samples * 8, first + samples, **fields)  # type: ignore[arg-type]


def sealed(take: int, of: Chunk) -> SealedChunk:
    """The chunk with some content."""
    return SealedChunk(take, of, Content(f"{take:032x}{of.index:032x}"))


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """A catalog with one stream."""
    made = Catalog(str(tmp_path / "catalog.db"), STORE)
    made.add_stream(DEFINITION, artifact())
    return made


def begin(catalog: Catalog, number: int, first: int) -> None:
    """Enter a take."""
    catalog.begin_take(Take(URI, number, 1000 + first, first, None, 7, None))


def test_streams(catalog: Catalog) -> None:
    """A stream's definition comes back as it was; a URI is taken once; an unknown one names those there are."""
    assert catalog.stream(URI).definition == DEFINITION
    assert [record.definition for record in catalog.streams()] == [DEFINITION]
    with pytest.raises(ConflictError, match="exists already"):
        catalog.add_stream(DEFINITION, artifact())
    with pytest.raises(NotFoundError, match=URI):
        catalog.stream(StreamUri("stream://no/such"))
    assert len(catalog.artifacts()) == 1


def test_chunks_twice_and_out_of_order(catalog: Catalog) -> None:
    """A chunk counts once, in whatever order chunks come; gaps and clocks come with it."""
    begin(catalog, 1, 0)
    gap, clock = Gap(150, 20, GapCause.XRUN), ClockSnapshot(120, 1120, 3, 4)
    second = sealed(1, chunk(1, 100, 100, gaps=(gap,), clocks=(clock,)))
    first = sealed(1, chunk(0, 0, 100))
    assert catalog.add_chunk(URI, second)
    assert catalog.add_chunk(URI, first)
    assert not catalog.add_chunk(URI, second)
    assert [found.chunk.index for found in catalog.chunks(URI, 0, 1000)] == [0, 1]
    assert catalog.chunk(URI, 1, 1).content == second.content
    assert catalog.gaps(URI, 169, 170) == [gap]
    assert catalog.gaps(URI, 170, 300) == []
    assert catalog.clocks(URI, 1, 0, 10) == [clock]
    totals = catalog.totals(URI)
    assert (totals.takes, totals.sealed_chunks, totals.sealed_bytes) == (1, 2, 1600)
    assert (totals.gap_count, totals.lost_frames) == (1, 20)
    with pytest.raises(NotFoundError, match="take 2"):
        catalog.add_chunk(URI, sealed(2, chunk(0, 200, 1)))
    with pytest.raises(NotFoundError, match="chunk 5"):
        catalog.chunk(URI, 1, 5)


def test_take_ends_once(catalog: Catalog) -> None:
    """The first end stands; beginning again changes nothing."""
    begin(catalog, 1, 0)
    begin(catalog, 1, 77)
    catalog.end_take(URI, 1, 500, 9, "why")
    catalog.end_take(URI, 1, 600, 10, "")
    (record,) = catalog.takes(URI)
    assert (record.take.first_sample, record.take.samples, record.error, record.end_sample) == (0, 500, "why", 500)
    assert catalog.last_take(URI) == record


@settings(max_examples=50, deadline=None)
@given(
    takes=st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=8), min_size=1, max_size=4),
    bounds=st.tuples(st.integers(0, 500), st.integers(0, 500)),
    ended=st.booleans(),
)
def test_chunks_of_a_range(takes: list[list[int]], bounds: tuple[int, int], ended: bool) -> None:
    """The chunks of a range are those that a look at all of them finds."""
    catalog = _temporary()
    position, everything = 0, []
    for number, lengths in enumerate(takes, 1):
        begin(catalog, number, position)
        start = position
        for index, samples in enumerate(lengths):
            everything.append(sealed(number, chunk(index, position, samples)))
            catalog.add_chunk(URI, everything[-1])
            position += samples
        if ended or number < len(takes):
            catalog.end_take(URI, number, position - start, 9, "")
    low, high = min(bounds), max(bounds)
    wanted = [of for of in everything if of.chunk.first_sample < high and of.chunk.end_sample > low]
    assert catalog.chunks(URI, low, high) == wanted
    catalog.close()


def _temporary() -> Catalog:
    import tempfile

    catalog = Catalog(str(Path(tempfile.mkdtemp()) / "catalog.db"), STORE)
    catalog.add_stream(DEFINITION, artifact())
    return catalog


def test_artifacts(catalog: Catalog) -> None:
    """Artifacts are found by id, kind, tag and stream, with parents in their order."""
    parent = artifact(created_at_ns=1)
    child = artifact("slice", parents=(parent.id,), tags=("a", "b"), metadata={"x": [1]}, created_at_ns=2)
    catalog.add_artifact(parent)
    catalog.add_artifact(child)
    assert catalog.artifact(child.id) == child
    assert catalog.artifacts(kind="slice") == catalog.artifacts(tag="b") == [child]
    assert catalog.artifacts(tag="b", stream_uri="stream://no/such") == []
    with pytest.raises(NotFoundError, match=child.id[:-1]):
        catalog.artifact(child.id[:-1])


def test_only_this_store_and_version(tmp_path: Path, catalog: Catalog) -> None:
    """Another store's catalog, a newer one, another database and no database are refused."""
    catalog.close()
    path = tmp_path / "catalog.db"
    with pytest.raises(StorageDamagedError, match=STORE):
        Catalog(str(path), STORE.replace("1", "2"))
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {migration_module.VERSION + 1}")
    database.close()
    with pytest.raises(StorageDamagedError, match="newer"):
        Catalog(str(path), STORE)
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(StorageDamagedError, match="no catalog"):
        Catalog(str(tmp_path / "other.db"), STORE)
    (tmp_path / "text.db").write_text("no database at all, but long enough to look like a file of one" * 20)
    with pytest.raises(StorageDamagedError, match="damaged"):
        Catalog(str(tmp_path / "text.db"), STORE)


def test_migration_steps_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older catalog goes through each migration once; a failing one leaves it as it was."""
    path = str(tmp_path / "catalog.db")
    Catalog(path, STORE).close()
    scripts = {"migrations/0002.sql": "CREATE TABLE two (x);", "migrations/0003.sql": "ALTER TABLE two ADD y;"}
    monkeypatch.setattr(migration_module, "_read", scripts.__getitem__)
    database = sqlite3.connect(path, isolation_level=None)
    migration_module.migrate(database, path, 3)
    migration_module.migrate(database, path, 3)
    assert [row[1] for row in database.execute("PRAGMA table_info(two)")] == ["x", "y"]
    scripts["migrations/0004.sql"] = "CREATE TABLE four (x); CREATE TABLE two (x);"
    with pytest.raises(sqlite3.OperationalError):
        migration_module.migrate(database, path, 4)
    database.execute("ROLLBACK")
    assert database.execute("PRAGMA user_version").fetchone() == (3,)
    assert database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'four'").fetchone() == (0,)
    database.close()


def test_threads_read_while_one_writes(catalog: Catalog) -> None:
    """Readers see whole transactions only."""
    begin(catalog, 1, 0)
    stop = threading.Event()
    wrong: list[object] = []

    def read() -> None:
        while not stop.is_set():
            totals = catalog.totals(URI)
            if totals.sealed_bytes != totals.sealed_chunks * 80:
                wrong.append(totals)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for index in range(100):
        catalog.add_chunk(URI, sealed(1, chunk(index, 10 * index, 10)))
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert catalog.totals(URI).sealed_chunks == 100
