"""`store rebuild`: a new catalog from the store alone; whatever lies in content is in it, and the check is clean."""

import errno
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jackcapture.catalog import Catalog, TakeRecord
from jackcapture.control.contents import Contents
from jackcapture.control.maintenance.check_place import CheckPlace
from jackcapture.control.maintenance.offline import check_offline, rebuild_offline
from jackcapture.control.maintenance.rebuild import rebuild_store
from jackcapture.control.maintenance.swap import place_catalog
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.sessions.document import SESSION_TYPE, enter_session
from jackcapture.control.slices.requests import SliceOptions, SliceRequest
from jackcapture.control.slices.slicer import Slicer
from jackcapture.errors import ConflictError, NotFoundError, StorageDamagedError, StorageFullError
from jackcapture.lock import ENGINE_LOCK, STORE_LOCK, ProcessLock
from jackcapture.model.addresses import Content
from jackcapture.model.results import RebuildResult
from jackcapture.model.retention import HolderKind, Removal, Retention
from jackcapture.model.sessions import Mark, Session, SessionMode, SessionStatus
from jackcapture.model.takes import ClockSnapshot, Gap
from jackcapture.model.uris import StreamUri
from jackcapture.settings import Settings
from jackcapture.store import Files, Store
from parts.disks import SmallDisk
from parts.kept_session import FIRST_FRAME, ID, make_session_store, opened_session
from parts.kept_session import KEYS as KEYS_OF_SESSION
from parts.kept_store import IDLE, KEYS, MAIN, SHORT, KeptStore

FAR = 1 << 62


def quiet(done: int, total: int, unit: str) -> None:
    """Take no note of the progress."""


def rebuild(kept: KeptStore, *, force: bool = False) -> RebuildResult:
    return rebuild_offline(kept.settings, quiet, force=force)


def assert_clean(kept: KeptStore) -> None:
    assert check_offline(kept.settings, quiet, read_data=True).problems == ()


def opened(kept: KeptStore) -> tuple[Store, Catalog]:
    store = Store.create_or_open(str(kept.root))
    return store, Catalog(str(kept.catalog), store.uuid)


def told(catalog: Catalog, uri: StreamUri) -> dict[str, Any]:
    """All that the catalog tells of a stream, but for the ids of artifacts and what is not in any document."""
    stream = catalog.stream(uri)
    takes: list[TakeRecord] = catalog.takes(uri)
    removals: list[Removal] = catalog.keeping.removals(uri, 0, FAR)
    clocks: list[list[ClockSnapshot]] = [catalog.clocks(uri, it.take.number, 0, FAR) for it in takes]
    gaps: list[Gap] = catalog.gaps(uri, 0, FAR)
    return {
        "definition": stream.definition,
        "retention": stream.retention,
        "created": stream.created_at_ns if takes else None,
        "takes": [(it.take, it.error, it.sealed_chunks, it.sealed_samples, it.removed_chunks) for it in takes],
        "chunks": catalog.chunks(uri, 0, FAR),
        "removals": removals,
        "clocks": clocks,
        "gaps": gaps,
    }


def slice_bytes(store: Store, catalog: Catalog, first: int, last: int) -> bytes:
    stream = ManagedStream(catalog.stream(MAIN))
    request = SliceRequest(stream, None, first, last, SliceOptions("wav"), "here to there")
    result, _ = Slicer(store, catalog, Contents(store, catalog)).cut(request, quiet)
    return Path(store.path(Content(result.content_hash))).read_bytes()


def test_a_directory_in_the_place_of_the_catalog_is_moved_away(kept: KeptStore) -> None:
    kept.catalog.unlink()
    kept.catalog.mkdir()
    result = rebuild(kept)
    assert result.replaced is not None
    assert Path(result.replaced).is_dir()
    assert_clean(kept)


