"""The catalog: what is entered is found again, and no error of SQLite gets out."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackcapture.catalog import Catalog, SealedChunk, StreamTotals, migration
from jackcapture.errors import (
    ConflictError,
    JackCaptureError,
    NotFoundError,
    StorageDamagedError,
    StorageError,
    StorageFullError,
)
from jackcapture.model.addresses import Content
from jackcapture.model.artifacts import Artifact
from jackcapture.model.streams import AudioFormat, StreamDefinition
from jackcapture.model.takes import Chunk, ClockSnapshot, Gap, GapCause, Take
from jackcapture.model.uris import StreamUri, parse_stream_uri

STORE = "5e0c7a3c-0000-4000-8000-000000000001"
URI = parse_stream_uri("stream://desk/main")
OTHER = parse_stream_uri("stream://desk/other")
FAR = 1 << 62


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = Catalog(str(tmp_path / "catalog.db"), STORE)
    add_stream(made, URI)
    yield made
    made.close()


def artifact(name: str, **fields: Any) -> Artifact:
    return Artifact(name, fields.pop("kind", "slice"), "ab" * 32, "audio/vnd.wave", 10, **{"created_at_ns": 5} | fields)


def add_stream(catalog: Catalog, uri: StreamUri) -> StreamDefinition:
    definition = StreamDefinition(uri, "desk", AudioFormat(48_000, 2), sources=("system:capture_1",))
    catalog.add_stream(definition, artifact(f"definition of {uri}", kind="definition"))
    return definition


def begin(catalog: Catalog, number: int, first: int, uri: StreamUri = URI) -> Take:
    take = Take(uri, number, first + 7, first, None, 100 + number, None)
    catalog.begin_take(take)
    return take


def sealed(take: int, index: int, first: int, samples: int, **observed: Any) -> SealedChunk:
    content = Content(f"{take:032x}{index:032x}")
    return SealedChunk(take, Chunk(index, first, samples, samples * 8, 1000 + index, **observed), content)


def clock(position: int) -> ClockSnapshot:
    return ClockSnapshot(position, position + 7, position * 20, position * 20_000)


def reopened(catalog: Catalog, tmp_path: Path) -> Catalog:
    catalog.close()
    return Catalog(str(tmp_path / "catalog.db"), STORE)


# --- streams


def test_a_stream_is_found_again_also_after_a_restart(catalog: Catalog, tmp_path: Path) -> None:
    definition = add_stream(catalog, OTHER)
    again = reopened(catalog, tmp_path)
    assert again.stream(OTHER).definition == definition
    assert [record.definition.uri for record in again.streams()] == [URI, OTHER]
    assert again.artifact(again.stream(OTHER).definition_artifact).kind == "definition"
    again.close()


def test_a_uri_is_taken_once_and_the_refused_one_leaves_no_artifact(catalog: Catalog) -> None:
    definition = catalog.stream(URI).definition
    with pytest.raises(ConflictError, match="exists already"):
        catalog.add_stream(definition, artifact("second"))
    with pytest.raises(NotFoundError):
        catalog.artifact("second")


def test_an_unknown_stream_is_named_with_those_there_are(catalog: Catalog) -> None:
    with pytest.raises(NotFoundError, match=f"no stream {OTHER}; there are {URI}"):
        catalog.stream(OTHER)


# --- takes and chunks


def test_a_take_begins_once_and_ends_once(catalog: Catalog) -> None:
    begun = begin(catalog, 1, 0)
    catalog.begin_take(replace(begun, start_frame=999))
    assert [record.take for record in catalog.takes(URI)] == [begun]
    catalog.end_take(URI, 1, 50, 200, "JACK went")
    catalog.end_take(URI, 1, 60, 300, "")
    record = catalog.last_take(URI)
    assert record is not None
    assert record.take == replace(begun, samples=50, ended_at_ns=200)
    assert (record.error, record.end_sample) == ("JACK went", 50)


def test_chunks_out_of_order_and_twice_count_once(catalog: Catalog) -> None:
    begin(catalog, 1, 0)
    chunks = [
        sealed(1, i, i * 10, 10, gaps=(Gap(i * 10 + 2, 3, GapCause.XRUN),), clocks=(clock(i * 10),)) for i in (2, 0, 1)
    ]
    assert [catalog.add_chunk(URI, chunk) for chunk in chunks] == [True, True, True]
    assert [catalog.add_chunk(URI, chunk) for chunk in chunks] == [False, False, False]
    found = catalog.chunks(URI, 0, FAR)
    assert [at.chunk.index for at in found] == [0, 1, 2]
    assert catalog.totals(URI) == StreamTotals(1, 3, 240, 3, 9)
    record = catalog.last_take(URI)
    assert record is not None
    assert (record.sealed_samples, record.end_sample, record.lost_frames) == (30, 30, 9)
    assert catalog.chunk(URI, 1, 2) == replace(chunks[0], chunk=replace(chunks[0].chunk, gaps=(), clocks=()))
    with pytest.raises(NotFoundError, match="no sealed chunk 3 in take 1"):
        catalog.chunk(URI, 1, 3)


def test_totals_of_nothing_are_zero(catalog: Catalog) -> None:
    assert catalog.totals(URI) == StreamTotals(0, 0, 0, 0, 0)
    assert catalog.last_take(URI) is None
    assert catalog.chunks(URI, 0, FAR) == []


def test_gaps_of_a_range_are_those_that_overlap_it(catalog: Catalog) -> None:
    begin(catalog, 1, 0)
    gaps = tuple(Gap(at, 5, GapCause.RING_OVERFLOW) for at in (0, 10, 20))
    catalog.add_chunk(URI, sealed(1, 0, 0, 30, gaps=gaps))
    assert catalog.gaps(URI, 5, 10) == []
    assert catalog.gaps(URI, 4, 11) == [*gaps[:2]]
    assert catalog.gaps(OTHER, 0, FAR) == []


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_gaps_of_any_range_are_those_that_a_plain_filter_finds(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    catalog = Catalog(str(tmp_path_factory.mktemp("catalog") / "catalog.db"), STORE)
    add_stream(catalog, URI)
    position, everything = 0, []
    for number in (1, 2, 3):
        begin(catalog, number, position)
        first, gaps = position, []
        for distance, frames in data.draw(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 20)), max_size=6)):
            gaps.append(Gap(position + distance, frames, GapCause.XRUN))
            position += distance + frames
        position += 5
        catalog.add_chunk(URI, sealed(number, 0, first, position - first, gaps=tuple(gaps)))
        everything += gaps
        if number < 3:
            catalog.end_take(URI, number, position - first, 1, "")
    for _ in range(8):
        begin_at, end_at = sorted(data.draw(st.tuples(st.integers(0, position + 9), st.integers(0, position + 9))))
        naive = [gap for gap in everything if gap.position < end_at and gap.position + gap.frames > begin_at]
        assert catalog.gaps(URI, begin_at, end_at) == naive
    catalog.close()


def steps_of(catalog: Catalog, question: Callable[[], object]) -> int:
    """How many instructions of SQLite a question takes: what it costs, on any machine."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    question()  # the first one on a connection reads the schema
    with catalog._connections.read() as db:
        db.set_progress_handler(count, 1)
        try:
            question()
        finally:
            db.set_progress_handler(None, 1)
    return steps


