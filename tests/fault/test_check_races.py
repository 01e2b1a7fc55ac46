"""A check while content comes and goes: whatever it meets in the middle, it invents no damage."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jackcapture.catalog import Catalog
from jackcapture.catalog.catalog import new_artifact_id
from jackcapture.control.contents import Contents
from jackcapture.control.documents import enter_definition
from jackcapture.control.garbage import collect
from jackcapture.control.maintenance.check import check_store
from jackcapture.control.maintenance.check_place import CheckPlace
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.model.artifacts import Artifact
from jackcapture.model.retention import KEEP_ALL, Retention
from jackcapture.model.streams import AudioFormat, SampleFormat
from jackcapture.store import Sealed, Store
from parts.kept_store import SHORT, KeptStore, kinds_of
from parts.tape import RATE, Tape, definition, moment, new_tape

ROUNDS = 20


@pytest.fixture
def tape(tmp_path: Path) -> Iterator[Tape]:
    with new_tape(tmp_path / "store", AudioFormat(RATE, 1, SampleFormat.I16)) as made:
        made.has_overviews = True
        made.begin()
        yield made


def keep_on(work: Callable[[], None], over: threading.Event, wrong: list[BaseException]) -> threading.Thread:
    """Do something again and again, on a thread, until it is over."""

    def run() -> None:
        try:
            while not over.is_set():
                work()
        except BaseException as error:
            wrong.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def enter_artifact(contents: Contents, catalog: Catalog) -> str:
    """Enter a new document; give the artifact's id. Every second one has the same bytes as the one before."""

    def add_row(sealed: Sealed) -> str:
        name = new_artifact_id("slice")
        catalog.add_artifact(Artifact(name, "slice", sealed.content.hash, "text/plain", sealed.bytes, time.time_ns()))
        return name

    return contents.enter_document(os.urandom(1) * 40, add_row)


def test_nothing_is_invented_while_content_comes_and_goes(tape: Tape) -> None:
    contents = Contents(tape.store, tape.catalog)
    retention = Retention(keep_chunks=4)
    tape.catalog.keeping.set_retention(tape.stream.uri, retention)
    record = tape.catalog.stream(tape.stream.uri)

    def come_and_go() -> None:
        name = enter_artifact(contents, tape.catalog)
        tape.catalog.keeping.mark_artifact(name)
        contents.remove_marked()

    def record_on() -> None:
        full = tape.full(os.urandom(1) * 600, clocks=[moment(tape.frames)])
        with contents.entering():
            tape.seal(full)

    def remove_old() -> None:
        collect(tape.catalog, contents, [record])

    over, wrong = threading.Event(), list[BaseException]()
    threads = [keep_on(work, over, wrong) for work in (come_and_go, come_and_go, record_on, remove_old)]
    try:
        for number in range(ROUNDS):
            place = CheckPlace(
                tape.store.root,
                settled=contents.settled,
                staging_in_use=lambda: frozenset(os.path.basename(it.path) for it in list(tape.fulls.values())),
                staging_age_ns=60 * 10**9,
            )
            result = check_store(place, read_data=number % 4 == 0)
            assert kinds_of(result.problems) == []
            assert not wrong
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not wrong
    assert tape.take is not None
    assert tape.catalog.takes(tape.stream.uri)[0].removed_chunks > 0


def test_content_that_is_just_being_entered_is_looked_at_again_when_it_is_done(kept: KeptStore) -> None:
    """Content is linked, its row comes while the check waits for whoever enters it."""
    name = "ab" * 32
    path = kept.add(name, b"fresh")

    @contextlib.contextmanager
    def settled() -> Iterator[None]:
        kept.query("INSERT INTO artifacts VALUES ('slice-9', 'slice', ?, 'text/plain', 5, 0, NULL, '{}', 0)", name)
        yield

    assert kinds_of(check_store(CheckPlace(str(kept.root), settled=settled)).problems) == []
    path.unlink()
    found = check_store(CheckPlace(str(kept.root))).problems
    assert kinds_of(found) == [("content_missing", kept.address(name))]
    assert "artifact:slice-9" in found[0].message


def test_content_that_is_just_being_removed_is_no_damage(kept: KeptStore) -> None:
    """Its row is read, then it is marked and its file goes."""
    name = kept.artifact("slice")
    kept.forget(name)

    @contextlib.contextmanager
    def settled() -> Iterator[None]:
        kept.query("UPDATE artifacts SET removing = 1 WHERE content_hash = ?", name)
        yield

    assert kinds_of(check_store(CheckPlace(str(kept.root), settled=settled)).problems) == []


def test_a_young_file_in_staging_may_be_just_about_to_be_used(kept: KeptStore) -> None:
    address = kept.staging("ab" * 32)
    minute = 60 * 10**9
    assert kinds_of(check_store(CheckPlace(str(kept.root), staging_age_ns=minute)).problems) == []
    assert kinds_of(check_store(CheckPlace(str(kept.root))).problems) == [("staging_orphaned", address)]
    with (kept.root / address).open("rb"):  # as a slice that is being hashed
        assert kinds_of(check_store(CheckPlace(str(kept.root))).problems) == []
    for in_use in (lambda: frozenset({"ab" * 32}), lambda: None):
        assert kinds_of(check_store(CheckPlace(str(kept.root), staging_in_use=in_use)).problems) == []


def test_who_gets_a_staging_file_during_the_check_is_asked_at_the_end(kept: KeptStore) -> None:
    kept.staging("ab" * 32)
    answers = [frozenset[str](), frozenset({"ab" * 32})]
    assert kinds_of(check_store(CheckPlace(str(kept.root), staging_in_use=lambda: answers.pop(0))).problems) == []
    assert not answers


class DeletesStream:
    """Deletes a stream and makes another one of that name, when it is asked for the Nth time whether to go on."""

    def __init__(self, kept: KeptStore, asked: int) -> None:
        self._kept = kept
        self._left = asked

    def __call__(self) -> bool:
        if self._left == 0:
            store = Store.create_or_open(str(self._kept.root))
            catalog = Catalog(str(self._kept.catalog), store.uuid)
            contents = Contents(store, catalog)
            catalog.keeping.mark_stream(SHORT)
            contents.remove_stream(SHORT)
            tape = Tape(
                store,
                catalog,
                ManagedStream(enter_definition(contents, catalog, definition(AudioFormat(RATE, 3), SHORT), KEEP_ALL)),
            )
            tape.begin()
            tape.seal(tape.full(bytes(12 * 30)))
            tape.end()
            catalog.close()
        self._left -= 1
        return False


@pytest.mark.parametrize("asked", [0, 100, *range(256, 276)])
def test_a_stream_may_be_deleted_and_made_anew_meanwhile(kept: KeptStore, asked: int) -> None:
    deletes = DeletesStream(kept, asked)
    assert kinds_of(check_store(CheckPlace(str(kept.root), is_cancelled=deletes)).problems) == []
    assert kinds_of(check_store(CheckPlace(str(kept.root))).problems) == []