@pytest.mark.parametrize("content", [None, b"", b"no database at all", bytes(50_000)])
def test_what_documents_tell_is_all_there_again(kept: KeptStore, content: bytes | None) -> None:
    store, catalog = opened(kept)
    before = {uri: told(catalog, uri) for uri in (MAIN, SHORT, KEYS, IDLE)}
    slice_before = slice_bytes(store, catalog, 120, 777)
    catalog.close()
    files = kept.files()
    if content is None:
        kept.catalog.unlink()
    else:
        kept.catalog.write_bytes(content)
    result = rebuild(kept)
    assert (result.streams, result.takes, result.chunks) == (4, 4, 11)
    assert result.lost == ()
    assert (result.replaced is None) == (content is None)
    if result.replaced is not None:
        assert Path(result.replaced).read_bytes() == content
    assert kept.files() == files
    assert_clean(kept)
    store, catalog = opened(kept)
    assert {uri: told(catalog, uri) for uri in (MAIN, SHORT, KEYS, IDLE)} == before
    assert slice_bytes(store, catalog, 120, 777) == slice_before
    catalog.close()


def test_what_no_document_names_becomes_an_artifact(kept: KeptStore) -> None:
    slices = set(kept.query("SELECT content_hash FROM artifacts WHERE kind = 'slice'"))
    others = {
        b"fLaC" + bytes(50): "audio/flac",
        b"MThd" + bytes(50): "audio/midi",
        b"RF64\xff\xff\xff\xffWAVE" + bytes(50): "audio/vnd.wave",
        b"\x89PNG\r\n\x1a\n" + bytes(50): "image/png",
        os.urandom(50): "application/octet-stream",
        b'{"type": "application/vnd.jackcapture.session+json", "version": 1}': SESSION_TYPE,
        b'{"type": "application/json"}': "application/octet-stream",
    }
    store = Store.create_or_open(str(kept.root))
    named = {store.put(data).content.hash: mime for data, mime in others.items()}
    kept.catalog.unlink()
    result = rebuild(kept)
    recovered = {item.content_hash: item.mime_type for item in result.recovered}
    assert recovered.keys() == slices | named.keys()
    assert {name: recovered[name] for name in named} == named
    assert sorted(recovered[name] for name in slices) == [
        "application/octet-stream",
        "application/vnd.jackcapture.slice+json",
        "audio/vnd.wave",
    ]
    assert any("10 files" in text for text in result.unknown)
    assert_clean(kept)
    store, catalog = opened(kept)
    listed = catalog.artifacts(tag="recovered")
    assert {artifact.content_hash for artifact in listed} == recovered.keys()
    assert {artifact.kind for artifact in listed} == {"recovered"}
    (held,) = catalog.keeping.holds(MAIN, HolderKind.ARTIFACT)  # by the virtual slice
    assert (held.from_sample, held.to_sample) == (120, 600)
    catalog.close()


def test_chunks_that_are_not_there_are_lost_and_the_rest_is_kept(kept: KeptStore) -> None:
    kept.forget(kept.chunk(), kept.chunk(index=2), kept.chunk(take=2, index=0, column="overview_hash"))
    short = kept.chunk(take=2)
    kept.rewrite(short, kept.path(short).read_bytes()[:-1])
    kept.catalog.unlink()
    result = rebuild(kept)
    assert [(lost.stream_uri, lost.take, lost.chunks, lost.sample_range) for lost in result.lost] == [
        (MAIN, 1, 2, (100, 450)),
        (MAIN, 2, 1, (550, 850)),
    ]
    assert result.chunks == 8
    assert short in {item.content_hash for item in result.recovered}
    assert any("1 overviews are missing" in text for text in result.unknown)
    assert check_offline(kept.settings, quiet, read_data=False).problems == ()
    assert sorted(kept.query("SELECT reason FROM removals")) == ["keep_chunks", "lost", "lost"]


def test_a_stream_without_a_manifest_is_there_and_told_of(kept: KeptStore) -> None:
    """A first take that never ended: its chunks are bytes that nobody names."""
    chunks = [kept.chunk(KEYS, index=index) for index in (0, 1)]
    kept.forget(kept.artifact("manifest", KEYS))
    kept.catalog.unlink()
    result = rebuild(kept)
    assert (result.streams, result.takes) == (4, 3)
    assert {item.content_hash for item in result.recovered} >= set(chunks)
    assert any(KEYS in text and "no manifest" in text for text in result.unknown)
    assert_clean(kept)