def test_what_a_slice_asks_costs_the_same_in_a_long_recording(catalog: Catalog) -> None:
    add_stream(catalog, OTHER)
    frames, size = 100, {URI: 200, OTHER: 10}  # chunks
    for uri, chunks in size.items():
        begin(catalog, 1, 0, uri)
        gaps = tuple(Gap(at * frames + 7, 5, GapCause.XRUN) for at in range(chunks))
        catalog.add_clocks(uri, 1, [clock(at * frames) for at in range(chunks)])
        for index in range(chunks):
            catalog.add_chunk(uri, sealed(1, index, index * frames, frames, gaps=gaps if index == 0 else ()))
        catalog.end_take(uri, 1, chunks * frames, 1, "")

    def steps(ask: Callable[[StreamUri, int], object], uri: StreamUri) -> int:
        at = (size[uri] - 5) * frames  # near the end: what is before it is what adds up
        return steps_of(catalog, lambda: ask(uri, at))

    questions: dict[str, Callable[[StreamUri, int], object]] = {
        "chunks": lambda uri, at: catalog.chunks(uri, at, at + 2 * frames),
        "gaps": lambda uri, at: catalog.gaps(uri, at, at + 2 * frames),
        "clocks": lambda uri, at: catalog.clocks(uri, 1, at, at + 2 * frames),
        "last take": lambda uri, _: catalog.last_take(uri),
        "totals": lambda uri, _: catalog.totals(uri),
        "newest gaps": lambda uri, _: catalog.newest_gaps(uri, 5),
        "first kept": lambda uri, _: catalog.keeping.first_kept_sample(uri),
    }
    cost = {name: (steps(ask, URI), steps(ask, OTHER)) for name, ask in questions.items()}
    assert all(steps for both in cost.values() for steps in both)
    assert {name: both for name, both in cost.items() if both[0] > 1.1 * both[1]} == {}


