"""Every state that a power cut may leave of a catalog that is made anew; `parts.crash_model` has the rule.

After each of them there is the old catalog or the new one (or none, where there was none), whole and without a log of
the other; all content; and, once the new one is there, the old one beside it. And the rebuild can be run again.
"""

import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jackcapture.control.maintenance.check_place import CheckPlace
from jackcapture.control.maintenance.rebuild import rebuild_store
from jackcapture.model.results import RebuildResult
from parts.crash_checks import PowerCutError, check
from parts.crash_events import Event, Log, Names, Synced
from parts.crash_rebuild import Rebuilt
from parts.crash_recorder import FilesWithoutLinks, KilledError, Recording, RecordingFiles
from parts.kept_store import IDLE, KeptStore

# --- what there is ---


def missing(kept: KeptStore) -> None:
    """No catalog, but a log; and a definition that is lost, so that content is made."""
    kept.forget(kept.artifact("definition"))
    kept.catalog.unlink()
    log_of(kept).write_bytes(b"rows of the old one" * 100)


def unreadable(kept: KeptStore) -> None:
    """A catalog that cannot be read, with a log that can therefore not be merged."""
    leave_log(kept)
    kept.catalog.write_bytes(b"no database" * 1000)


def damaged(kept: KeptStore) -> None:
    """The same, and a damaged store.json."""
    unreadable(kept)
    (kept.root / "store.json").write_text("?")


def emptied(kept: KeptStore) -> None:
    """A catalog without a byte, with a log."""
    leave_log(kept)
    kept.catalog.write_bytes(b"")


def healthy(kept: KeptStore) -> None:
    """A catalog in which all is right; and what an earlier rebuild left that was interrupted."""
    shutil.copy(kept.catalog, f"{kept.catalog}.new")
    Path(f"{kept.catalog}.new-journal").write_bytes(b"a journal")


def unmerged(kept: KeptStore) -> None:
    """A catalog in which all is right, with rows in its log."""
    leave_log(kept)


def undescribed(kept: KeptStore) -> None:
    """Content alone: also the lock file's name was not durable."""
    kept.catalog.unlink()
    (kept.root / "store.json").unlink()


def leave_log(kept: KeptStore) -> None:
    """Leave rows in the log of the catalog, as a killed control does."""
    writer = sqlite3.connect(kept.catalog)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("UPDATE streams SET keep_chunks = 12345 WHERE uri = ?", (IDLE,))
    writer.commit()
    catalog, rows = kept.catalog.read_bytes(), log_of(kept).read_bytes()
    writer.close()  # which merges them
    assert rows
    assert catalog != kept.catalog.read_bytes()
    kept.catalog.write_bytes(catalog)
    log_of(kept).write_bytes(rows)


def log_of(kept: KeptStore) -> Path:
    return Path(f"{kept.catalog}-wal")


HEALTHY = (healthy, unmerged)
DAMAGES = (missing, damaged, emptied, undescribed, *HEALTHY)

Damage = Callable[[KeptStore], None]


def rebuild(kept: KeptStore, files: RecordingFiles) -> RebuildResult:
    return rebuild_store(CheckPlace(str(kept.root), files=files), force=True)


def recorded(kept: KeptStore, damage: Damage, kind: type[RecordingFiles] = RecordingFiles) -> tuple[Log, Rebuilt]:
    """Record a rebuild."""
    damage(kept)
    recording = Recording(kept.root.parent, catalog=kept.catalog)
    result = rebuild(kept, kind(recording))
    recording.promise("the new catalog")
    return recording.log, Rebuilt(recording.log, result, is_healthy=damage in HEALTHY)


@pytest.mark.parametrize(
    ("damage", "kind"),
    [*((damage, RecordingFiles) for damage in DAMAGES), (unreadable, FilesWithoutLinks), (unmerged, FilesWithoutLinks)],
)
def test_a_power_cut_leaves_the_old_catalog_or_the_new_one(
    kept: KeptStore, damage: Damage, kind: type[RecordingFiles]
) -> None:
    log, rebuilt = recorded(kept, damage, kind)
    checked = check(log, rebuilt.look, recover=rebuilt.recover, limit=24, recoveries=10)
    print(damage.__name__, len(log.events), "events", checked)
    assert checked.states > 50
    assert checked.recovered > 4


def test_no_start_makes_another_store_of_one_that_is_being_described_anew(kept: KeptStore) -> None:
    log, rebuilt = recorded(kept, undescribed)
    at = next(at for at, event in enumerate(log.events) if is_name(event, "catalog.db.new"))
    described = replace(log, events=log.events[:at])
    assert check(described, rebuilt.look, recover=rebuilt.refuse_or_start, limit=1000, recoveries=1000).recovered > 5