def test_the_newest_manifest_that_holds_up_is_taken(kept: KeptStore) -> None:
    newest = kept.artifact("manifest")
    kept.rewrite(newest, kept.path(newest).read_bytes().replace(b'"samples": 300', b'"samples": 301'))
    kept.catalog.unlink()
    result = rebuild(kept)
    assert (result.streams, result.takes, result.chunks) == (4, 3, 8)  # one take of the main stream
    assert newest in {item.content_hash for item in result.recovered}
    assert [problem.kind for problem in check_offline(kept.settings, quiet, read_data=True).problems] == [
        "content_damaged"
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [("version", 2), ("takes", [{}]), ("definition", {"uri": "x"}), ("created_at_ns", "now"), ("takes", 7)],
)
def test_a_manifest_that_is_none_is_kept_as_a_file(kept: KeptStore, field: str, value: Any) -> None:
    newest = kept.artifact("manifest")
    document = json.loads(kept.path(newest).read_bytes()) | {field: value}
    name = Store.create_or_open(str(kept.root)).put(json.dumps(document).encode()).content.hash
    kept.catalog.unlink()
    result = rebuild(kept)
    assert (result.streams, result.takes, result.chunks) == (4, 4, 11)
    assert name in {item.content_hash for item in result.recovered}
    assert any(name in text and "cannot be used" in text for text in result.unknown)
    assert_clean(kept)


def test_a_lost_definition_is_made_anew(kept: KeptStore) -> None:
    name = kept.artifact("definition")
    data = kept.path(name).read_bytes()
    kept.forget(name)
    kept.catalog.unlink()
    result = rebuild(kept)
    assert kept.path(name).read_bytes() == data
    assert any(MAIN in text and "definition was lost" in text for text in result.unknown)
    assert_clean(kept)


def test_retention_and_pins_are_those_of_the_newest_manifest(kept: KeptStore) -> None:
    document = json.loads(kept.path(kept.artifact("manifest")).read_bytes())
    document["created_at_ns"] += 1
    document["retention"] = {"keep_ns": 10**9, "keep_bytes": None, "keep_chunks": 7}
    document["pins"] = [{"name": "intro", "from_sample": 10, "to_sample": 200, "created_at_ns": 5}]
    Store.create_or_open(str(kept.root)).put(json.dumps(document).encode())
    kept.catalog.unlink()
    rebuild(kept)
    _, catalog = opened(kept)
    assert catalog.stream(MAIN).retention == Retention(10**9, None, 7)
    assert catalog.stream(SHORT).retention == Retention(keep_chunks=3)
    pins = catalog.keeping.holds(MAIN, HolderKind.PIN)
    assert [(pin.holder, pin.from_sample, pin.to_sample) for pin in pins] == [("intro", 10, 200)]
    catalog.close()
    assert_clean(kept)


# --- sessions


@pytest.fixture
def recorded(tmp_path: Path) -> KeptStore:
    """A store with a closed session that was marked after its close, one that was closed unplayed, and an open one."""
    root = tmp_path / "recorded"
    make_session_store(root)
    with opened_session(root) as kept:
        marked = Mark("late", 1, FIRST_FRAME + 10, 7, 8, {KEYS_OF_SESSION: 10})
        session = replace(kept.session, marks=(*kept.session.marks, marked))
        rows = kept.catalog.sessions
        enter_session(kept.store, kept.contents, kept.catalog, session, lambda it: rows.add_mark(ID, marked, it))
        for number, name in enumerate(("unplayed", "open")):
            made = Session(name, name, SessionMode.PASSIVE, SessionStatus.CREATED, number, None, (session.streams[0],))
            rows.add(made)
            if name == "unplayed":
                closed = replace(made, closed_at_ns=9)
                enter_session(kept.store, kept.contents, kept.catalog, closed, lambda it: rows.close("unplayed", 9, it))
    return KeptStore(root)


