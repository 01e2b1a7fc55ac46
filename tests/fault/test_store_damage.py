"""Damage in a store: `store check` finds each kind of it, names it with its address, and invents none."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3

from jackcapture.control.daemon import open_catalog
from jackcapture.control.maintenance.check import check_store
from jackcapture.control.maintenance.check_place import CheckPlace
from jackcapture.control.maintenance.offline import check_offline, rebuild_offline
from jackcapture.errors import ConflictError, NotFoundError, StorageDamagedError, UnreachableError
from jackcapture.lock import STORE_LOCK, ProcessLock
from jackcapture.model.checks import MAX_LISTED
from jackcapture.model.results import CheckResult
from jackcapture.settings import Settings
from jackcapture.store import Store
from parts.kept_store import IDLE, KEYS, MAIN, SHORT, KeptStore, kinds_of

Expected = tuple[str, str]
"""The kind of a problem and its address."""

OTHER = "ab" * 32
UUID = "5e0c7a3c-0000-4000-8000-000000000001"
PAGE = 4096


def quiet(done: int, total: int, unit: str) -> None:
    """Take no note of the progress."""


def check(kept: KeptStore, *, read_data: bool = False) -> CheckResult:
    result = check_offline(kept.settings, quiet, read_data=read_data)
    assert result.ok == (result.problem_count == 0)
    return result


@pytest.mark.parametrize("read_data", [False, True])
def test_a_whole_store_has_nothing_wrong(kept: KeptStore, read_data: bool) -> None:
    result = check(kept, read_data=read_data)
    assert (result.ok, result.problems, result.read_data) == (True, (), read_data)
    assert result.checked.content == len(kept.files())
    assert result.checked.chunks == 6 + 3 + 2
    assert result.checked.artifacts == 4 + 4 + 3  # definitions, manifests, slices


# --- one damage, one problem


def missing_chunk(kept: KeptStore) -> Expected:
    name = kept.chunk()
    kept.forget(name)
    return "content_missing", kept.address(name)


def missing_overview(kept: KeptStore) -> Expected:
    name = kept.chunk(column="overview_hash")
    kept.forget(name)
    return "content_missing", kept.address(name)


def missing_slice(kept: KeptStore) -> Expected:
    name = kept.artifact("slice")
    kept.forget(name)
    return "content_missing", kept.address(name)


def missing_definition(kept: KeptStore) -> Expected:
    name = kept.artifact("definition", IDLE)
    kept.forget(name)
    return "content_missing", kept.address(name)


def shorter_chunk(kept: KeptStore) -> Expected:
    name = kept.chunk()
    kept.rewrite(name, kept.path(name).read_bytes()[:-4])
    return "content_size", kept.address(name)


def longer_overview(kept: KeptStore) -> Expected:
    name = kept.chunk(column="overview_hash")
    kept.rewrite(name, kept.path(name).read_bytes() + bytes(24))
    return "content_size", kept.address(name)


def empty_manifest(kept: KeptStore) -> Expected:
    name = kept.artifact("manifest")
    kept.rewrite(name, b"")
    return "content_size", kept.address(name)


def content_is_a_directory(kept: KeptStore) -> Expected:
    name = kept.chunk()
    kept.forget(name)
    kept.path(name).mkdir()
    return "content_not_file", kept.address(name)


def content_is_a_link(kept: KeptStore) -> Expected:
    name = kept.chunk()
    shutil.move(kept.path(name), kept.root.parent / "elsewhere")
    kept.path(name).symlink_to(kept.root.parent / "elsewhere")
    return "content_not_file", kept.address(name)


def writable_content(kept: KeptStore) -> Expected:
    name = kept.chunk()
    kept.path(name).chmod(0o644)
    return "content_mode", kept.address(name)


def unknown_content(kept: KeptStore) -> Expected:
    kept.add(OTHER, b"nobody knows me")
    return "content_unknown", kept.address(OTHER)


def copy_in_the_wrong_shard(kept: KeptStore) -> Expected:
    name = kept.chunk()
    wrong = kept.root / "content/blake3/00/01" / name
    wrong.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(kept.path(name), wrong)
    return "content_misplaced", f"content/blake3/00/01/{name}"


def moved_to_the_wrong_shard(kept: KeptStore) -> Expected:
    name = kept.chunk()
    expected = copy_in_the_wrong_shard(kept)
    kept.forget(name)
    return expected


def orphan_in_staging(kept: KeptStore) -> Expected:
    return "staging_orphaned", kept.staging(OTHER)


def orphaned_overview(kept: KeptStore) -> Expected:
    address = kept.staging(OTHER)
    (kept.root / address).rename(kept.root / f"{address}.overview")
    return "overview_orphaned", f"{address}.overview"


def foreign_file_in_a_shard(kept: KeptStore) -> Expected:
    path = kept.path(kept.chunk()).with_name("notes.txt")
    path.write_text("mine")
    return "foreign", str(path.relative_to(kept.root))


def foreign_directory(kept: KeptStore) -> Expected:
    (kept.root / "content/blake3/music").mkdir()
    return "foreign", "content/blake3/music"


def foreign_link_in_staging(kept: KeptStore) -> Expected:
    (kept.root / "staging/link").symlink_to("/etc/passwd")
    return "foreign", "staging/link"


def missing_row(kept: KeptStore) -> Expected:
    kept.forget(kept.chunk(), kept.chunk(column="overview_hash"))
    kept.query("DELETE FROM chunks WHERE chunk_index = 1 AND take_id = 1")
    return "chunk_sequence", f"{MAIN}/take:1/chunk:2"


def overlapping_chunks(kept: KeptStore) -> Expected:
    kept.query("UPDATE chunks SET first_sample = first_sample - 10 WHERE chunk_index = 2 AND take_id = 2")
    kept.query("UPDATE takes SET samples = samples - 10 WHERE id = 2")
    without_manifests(kept)
    return "chunk_sequence", f"{MAIN}/take:2/chunk:2"


def hole_between_chunks(kept: KeptStore) -> Expected:
    kept.query("UPDATE chunks SET first_sample = first_sample + 10 WHERE chunk_index = 2 AND take_id = 2")
    kept.query("UPDATE takes SET samples = samples + 10 WHERE id = 2")
    without_manifests(kept)
    return "chunk_sequence", f"{MAIN}/take:2/chunk:2"


def removal_is_not_explained(kept: KeptStore) -> Expected:
    take = kept.query("SELECT take_id FROM removals LIMIT 1")[0]
    kept.query("DELETE FROM removals WHERE take_id = ?", take)
    return "chunk_sequence", f"{SHORT}/take:1/chunk:3"


def wrong_bytes_of_a_chunk(kept: KeptStore) -> Expected:
    name = kept.chunk()
    data = kept.path(name).read_bytes() + b"more"
    kept.forget(name)
    new = blake3(data).hexdigest()
    kept.add(new, data)
    kept.query("UPDATE chunks SET content_hash = ?, bytes = bytes + 4 WHERE content_hash = ?", new, name)
    without_manifests(kept)
    return "chunk_bytes", f"{MAIN}/take:1/chunk:1"


def without_manifests(kept: KeptStore) -> None:
    """Remove the manifests of the main stream, which would not fit to what a test does to its rows."""
    kept.forget(*kept.query("SELECT content_hash FROM artifacts WHERE kind = 'manifest' AND stream_uri = ?", MAIN))
    kept.query("DELETE FROM artifact_parents WHERE artifact_id LIKE 'manifest-%'")
    kept.query("DELETE FROM artifacts WHERE kind = 'manifest' AND stream_uri = ?", MAIN)


def take_too_long(kept: KeptStore) -> Expected:
    kept.query("UPDATE takes SET samples = samples + 7 WHERE id = 2")
    without_manifests(kept)
    return "take_length", f"{MAIN}/take:2"


def take_too_short(kept: KeptStore) -> Expected:
    kept.query("UPDATE takes SET samples = samples - 7 WHERE id = 2")
    without_manifests(kept)
    return "take_length", f"{MAIN}/take:2"


def wrong_totals(kept: KeptStore) -> Expected:
    kept.query("UPDATE takes SET sealed_bytes = sealed_bytes + 1 WHERE id = 1")
    return "take_totals", f"{MAIN}/take:1"


def wrong_lost_frames(kept: KeptStore) -> Expected:
    kept.query("UPDATE takes SET lost_frames = 0 WHERE id = 1")
    return "take_totals", f"{MAIN}/take:1"


def gap_outside(kept: KeptStore) -> Expected:
    kept.query("UPDATE gaps SET position = 5000 WHERE take_id = 1 AND position = 110")
    return "gap_misplaced", f"{MAIN}/take:1"


def overlapping_gaps(kept: KeptStore) -> Expected:
    kept.query("UPDATE gaps SET frames = frames + 8 WHERE take_id = 1 AND position = 110")
    kept.query("UPDATE takes SET lost_frames = lost_frames + 8 WHERE id = 1")
    return "gap_misplaced", f"{MAIN}/take:1"


def unknown_cause(kept: KeptStore) -> Expected:
    kept.query("UPDATE gaps SET cause = 'gremlins' WHERE take_id = 1 AND position = 110")
    return "row_malformed", f"{MAIN}/take:1"


def clock_outside(kept: KeptStore) -> Expected:
    kept.query(
        "UPDATE clock_snapshots SET sample_position = 77777777, jack_frame = 77778777"
        " WHERE take_id = 1 AND sample_position = 0"
    )
    return "clock_misplaced", f"{MAIN}/take:1"


def clock_of_another_frame(kept: KeptStore) -> Expected:
    kept.query("UPDATE clock_snapshots SET jack_frame = jack_frame + 1 WHERE take_id = 1 AND sample_position = 0")
    return "clock_misplaced", f"{MAIN}/take:1"


def clock_with_broken_json(kept: KeptStore) -> Expected:
    kept.query("UPDATE clock_snapshots SET transport = '{' WHERE take_id = 1 AND sample_position = 0")
    return "row_malformed", f"{MAIN}/take:1"


def clock_with_unknown_reason(kept: KeptStore) -> Expected:
    kept.query("UPDATE clock_snapshots SET reasons = 'gap,whim' WHERE take_id = 1 AND sample_position = 0")
    return "row_malformed", f"{MAIN}/take:1"


def artifact_without_json(kept: KeptStore) -> Expected:
    name = kept.artifact("slice", column="id")
    kept.query("UPDATE artifacts SET metadata = '[1' WHERE id = ?", name)
    return "row_malformed", f"artifact:{name}"


def hash_that_is_none(kept: KeptStore) -> Expected:
    name = kept.artifact("slice", column="id")
    kept.forget(kept.artifact("slice"))
    kept.query("UPDATE artifacts SET content_hash = 'ABC' WHERE id = ?", name)
    return "row_malformed", f"artifact:{name}"


def definition_that_is_none(kept: KeptStore) -> Expected:
    kept.query("UPDATE streams SET definition = '{}' WHERE uri = ?", IDLE)
    return "row_malformed", IDLE


def hold_of_nobody(kept: KeptStore) -> Expected:
    name = kept.artifact("slice", column="id")
    kept.query("UPDATE holds SET holder = 'slice-0' WHERE kind = 'artifact' AND holder = ?", name)
    return "hold_without_holder", MAIN


def definition_differs(kept: KeptStore) -> Expected:
    definition = json.loads(kept.query("SELECT definition FROM streams WHERE uri = ?", IDLE)[0])
    definition["device_identity"] = "chair"
    kept.query("UPDATE streams SET definition = ? WHERE uri = ?", json.dumps(definition), IDLE)
    return "definition_differs", IDLE


def _other_manifest(kept: KeptStore, data: bytes) -> str:
    """Put other bytes in the place of the newest manifest, under their own name."""
    name = kept.artifact("manifest")
    new = blake3(data).hexdigest()
    kept.add(new, data)
    kept.forget(name)
    kept.query("UPDATE artifacts SET content_hash = ?, bytes = ? WHERE content_hash = ?", new, len(data), name)
    return kept.address(new)


def manifest_that_is_none(kept: KeptStore) -> Expected:
    return "manifest_malformed", _other_manifest(kept, b'{"type": "application/vnd.jackcapture.manifest+json"}')


def manifest_names_other_content(kept: KeptStore) -> Expected:
    text = kept.path(kept.artifact("manifest")).read_text()
    return "manifest_differs", _other_manifest(kept, text.replace(kept.chunk(), OTHER).encode())


def overlapping_takes(kept: KeptStore) -> Expected:
    kept.query("UPDATE takes SET first_sample = first_sample - 10, start_frame = start_frame - 10 WHERE id = 2")
    for table, column in (("chunks", "first_sample"), ("gaps", "position"), ("clock_snapshots", "sample_position")):
        kept.query(f"UPDATE {table} SET {column} = -({column} - 10) WHERE take_id = 2")
        kept.query(f"UPDATE {table} SET {column} = -{column} WHERE take_id = 2")
    kept.query("UPDATE clock_snapshots SET jack_frame = sample_position + 1000 WHERE take_id = 2")
    without_manifests(kept)
    return "takes_disordered", f"{MAIN}/take:2"


def missing_parent(kept: KeptStore) -> Expected:
    name = kept.artifact("slice", column="id")
    kept.query("UPDATE artifact_parents SET parent_id = 'definition-0' WHERE artifact_id = ?", name)
    return "parent_missing", f"artifact:{name}"


def gap_of_no_take(kept: KeptStore) -> Expected:
    kept.query("INSERT INTO gaps VALUES (77, 5, 5, 'xrun')")
    return "catalog_references", "catalog.db"


def damaged_description(kept: KeptStore) -> Expected:
    (kept.root / "store.json").write_text('{"format": "jackcap')
    return "store_damaged", "store.json"


def missing_description(kept: KeptStore) -> Expected:
    (kept.root / "store.json").unlink()
    return "store_damaged", "store.json"


def missing_content_directory(kept: KeptStore) -> Expected:
    shutil.rmtree(kept.root / "content")
    return "store_damaged", "content/blake3"


def catalog_of_another_store(kept: KeptStore) -> Expected:
    kept.query("UPDATE identity SET store_uuid = ?", UUID)
    return "catalog_foreign", "catalog.db"


def missing_catalog(kept: KeptStore) -> Expected:
    kept.catalog.unlink()
    return "catalog_missing", "catalog.db"


def empty_catalog(kept: KeptStore) -> Expected:
    kept.catalog.write_bytes(b"")
    return "catalog_damaged", "catalog.db"


def truncated_catalog(kept: KeptStore) -> Expected:
    os.truncate(kept.catalog, kept.catalog.stat().st_size // 2)
    return "catalog_damaged", "catalog.db"


def zeroed_catalog(kept: KeptStore) -> Expected:
    kept.catalog.write_bytes(bytes(kept.catalog.stat().st_size))
    return "catalog_damaged", "catalog.db"


def catalog_with_random_pages(kept: KeptStore) -> Expected:
    with kept.catalog.open("r+b") as file:
        for page in range(2, kept.catalog.stat().st_size // PAGE, 3):
            file.seek(page * PAGE)
            file.write(os.urandom(PAGE))
    return "catalog_damaged", "catalog.db"


def other_database(kept: KeptStore) -> Expected:
    kept.catalog.unlink()
    kept.query("CREATE TABLE songs (name TEXT)")
    return "catalog_damaged", "catalog.db"


def text_as_catalog(kept: KeptStore) -> Expected:
    kept.catalog.write_text("to do: buy strings\n" * 1000)
    return "catalog_damaged", "catalog.db"


def dangling_reference(kept: KeptStore) -> Expected:
    kept.query("INSERT INTO artifact_tags VALUES ('slice-0', 'good')")
    return "catalog_references", "catalog.db"


DAMAGES = [
    missing_chunk,
    missing_overview,
    missing_slice,
    missing_definition,
    shorter_chunk,
    longer_overview,
    empty_manifest,
    content_is_a_directory,
    content_is_a_link,
    writable_content,
    unknown_content,
    copy_in_the_wrong_shard,
    moved_to_the_wrong_shard,
    orphan_in_staging,
    orphaned_overview,
    foreign_file_in_a_shard,
    foreign_directory,
    foreign_link_in_staging,
    missing_row,
    overlapping_chunks,
    hole_between_chunks,
    wrong_bytes_of_a_chunk,
    removal_is_not_explained,
    take_too_long,
    take_too_short,
    wrong_totals,
    wrong_lost_frames,
    gap_outside,
    overlapping_gaps,
    unknown_cause,
    clock_outside,
    clock_of_another_frame,
    clock_with_broken_json,
    clock_with_unknown_reason,
    artifact_without_json,
    hash_that_is_none,
    definition_that_is_none,
    hold_of_nobody,
    definition_differs,
    manifest_that_is_none,
    manifest_names_other_content,
    overlapping_takes,
    damaged_description,
    missing_description,
    missing_content_directory,
    catalog_of_another_store,
    missing_catalog,
    empty_catalog,
    truncated_catalog,
    zeroed_catalog,
    catalog_with_random_pages,
    other_database,
    text_as_catalog,
    dangling_reference,
    missing_parent,
    gap_of_no_take,
]


@pytest.mark.parametrize("plant", DAMAGES)
def test_each_damage_is_one_problem(kept: KeptStore, plant: Callable[[KeptStore], Expected]) -> None:
    expected = plant(kept)
    assert kinds_of(check(kept).problems) == [expected]


def test_the_log_of_an_empty_catalog_is_left(kept: KeptStore) -> None:
    """SQLite would remove it."""
    log = kept.root / "catalog.db-wal"
    log.write_bytes(b"all that is left of the rows")
    expected = empty_catalog(kept)
    assert kinds_of(check(kept).problems) == [expected]
    assert log.read_bytes() == b"all that is left of the rows"


# --- bytes


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


@pytest.mark.parametrize("column", ["content_hash", "overview_hash"])
def test_a_flipped_bit_is_found_when_the_bytes_are_read(kept: KeptStore, column: str) -> None:
    name = kept.chunk(column=column)
    data = flipped(kept.path(name).read_bytes(), 17)
    kept.rewrite(name, data)
    assert check(kept).ok
    result = check(kept, read_data=True)
    assert kinds_of(result.problems) == [("content_damaged", kept.address(name))]
    assert blake3(data).hexdigest() in result.problems[0].message


def test_a_flipped_bit_of_a_document_is_always_found_and_told_once(kept: KeptStore) -> None:
    name = kept.artifact("manifest")
    kept.rewrite(name, flipped(kept.path(name).read_bytes(), 500))
    for read_data in (False, True):
        assert kinds_of(check(kept, read_data=read_data).problems) == [("content_damaged", kept.address(name))]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],  # ends within a record
        lambda data: data[30:45] + data[:15] + data[15:30],  # out of order
        lambda data: (10**6).to_bytes(8, "little") + data[8:],  # outside the chunk
    ],
)
def test_midi_records_are_read_too(kept: KeptStore, change: Callable[[bytes], bytes]) -> None:
    name = kept.chunk(KEYS)
    data = change(kept.path(name).read_bytes())
    new = blake3(data).hexdigest()
    kept.forget(name)
    kept.add(new, data)
    kept.query(
        "UPDATE chunks SET content_hash = ?, bytes = ? WHERE content_hash = ?", new, len(data), name
    )  # as if it had been sealed so
    found = kinds_of(check(kept, read_data=True).problems)
    assert ("midi_malformed", kept.address(new)) in found
    assert {kind for kind, _ in found} <= {"midi_malformed", "manifest_differs", "take_totals"}


def test_the_bytes_are_read_also_without_a_catalog(kept: KeptStore) -> None:
    name = kept.chunk()
    kept.rewrite(name, flipped(kept.path(name).read_bytes(), 0))
    kept.catalog.write_bytes(b"no database")
    found = kinds_of(check(kept, read_data=True).problems)
    assert found == [("catalog_damaged", "catalog.db"), ("content_damaged", kept.address(name))]


# --- several at once, and what is no damage


def test_several_problems_are_all_told_and_counted(kept: KeptStore) -> None:
    planted = [orphan_in_staging(kept), writable_content(kept), wrong_totals(kept), artifact_without_json(kept)]
    planted += [missing_definition(kept), foreign_directory(kept)]
    result = check(kept)
    assert sorted(kinds_of(result.problems)) == sorted(planted)
    assert result.problem_count == len(planted)


def test_at_most_a_thousand_problems_are_listed(kept: KeptStore) -> None:
    for number in range(MAX_LISTED + 20):
        kept.add(f"{number:064x}", b"")
    result = check(kept)
    assert (len(result.problems), result.problem_count) == (MAX_LISTED, MAX_LISTED + 20)


def test_what_is_being_removed_is_no_damage(kept: KeptStore) -> None:
    """A removal that was cut off: rows are marked, and some of the content is gone."""
    kept.forget(kept.chunk(), kept.artifact("slice"))
    kept.query("UPDATE chunks SET removing = 'keep' WHERE take_id = 1 AND chunk_index <= 1")
    kept.query("UPDATE artifacts SET removing = 1 WHERE kind = 'slice'")
    result = check(kept, read_data=True)
    assert result.problems == ()
    assert (result.checked.chunks, result.checked.artifacts) == (11 - 2, 11 - 3)


def test_of_a_take_that_runs_nothing_is_missing(kept: KeptStore) -> None:
    """Engine and control were killed: chunks are in staging, one is content without a row, and a later one has one."""
    kept.query("UPDATE takes SET samples = NULL, ended_at_ns = NULL WHERE id = 2")
    without_manifests(kept)
    name, overview = kept.chunk(take=2), kept.chunk(take=2, column="overview_hash")
    kept.query("DELETE FROM chunks WHERE take_id = 2 AND chunk_index = 1")
    kept.query("DELETE FROM gaps WHERE take_id = 2")
    kept.query(
        "UPDATE takes SET sealed_chunks = 2, sealed_samples = 150, sealed_bytes = 600,"
        " overview_bytes = 48, gap_count = 0, lost_frames = 0 WHERE id = 2"
    )
    kept.staging("cd" * 32)
    (kept.root / kept.staging(OTHER)).unlink()
    os.link(kept.path(name), kept.root / f"staging/blake3/ab/ab/{OTHER}")
    kept.forget(overview)
    assert check(kept).problems == ()


def test_chunks_that_wait_to_be_sealed_are_no_orphans(kept: KeptStore) -> None:
    kept.staging(OTHER)
    note = kept.root / "staging/unsealed" / OTHER
    note.parent.mkdir()
    note.write_bytes(b"a note")
    assert check(kept).ok
    note.unlink()
    assert [problem.kind for problem in check(kept).problems] == ["staging_orphaned"]


def test_it_says_where_there_is_no_store(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "none"):
        with pytest.raises(NotFoundError, match="no store"):
            check_offline(Settings(root=str(root), runtime=str(tmp_path)), quiet, read_data=False)
    assert list(tmp_path.iterdir()) == []


def test_it_waits_for_no_control(kept: KeptStore) -> None:
    with ProcessLock(str(kept.root / STORE_LOCK), "store"), pytest.raises(ConflictError) as caught:
        check(kept)
    assert caught.value.details["pid"] == os.getpid()


def test_it_can_be_cancelled(kept: KeptStore) -> None:
    for read_data in (False, True):
        told: list[str] = []
        place = CheckPlace(
            str(kept.root),
            progress=lambda done, total, unit, told=told: told.append(unit),  # type: ignore[misc]
            is_cancelled=lambda told=told, read_data=read_data: ("bytes" if read_data else "files") in told,  # type: ignore[misc]
        )
        with pytest.raises(UnreachableError, match="ends"):
            check_store(place, read_data=read_data)


def test_progress_tells_files_and_then_bytes(kept: KeptStore) -> None:
    told: list[tuple[int, int, str]] = []
    place = CheckPlace(str(kept.root), progress=lambda *step: told.append(step))
    check_store(place, read_data=True)
    total = sum(map(len, kept.files().values()))
    assert told[-1] == (total, total, "bytes")
    assert max(done for done, _, unit in told if unit == "files") == len(kept.files())


# --- what control says at its start


@pytest.mark.parametrize(
    "plant",
    [
        missing_catalog,
        empty_catalog,
        truncated_catalog,
        zeroed_catalog,
        other_database,
        text_as_catalog,
        catalog_of_another_store,
    ],
)
def test_control_does_not_start_on_such_a_catalog_and_says_what_helps(
    kept: KeptStore, plant: Callable[[KeptStore], Expected]
) -> None:
    plant(kept)
    before = kept.catalog.exists()
    with pytest.raises(StorageDamagedError, match="'jackcapture store rebuild'"):
        open_catalog(Store.create_or_open(str(kept.root))).streams()
    assert kept.catalog.exists() == before
    assert rebuild_offline(kept.settings, quiet, force=False).streams == 4
    open_catalog(Store.create_or_open(str(kept.root))).close()
    assert check(kept).ok