def test_the_newest_come_oldest_first_and_of_one_stream_only(catalog: Catalog) -> None:
    add_stream(catalog, OTHER)
    begin(catalog, 1, 0, OTHER)
    for number in (1, 2, 3):
        begin(catalog, number, number * 10)
        gap = Gap(number * 10 + 1, 1, GapCause.XRUN)
        catalog.add_chunk(URI, sealed(number, 0, number * 10, 10, gaps=(gap,)))
        catalog.end_take(URI, number, 10, 500, "")
    assert [record.take.number for record in catalog.newest_takes(URI, 2)] == [2, 3]
    assert [gap.position for gap in catalog.newest_gaps(URI, 2)] == [21, 31]
    assert catalog.newest_gaps(OTHER, 2) == []


def test_clocks_of_a_range_come_with_one_on_each_side(catalog: Catalog) -> None:
    begin(catalog, 1, 0)
    catalog.add_clocks(URI, 1, [clock(at) for at in (0, 10, 20, 30, 40)])
    catalog.add_clocks(URI, 1, [clock(0)])  # twice
    for first, last, expected in (
        (15, 16, [10, 20]), (20, 21, [10, 20, 30]), (11, 29, [10, 20, 30]), (50, 60, [40]), (0, 1, [0, 10]),
    ):  # fmt: skip
        assert [at.sample_position for at in catalog.clocks(URI, 1, first, last)] == expected
    assert catalog.clocks(URI, 1, 0, FAR)[1] == clock(10)


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_chunks_of_any_range_are_those_that_a_plain_filter_finds(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    catalog = Catalog(str(tmp_path_factory.mktemp("catalog") / "catalog.db"), STORE)
    add_stream(catalog, URI)
    position, everything = data.draw(st.integers(0, 50)), []
    takes = data.draw(st.lists(st.lists(st.integers(1, 30), max_size=6), min_size=1, max_size=4))
    for number, lengths in enumerate(takes, 1):
        begin(catalog, number, position)
        first, chunks = position, []
        for index, samples in enumerate(lengths):
            chunks.append(sealed(number, index, position, samples))
            position += samples
        # Chunks are entered in any order, and not all of them.
        for chunk in data.draw(st.permutations(chunks)):
            if data.draw(st.integers(0, 5)):
                catalog.add_chunk(URI, chunk)
                everything.append(chunk)
        if number < len(takes):
            catalog.end_take(URI, number, position - first, 1, "")
    for _ in range(8):
        begin_at, end_at = sorted(data.draw(st.tuples(st.integers(0, position + 9), st.integers(0, position + 9))))
        naive = [
            at
            for at in sorted(everything, key=lambda at: at.chunk.first_sample)
            if at.chunk.first_sample < end_at and at.chunk.end_sample > begin_at
        ]
        assert catalog.chunks(URI, begin_at, end_at) == naive
    catalog.close()


# --- artifacts


def test_artifacts_keep_parents_in_order_and_tags(catalog: Catalog) -> None:
    for name in ("b", "a"):
        catalog.add_artifact(artifact(name))
    made = artifact("c", parents=("b", "a"), tags=("kick", "loud"), metadata={"x": [1, None]}, stream_uri=URI)
    catalog.add_artifact(made)
    assert catalog.artifact("c") == made
    assert [found.id for found in catalog.artifacts(tag="loud")] == ["c"]
    assert [found.id for found in catalog.artifacts(stream_uri=URI)] == ["c"]


def test_artifacts_come_newest_first_up_to_the_limit(catalog: Catalog) -> None:
    for at in (3, 9, 6):
        catalog.add_artifact(artifact(f"s{at}", created_at_ns=at))
    assert [found.id for found in catalog.artifacts(kind="slice", limit=2)] == ["s9", "s6"]
    assert catalog.artifacts(kind="nothing") == []


def test_stored_bytes_are_those_of_chunks_overviews_and_artifacts(catalog: Catalog) -> None:
    begin(catalog, 1, 0)
    for _ in range(2):  # the second time it is known already
        catalog.add_chunk(URI, sealed(1, 0, 0, 10), overview_bytes=24)
    assert catalog.stored_bytes() == 80 + 24 + 10  # and the definition


# --- what goes wrong


@pytest.mark.parametrize(
    ("error", "change"),
    [
        (ConflictError, lambda catalog: catalog.add_artifact(artifact(f"definition of {URI}"))),
        (ConflictError, lambda catalog: catalog.add_artifact(artifact("new", parents=("nobody",)))),
        (NotFoundError, lambda catalog: begin(catalog, 1, 0, OTHER)),
        (NotFoundError, lambda catalog: catalog.end_take(URI, 9, 1, 1, "")),
        (NotFoundError, lambda catalog: catalog.add_chunk(URI, sealed(9, 0, 0, 1))),
        (NotFoundError, lambda catalog: catalog.add_clocks(URI, 9, [clock(0)])),
        (NotFoundError, lambda catalog: catalog.clocks(URI, 9, 0, 1)),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(
    catalog: Catalog, error: type[Exception], change: Callable[[Catalog], object]
) -> None:
    with pytest.raises(error):
        change(catalog)
    assert len(catalog.artifacts()) == 1
    catalog.add_artifact(artifact("next"))  # and the next change goes through


def test_a_full_disk_is_told_and_the_catalog_goes_on_when_there_is_room(catalog: Catalog) -> None:
    writer = catalog._connections.writer
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageFullError, match="too full"):
        catalog.add_artifact(artifact("big", metadata={"text": "x" * 100_000}))
    writer.execute("PRAGMA max_page_count = 100000")
    catalog.add_artifact(artifact("big"))
    assert catalog.artifact("big").metadata == {}


def test_a_closed_catalog_raises_no_error_of_sqlite(catalog: Catalog) -> None:
    catalog.streams()
    catalog.close()
    for call in (catalog.streams, catalog.stored_bytes, lambda: catalog.add_artifact(artifact("late"))):
        with pytest.raises(JackCaptureError):
            call()


def change_file(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_another_stores_catalog_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    catalog.close()
    with pytest.raises(StorageDamagedError, match=f"is the catalog of store {STORE}, not of this store other"):
        Catalog(str(tmp_path / "catalog.db"), "other")


def test_a_newer_version_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    catalog.close()
    change_file(tmp_path / "catalog.db", f"PRAGMA user_version = {migration.VERSION + 1}")
    with pytest.raises(StorageDamagedError, match=f"reads up to {migration.VERSION}: use a newer one"):
        Catalog(str(tmp_path / "catalog.db"), STORE)


def test_a_database_that_is_no_catalog_is_refused(tmp_path: Path) -> None:
    change_file(tmp_path / "catalog.db", "CREATE TABLE songs (name TEXT)")
    with pytest.raises(StorageDamagedError, match="no catalog of jackcapture"):
        Catalog(str(tmp_path / "catalog.db"), STORE)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(b"these are notes, and no database at all\n" * 50)
    with pytest.raises(StorageDamagedError, match="damaged"):
        Catalog(str(tmp_path / "catalog.db"), STORE)


def test_a_place_that_cannot_hold_a_catalog_is_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "catalog.db"):
        with pytest.raises(StorageError):
            Catalog(str(path), STORE)


def test_a_damaged_file_is_told_when_it_is_read(catalog: Catalog, tmp_path: Path) -> None:
    for number in range(300):
        catalog.add_artifact(artifact(f"s{number}", metadata={"text": "x" * 500}))
    catalog.close()
    path = tmp_path / "catalog.db"
    data = bytearray(path.read_bytes())
    data[3 * 4096 :] = b"\xa5" * (len(data) - 3 * 4096)
    path.write_bytes(data)
    with pytest.raises(StorageDamagedError, match="damaged"):  # noqa: PT012 - whichever meets it first
        damaged = Catalog(str(path), STORE)
        try:
            damaged.artifacts()
        finally:
            damaged.close()


def test_tags_are_added_and_found(catalog: Catalog) -> None:
    catalog.add_artifact(artifact("one", tags=("keep",)))
    assert catalog.tag_artifact("one", ["solo", "keep"]).tags == ("keep", "solo")
    assert [found.id for found in catalog.artifacts(tag="solo")] == ["one"]
    with pytest.raises(NotFoundError, match="'two'"):
        catalog.tag_artifact("two", ["solo"])


def test_threads_read_while_one_writes(catalog: Catalog) -> None:
    begin(catalog, 1, 0)
    stop, failures = threading.Event(), []

    def read() -> None:
        try:
            while not stop.is_set():
                # Rows and totals change together; the rows are read first, and are never ahead.
                found = catalog.chunks(URI, 0, FAR)
                assert catalog.totals(URI).kept_chunks >= len(found)
                assert [at.chunk.index for at in found] == list(range(len(found)))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for index in range(50):
        catalog.add_chunk(URI, sealed(1, index, index * 10, 10))
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert catalog.totals(URI).kept_chunks == 50