@pytest.mark.parametrize("damage", [unreadable, unmerged])
def test_a_kill_and_then_a_power_cut(kept: KeptStore, damage: Damage) -> None:
    """What a killed rebuild had done and not made durable, the next one makes durable before it relies on it."""
    damage(kept)
    states = 0
    for calls in range(100):
        copy = KeptStore(kept.root.parent / f"{calls}" / kept.root.name)
        shutil.copytree(kept.root, copy.root)
        recording = Recording(copy.root.parent, catalog=copy.catalog)
        files = RecordingFiles(recording)
        files.left = calls
        try:
            rebuild(copy, files)
        except KilledError:
            killed_at = len(recording.log.events)
            result = rebuild(copy, RecordingFiles(recording))
            recording.promise("the new catalog")
            rebuilt = Rebuilt(recording.log, result, is_healthy=damage in HEALTHY)
            states += check(recording.log, rebuilt.look, limit=8, since=killed_at).states
        else:
            break
    print(calls, "kills,", states, "states")
    assert calls > 8


# --- the same by programs that are wrong ---


def is_name(event: Event, name: str, call: str = "") -> bool:
    """Tell whether an event changes what a name stands for, by this call."""
    return isinstance(event, Names) and event.call.startswith(call) and name in dict(event.changes)


def is_placing(event: Event) -> bool:
    """Tell whether the new catalog takes the place of the old one."""
    return is_name(event, "catalog.db", "rename")


def is_second_name(event: Event) -> bool:
    """Tell whether the old catalog gets another name."""
    return isinstance(event, Names) and event.call == "link" and event.changes[0][0].startswith("catalog.db.")


def is_log_aside(event: Event) -> bool:
    return is_name(event, "catalog.db-wal", "rename")


def sync_of(log: Log, name: str) -> Synced:
    """The fsync of what was made with a name that begins so."""
    return next(
        Synced(number)
        for event in log.events
        if isinstance(event, Names) and event.call.startswith("create")
        for changed, number in event.changes
        if changed.startswith(name) and number is not None
    )


def sync_of_folder(log: Log) -> Synced:
    """An fsync of the directory of the store."""
    return next(Synced(event.directory) for event in log.events if isinstance(event, Names) and is_placing(event))


def without_sync(name: str) -> Callable[[Log], Log]:
    return lambda log: log.without(lambda event: event == sync_of(log, name))


def without_sync_of_folder(log: Log) -> Log:
    return log.without(lambda event: event == sync_of_folder(log))


def without_one_sync_of_folder(number: int) -> Callable[[Log], Log]:
    """Leave one of them out, counted from the end."""

    def mutated(log: Log) -> Log:
        at = [at for at, event in enumerate(log.events) if event == sync_of_folder(log)][-number]
        return replace(log, events=(*log.events[:at], *log.events[at + 1 :]))

    return mutated


def without_sync_of_content(log: Log) -> Log:
    made = {event.directory for event in log.events if isinstance(event, Names) and event.call == "link"}
    return log.without(lambda event: isinstance(event, Synced) and event.inode in made)


def unlink_first(log: Log) -> Log:
    """Unlink the old catalog before the new one has its name."""
    at = next(at for at, event in enumerate(log.events) if is_placing(event))
    unlinked = Names(sync_of_folder(log).inode, (("catalog.db", None),), "unlink")
    return replace(log, events=(*log.events[:at], unlinked, *log.events[at:]))


Mutant = tuple[str, Damage, Callable[[Log], Log], str]

NEW = "catalog.db.new"

MUTANTS: tuple[Mutant, ...] = (
    ("no fsync of the new catalog", healthy, without_sync(NEW), "torn"),
    (
        "rename before fsync",
        healthy,
        lambda log: log.later(lambda event: event == sync_of(log, NEW), is_placing),
        "torn",
    ),
    ("old catalog unlinked first", healthy, unlink_first, "gone"),
    ("no second name", healthy, lambda log: log.without(is_second_name), "old"),
    ("no fsync of the second name", healthy, without_sync_of_folder, "old"),
    ("log left", unreadable, lambda log: log.without(is_log_aside), "log"),
    ("rename before log", unreadable, lambda log: log.earlier(is_placing, is_log_aside), "log"),
    ("no fsync of the log's name", unreadable, without_one_sync_of_folder(2), "log"),
    ("no fsync after the merge", unmerged, without_sync_of_folder, "log"),
    ("told before fsync", healthy, without_one_sync_of_folder(1), "promise"),
    ("no fsync of store.json", undescribed, without_sync("store.json."), "identity"),
    ("no fsync of store.json's name", undescribed, without_sync_of_folder, "identity"),
    ("no fsync of a definition made anew", missing, without_sync_of_content, "row"),
)


@pytest.mark.parametrize(("damage", "mutated", "kind"), [m[1:] for m in MUTANTS], ids=[m[0] for m in MUTANTS])
def test_a_wrong_order_is_found(kept: KeptStore, damage: Damage, mutated: Callable[[Log], Log], kind: str) -> None:
    log, rebuilt = recorded(kept, damage)
    assert mutated(log) != log
    with pytest.raises(PowerCutError) as found:
        check(mutated(log), rebuilt.look, limit=24)
    assert found.value.kind == kind


def test_a_copy_of_the_old_catalog_that_is_not_durable_is_found(kept: KeptStore) -> None:
    log, rebuilt = recorded(kept, healthy, FilesWithoutLinks)
    with pytest.raises(PowerCutError, match="the old catalog is gone"):
        check(without_sync("catalog.db.replaced-")(log), rebuilt.look, limit=24)