def told_of_sessions(root: Path) -> tuple[Any, ...]:
    """All that the catalog tells of closed sessions, but for which takes they had begun, and the ids of artifacts."""
    with opened_session(root) as kept:
        closed = [it.id for it in kept.catalog.sessions.glances(9) if it.status is SessionStatus.CLOSED]
        sessions = [kept.catalog.sessions.get(session_id) for session_id in closed]
        documents = [(it.content_hash, it.metadata["session_id"]) for it in kept.catalog.artifacts(kind="session")]
        parents = {
            kept.catalog.artifact(parent).kind for it in kept.catalog.artifacts(kind="session") for parent in it.parents
        }
        holds = [
            (hold.uri, hold.holder, hold.from_sample, hold.to_sample)
            for record in kept.catalog.streams()
            for hold in kept.catalog.keeping.holds(record.definition.uri, HolderKind.SESSION)
        ]
        disowned = [
            replace(it, segments=tuple(
                replace(segment, ranges=tuple(replace(found, is_own=False) for found in segment.ranges))
                for segment in it.segments
            ))
            for it in sessions
        ]  # fmt: skip
        return sorted(disowned, key=lambda it: it.id), sorted(documents), parents, sorted(holds)


def test_closed_sessions_are_there_again(recorded: KeptStore) -> None:
    before = told_of_sessions(recorded.root)
    assert [it.id for it in before[0]] == [ID, "unplayed"]
    assert [mark.name for mark in before[0][0].marks] == ["late", "solo", "the-end"]
    assert len(before[1]) == 3
    with pytest.raises(ConflictError, match=r"3 sessions.*sessions that are not closed"):
        rebuild(recorded)
    result = rebuild(recorded, force=True)
    assert (result.sessions, result.recovered) == (2, ())
    assert any("3 sessions" in text and "sessions that were not closed" in text for text in result.unknown)
    assert told_of_sessions(recorded.root) == before
    assert_clean(recorded)
    with opened_session(recorded.root) as kept:
        kept.catalog.sessions.delete(ID)
        kept.contents.remove_marked()
        assert len(kept.catalog.artifacts(kind="session")) == 1
    assert_clean(recorded)


def test_of_a_session_the_newest_document_that_holds_up_counts(recorded: KeptStore) -> None:
    documents = [name for name, session_id in told_of_sessions(recorded.root)[1] if session_id == ID]
    newest = next(name for name in documents if b'"late"' in recorded.path(name).read_bytes())
    data = recorded.path(newest).read_bytes()
    recorded.rewrite(newest, data.replace(b"Night patch", b"Night Patch"))
    result = rebuild(recorded, force=True)
    assert result.sessions == 2
    assert newest in {item.content_hash for item in result.recovered}
    (session, _), *_ = told_of_sessions(recorded.root)
    assert (session.name, [mark.name for mark in session.marks]) == ("Night patch", ["solo", "the-end"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "version is 2"),
        ({"mode": "unheard-of"}, "mode"),
        ({"closed_at_ns": None}, "closed_at_ns"),
        ({"streams": []}, "streams"),
        ({"streams": [{"uri": "here", "definition_hash": ""}]}, "here"),
        ({"marks": [{"name": "x", "segment": 9, "jack_frame": 0, "wall_clock_ns": 0, "created_at_ns": 0,
                     "positions": {}}]}, "in no segment"),
        ({"segments": [{"number": 1, "started": {}, "ended": {}, "ranges": []}]}, "started"),
    ],
)  # fmt: skip
def test_a_session_document_that_is_none_is_kept_as_a_file(
    recorded: KeptStore, change: dict[str, Any], said: str
) -> None:
    documents = [name for name, session_id in told_of_sessions(recorded.root)[1] if session_id == "unplayed"]
    document = json.loads(recorded.path(documents[0]).read_bytes()) | {"id": "another"} | change
    name = Store.create_or_open(str(recorded.root)).put(json.dumps(document).encode()).content.hash
    result = rebuild(recorded, force=True)
    assert result.sessions == 2
    assert name in {item.content_hash for item in result.recovered}
    assert any(name in text and "cannot be used" in text and said in text for text in result.unknown)
    assert_clean(recorded)


def test_a_session_is_there_as_far_as_its_streams_and_takes_are(recorded: KeptStore) -> None:
    """Of one stream only the first manifest, with the first take; another is gone, with all that told of it."""
    (before, _), *_ = told_of_sessions(recorded.root)
    main, keys, mono = before.streams
    manifest = json.loads(recorded.path(recorded.artifact("manifest", main)).read_bytes())
    recorded.forget(recorded.artifact("manifest", main), recorded.artifact("manifest", keys))
    recorded.forget(recorded.artifact("definition", keys))
    manifest["takes"] = [manifest["takes"][0] | {"samples": 500, "chunks": manifest["takes"][0]["chunks"][:1]}]
    Store.create_or_open(str(recorded.root)).put(json.dumps(manifest).encode())
    result = rebuild(recorded, force=True)
    assert result.sessions == 2
    (session, _), *_ = told_of_sessions(recorded.root)
    assert session.streams == (main, mono)
    assert [{it.uri: (it.from_sample, it.to_sample) for it in segment.ranges} for segment in session.segments] == [
        {main: (0, 500), mono: (0, 1000)},
        {mono: (1000, 1500)},
    ]
    assert [dict(mark.positions) for mark in session.marks] == [{}, {main: 400, mono: 400}, {mono: 1500}]
    for text in (f"recorded {keys}", f"{main} from 0 to 1000, in take 1: of that the take has 0 to 500",
                 f"{main} from 1000 to 1500, in take 2: nothing is known of that take"):  # fmt: skip
        assert any(text in said for said in result.unknown), (text, result.unknown)
    assert check_offline(recorded.settings, quiet, read_data=False).problems == ()


def test_a_session_of_streams_that_are_gone_is_told_of(recorded: KeptStore) -> None:
    (before, _), *_ = told_of_sessions(recorded.root)
    for uri in before.streams:
        recorded.forget(recorded.artifact("manifest", uri), recorded.artifact("definition", uri))
    result = rebuild(recorded, force=True)
    assert result.sessions == 0
    assert any(ID in text and "none of its streams is known" in text for text in result.unknown)
    assert len([item for item in result.recovered if item.mime_type == SESSION_TYPE]) == 3
    assert_clean(recorded)


# --- when it refuses


def test_a_healthy_catalog_is_replaced_only_by_force(kept: KeptStore) -> None:
    before = kept.catalog.read_bytes()
    with pytest.raises(ConflictError, match=r"4 streams, 4 takes, 11 chunks, 11 artifacts, 0 tags, 0 s.*--force"):
        rebuild(kept)
    assert kept.catalog.read_bytes() == before
    result = rebuild(kept, force=True)
    assert result.replaced is not None
    assert Path(result.replaced).read_bytes() == before
    assert any("the old catalog had 4 streams" in text for text in result.unknown)
    assert_clean(kept)
    again = rebuild(kept, force=True)
    assert again.replaced != result.replaced


def test_a_healthy_catalog_of_an_older_version_is_replaced_only_by_force(kept: KeptStore) -> None:
    """One from before there were sessions."""
    for table in ("mark_positions", "marks", "segment_ranges", "segments", "session_streams", "sessions"):
        kept.query(f"DROP TABLE {table}")
    kept.query("PRAGMA user_version = 3")
    with pytest.raises(ConflictError, match=r"11 artifacts, 0 tags\).*--force"):
        rebuild(kept)
    rebuild(kept, force=True)
    assert_clean(kept)


def test_a_catalog_of_a_newer_version_is_replaced_only_by_force(kept: KeptStore) -> None:
    kept.query("PRAGMA user_version = 99")
    with pytest.raises(ConflictError, match="version 99"):
        rebuild(kept)


def test_it_needs_the_store_for_itself(kept: KeptStore, tmp_path: Path) -> None:
    kept.catalog.unlink()
    with ProcessLock(str(kept.root / STORE_LOCK), "store"), pytest.raises(ConflictError) as caught:
        rebuild(kept)
    assert caught.value.details["pid"] == os.getpid()
    Path(kept.settings.runtime).mkdir()
    with ProcessLock(f"{kept.settings.runtime}/{ENGINE_LOCK}", "engine"), pytest.raises(ConflictError, match="engine"):
        rebuild(kept)
    with pytest.raises(NotFoundError, match="no store"):
        rebuild_offline(Settings(root=str(tmp_path / "none"), runtime=str(tmp_path)), quiet, force=False)


def test_a_damaged_description_is_made_anew_with_the_uuid_of_the_manifests(kept: KeptStore) -> None:
    description = kept.root / "store.json"
    identity = json.loads(description.read_text())["uuid"]
    for damage in (description.unlink, lambda: description.write_text("?")):
        damage()
        with pytest.raises((ConflictError, StorageDamagedError)):
            Store.create_or_open(str(kept.root))
        result = rebuild(kept, force=True)
        assert json.loads(description.read_text())["uuid"] == identity
        assert any("store.json" in text for text in result.unknown)
        assert_clean(kept)


# --- the old catalog


def test_what_is_in_the_log_of_the_old_catalog_is_kept_aside_too(kept: KeptStore) -> None:
    """A killed control leaves rows in the log; SQLite must not apply them to the new catalog."""
    writer = sqlite3.connect(kept.catalog)
    writer.execute("UPDATE streams SET keep_chunks = 12345 WHERE uri = ?", (IDLE,))
    writer.commit()
    copy = KeptStore(kept.root.parent / "copy")
    shutil.copytree(kept.root, copy.root)
    writer.close()
    assert (copy.root / "catalog.db-wal").stat().st_size > 0
    result = rebuild(copy, force=True)
    assert result.replaced is not None
    old = sqlite3.connect(result.replaced)
    assert old.execute("SELECT keep_chunks FROM streams WHERE uri = ?", (IDLE,)).fetchone() == (12345,)
    old.close()
    assert copy.query("SELECT keep_chunks FROM streams WHERE uri = ?", IDLE) == [None]
    assert_clean(copy)


def test_the_log_of_a_catalog_that_is_not_there_is_moved_away(kept: KeptStore) -> None:
    kept.catalog.unlink()
    (kept.root / "catalog.db-wal").write_bytes(b"rows of the old one")
    assert rebuild(kept).replaced is None
    (aside,) = kept.root.glob("catalog.db.replaced-*")
    assert aside.name.endswith("-wal")
    assert aside.read_bytes() == b"rows of the old one"
    assert_clean(kept)


def test_a_catalog_that_somebody_reads_stays(kept: KeptStore) -> None:
    """Its log cannot be merged then; put aside, it would leave the old catalog without its newest rows for a moment."""
    writer, reader = sqlite3.connect(kept.catalog), sqlite3.connect(kept.catalog, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM streams").fetchone()
    writer.execute("UPDATE streams SET keep_chunks = 12345 WHERE uri = ?", (IDLE,))
    writer.commit()
    names = set(os.listdir(kept.root))
    with pytest.raises(ConflictError, match="another process reads"):
        rebuild(kept, force=True)
    assert set(os.listdir(kept.root)) == names | {STORE_LOCK}
    reader.close()
    result = rebuild(kept, force=True)
    writer.close()
    assert result.replaced is not None
    old = sqlite3.connect(result.replaced)
    assert old.execute("SELECT keep_chunks FROM streams WHERE uri = ?", (IDLE,)).fetchone() == (12345,)
    old.close()
    assert_clean(kept)


def test_a_log_for_which_the_disk_has_no_room_stays_with_its_catalog(kept: KeptStore, small_disk: SmallDisk) -> None:
    disk = small_disk(16 << 20)
    copy, left = KeptStore(disk / "store"), KeptStore(disk / "left")
    shutil.copytree(kept.root, copy.root)
    writer = sqlite3.connect(copy.catalog)
    writer.execute("CREATE TABLE more (data BLOB)")
    writer.execute("INSERT INTO more VALUES (zeroblob(?))", (2 << 20,))
    writer.commit()
    shutil.copytree(copy.root, left.root)  # as a kill leaves it
    writer.close()
    new = shutil.copy(kept.catalog, f"{left.catalog}.new")
    names = set(os.listdir(left.root))
    space, filler = os.statvfs(disk), disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - (1 << 20))
    with pytest.raises(StorageFullError, match=r"catalog\.db: .*make room"):
        place_catalog(CheckPlace(str(left.root)), new)
    assert set(os.listdir(left.root)) == names
    filler.unlink()
    assert left.query("SELECT length(data) FROM more") == [2 << 20]


def test_without_hard_links_and_without_room_for_a_copy_the_old_catalog_stays(kept: KeptStore) -> None:
    class FilesWithoutRoom(Files):
        def link(self, source: str, target: str) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), source, None, target)

        def fallocate(self, fd: int, size: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    names, before = set(os.listdir(kept.root)), kept.catalog.read_bytes()
    with pytest.raises(StorageFullError, match=rf"replaced.*{len(before)} bytes needed"):
        rebuild_store(CheckPlace(str(kept.root), files=FilesWithoutRoom()), force=True)
    assert set(os.listdir(kept.root)) == names
    assert kept.catalog.read_bytes() == before


# --- interruptions


class EndsHereError(Exception):
    """The process ends here."""


class InterruptedFiles(Files):
    """Ends before its Nth call that changes something, or makes it durable."""

    def __init__(self, calls: int) -> None:
        self._left = calls

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise EndsHereError

    def link(self, source: str, target: str) -> None:
        self._count()
        super().link(source, target)

    def rename(self, source: str, target: str) -> None:
        self._count()
        super().rename(source, target)

    def unlink(self, path: str) -> None:
        self._count()
        super().unlink(path)

    def fsync(self, fd: int) -> None:
        self._count()
        super().fsync(fd)

    def fsync_directory(self, path: str) -> None:
        self._count()
        super().fsync_directory(path)


def interruptions(kept: KeptStore, damage: Callable[[KeptStore], None]) -> Iterator[KeptStore]:
    """Copies of the store in which a rebuild was interrupted, once before each of its steps."""
    damage(kept)
    for calls in range(1000):
        copy = KeptStore(kept.root.parent / f"copy-{calls}")
        shutil.copytree(kept.root, copy.root)
        try:
            rebuild_store(CheckPlace(str(copy.root), files=InterruptedFiles(calls)), force=True)
        except EndsHereError:
            yield copy
        else:
            assert calls > 4
            return


def corrupt(kept: KeptStore) -> None:
    kept.catalog.write_bytes(b"no database" * 1000)
    (kept.root / "catalog.db-wal").write_bytes(b"nor a log")
    (kept.root / "store.json").unlink()


def leave_healthy(kept: KeptStore) -> None:
    """Damage nothing."""


@pytest.mark.parametrize("damage", [corrupt, leave_healthy])
def test_after_any_interruption_there_is_a_catalog_and_the_next_rebuild_works(
    kept: KeptStore, damage: Callable[[KeptStore], None]
) -> None:
    original = kept.files()
    for copy in interruptions(kept, damage):
        assert copy.catalog.exists()
        if damage is leave_healthy:
            assert_clean(copy)  # the old one, or the new one
        result = rebuild(copy, force=True)
        assert (result.streams, result.takes, result.chunks) == (4, 4, 11)
        assert not (copy.root / "catalog.db.new").exists()
        assert original.items() <= copy.files().items()
        assert_clean(copy)


def test_the_new_catalog_is_durable_before_it_takes_the_old_ones_place(kept: KeptStore) -> None:
    steps: list[tuple[str, ...]] = []

    class RecordedFiles(Files):
        def fsync(self, fd: int) -> None:
            steps.append(("fsync", os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))))
            super().fsync(fd)

        def fsync_directory(self, path: str) -> None:
            steps.append(("fsync", "."))
            super().fsync_directory(path)

        def link(self, source: str, target: str) -> None:
            steps.append(("link", os.path.basename(source), os.path.basename(target).partition("-")[0]))
            super().link(source, target)

        def rename(self, source: str, target: str) -> None:
            steps.append(("rename", os.path.basename(source), os.path.basename(target)))
            super().rename(source, target)

    rebuild_store(CheckPlace(str(kept.root), files=RecordedFiles()), force=True)
    assert steps[steps.index(("fsync", "catalog.db.new")) :] == [
        ("fsync", "catalog.db.new"),
        ("fsync", "."),
        ("link", "catalog.db", "catalog.db.replaced"),
        ("fsync", "."),
        ("fsync", "."),
        ("rename", "catalog.db.new", "catalog.db"),
        ("fsync", "."),
    ]
