"""Every state that a power cut may leave of what store and control do; `parts.crash_model` has the rule.

Something new that changes files or rows (a collection of what is not needed any more) is one function of `Session`
more in `SCENARIOS`: it does its work with `session.store` and `session.tape.catalog`, promises what it tells others is
safe and withdraws what may go. What it does by other means than `store.Files` it notes with `Recording.written`. Each
also needs mutants in `MUTANTS`: a check that finds nothing proves nothing. A catalog that is made anew is in
`test_rebuild_power_cut.py`.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from jackcapture.control import garbage
from jackcapture.control.chunk_supply import ChunkSupply
from jackcapture.control.contents import Contents
from jackcapture.control.documents import enter_definition, enter_manifest
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.slices.excerpts import collect, extent
from jackcapture.errors import NotFoundError
from jackcapture.model.addresses import staging_of
from jackcapture.model.artifacts import Artifact
from jackcapture.model.overviews import overview_path
from jackcapture.model.retention import KEEP_ALL, Retention
from jackcapture.model.streams import AudioFormat, SampleFormat
from jackcapture.model.takes import Latency
from jackcapture.protocol.messages import StreamChunkFull
from jackcapture.settings import Settings
from jackcapture.store import Sealed, Store
from parts.crash_checks import (
    STORE,
    PowerCutError,
    Waiting,
    check,
    create_again,
    keeps,
    looks_made,
    reopen,
    restart,
    start_without_engine,
)
from parts.crash_events import SECTOR, Born, Committed, Committing, Event, Log, Mode, Names, Synced
from parts.crash_model import PowerCut, power_cuts
from parts.crash_recorder import FilesOnTwoDisks, FilesWithoutLinks, KilledError, Recording, RecordingFiles
from parts.tape import BEGIN_NS, RATE, Tape, definition, new_tape

FRAMES = 700
"""Of a chunk: 2800 bytes, six sectors."""


class Session:
    """A recording of what control does with a tape from now on; the tape is durable.

    It has a full chunk that waits to be sealed, and which must not be lost from then on.
    """

    def __init__(self, tape: Tape, kind: type[RecordingFiles] = RecordingFiles) -> None:
        self.tape = tape
        self.full = tape.full(noise())
        self.recording = Recording(Path(tape.store.root).parent)
        self.recording.watch(tape.catalog)
        self.start(kind(self.recording))
        relative = os.path.relpath(self.full.path, self.recording.base)
        self.waiting = [Waiting(relative, Path(self.full.path).read_bytes()[: self.full.bytes_written])]

    def start(self, files: RecordingFiles) -> None:
        """Open the store, as the next control does."""
        root = self.tape.store.root
        self.files = files
        self.store = Store.create_or_open(root, files=files)
        catalog = self.tape.catalog
        self.contents = Contents(self.store, catalog)
        self.supply = ChunkSupply(Settings(root=root, runtime=f"{root}/run"), self.store, catalog, self.contents)

    def make_chunk(self) -> str:
        """Make a chunk with its overview, and give its path."""
        return self.supply._make(self.tape.stream.definition, False)

    def seal(self, full: StreamChunkFull) -> None:
        """Seal a chunk and enter its row."""
        sealed = self.supply._seal(full)
        assert sealed is not None
        self.recording.promise(sealed.content.hash)
        if sealed.overview is not None:
            self.recording.promise(sealed.overview.hash)

    def add_row(self, sealed: Sealed) -> Artifact:
        """Enter an artifact for content."""
        kind = "application/octet-stream"
        artifact = Artifact(f"slice-{sealed.content.hash}", "slice", sealed.content.hash, kind, sealed.bytes, BEGIN_NS)
        self.tape.catalog.add_artifact(artifact)
        return artifact

    @property
    def log(self) -> Log:
        """What was recorded."""
        return self.recording.log


def noise() -> bytes:
    return os.urandom(FRAMES * 4)


@contextmanager
def tape_at(root: Path) -> Iterator[Tape]:
    """A take with one sealed chunk."""
    with new_tape(root) as tape:
        tape.has_overviews = True
        tape.begin()
        tape.seal(tape.full(noise()))
        yield tape


@pytest.fixture
def tape(tmp_path: Path) -> Iterator[Tape]:
    with tape_at(tmp_path / "disk" / STORE) as made:
        yield made


# --- what is done ---


def seal_alone(session: Session) -> None:
    """`Store.seal`, of which nobody knows but who called it."""
    sealed = session.store.seal(staging_of(session.full.path), session.full.bytes_written)
    session.recording.promise(sealed.content.hash)


def seal(session: Session) -> None:
    """A full chunk and its overview: content, then a row."""
    session.seal(session.full)


def seal_equal(session: Session) -> None:
    """Bytes that are content already, as of an earlier try."""
    data = Path(session.full.path).read_bytes()[: session.full.bytes_written]
    session.recording.promise(session.contents.enter_document(data, session.add_row).content_hash)
    session.seal(session.full)


def make_write_seal(session: Session) -> None:
    """A chunk from its making on, of which nothing is durable before it is sealed: the engine writes by a mapping."""
    data, path = noise(), session.make_chunk()
    session.recording.written(path, data[:1000])
    session.recording.written(path, data[1000:], 1000)
    session.recording.written(overview_path(path), bytes(range(96)))
    first = session.tape.frames
    session.tape.truth += data
    session.seal(session.full)
    session.seal(StreamChunkFull(session.tape.stream.uri, path, len(data), FRAMES, BEGIN_NS, 1, 2, first))


def put(session: Session) -> None:
    """`Store.put`, of which nobody knows but who called it."""
    session.recording.promise(session.store.put(bytes(range(256)) * 5).content.hash)


def enter(session: Session) -> None:
    """A document with its row."""
    session.recording.promise(session.contents.enter_document(bytes(range(256)) * 5, session.add_row).content_hash)


def collect_garbage(session: Session) -> None:
    """The removal of what is beyond the retention; of two chunks with the same bytes, one is kept."""
    tape, catalog = session.tape, session.tape.catalog
    first = catalog.chunk(tape.stream.uri, 1, 0)
    data = Path(session.full.path).read_bytes()[: session.full.bytes_written]
    path = session.make_chunk()
    session.recording.written(path, data)
    session.seal(session.full)
    session.seal(StreamChunkFull(tape.stream.uri, path, len(data), FRAMES, BEGIN_NS, 1, 2, tape.frames))
    retention = Retention(keep_chunks=1)
    catalog.keeping.set_retention(tape.stream.uri, retention)
    second = catalog.chunk(tape.stream.uri, 1, 1)  # its bytes are the third one's too, its overview is not
    for content in (first.content, first.overview, second.overview):
        assert content is not None
        session.recording.withdraw(content.hash)
    session.waiting = []
    record = replace(tape.stream.record, retention=retention)
    assert len(garbage.collect(catalog, session.contents, [record])) == 1
    assert not session.store.exists(first.content)


def define(session: Session) -> None:
    """A new stream: its definition is content before its row."""
    described = definition(AudioFormat(RATE, 1, SampleFormat.F32), "stream://a/b")
    enter_definition(session.contents, session.tape.catalog, described, KEEP_ALL)


def stop(session: Session) -> None:
    """The end of a take: what control does when the engine has stopped it."""
    spare = staging_of(session.make_chunk())
    session.seal(session.full)
    catalog, stream = session.tape.catalog, session.tape.stream
    catalog.note_latencies(stream.uri, 1, (Latency(64, 64),) * 2)
    catalog.end_take(stream.uri, 1, 2 * FRAMES, BEGIN_NS, "")
    session.store.discard(spare)
    session.recording.promise(enter_manifest(session.store, session.contents, catalog, stream.record).content_hash)


# Content without a row is nobody's when control starts: whoever called the store alone opens it alone.
SCENARIOS = (
    (seal_alone, reopen),
    (put, reopen),
    *((scenario, restart) for scenario in (seal, seal_equal, make_write_seal, enter, define, stop, collect_garbage)),
)


@pytest.mark.parametrize(("scenario", "recover"), SCENARIOS)
def test_no_power_cut_costs_what_was_promised(
    tape: Tape, scenario: Callable[[Session], None], recover: Callable[[Path, PowerCut], None]
) -> None:
    session = Session(tape)
    scenario(session)
    checked = check(session.log, keeps(session.waiting), recover=recover)
    print(scenario.__name__, len(session.log.events), "events", checked)
    assert checked.states > 40
    assert checked.recovered > 10


def test_across_disks_no_power_cut_costs_anything_either(tape: Tape) -> None:
    session = Session(tape, FilesOnTwoDisks)
    seal(session)
    assert check(session.log, keeps(session.waiting), recover=restart).states > 100


def test_without_hard_links_no_row_points_to_nothing(tape: Tape) -> None:
    """A rename between two directories may lose both names, of a chunk that nobody was told of."""
    session = Session(tape, FilesWithoutLinks)
    seal(session)
    assert check(session.log, keeps(), recover=restart).states > 100
    with pytest.raises(PowerCutError, match="neither whole in staging nor in content"):
        check(session.log, keeps(session.waiting))


def test_a_kill_and_then_a_power_cut(tmp_path: Path) -> None:
    """What a killed control had done and not made durable, the next one makes durable before it relies on it."""
    states = 0
    for calls in range(1000):
        with tape_at(tmp_path / f"{calls}" / STORE) as tape:
            session = Session(tape)
            session.files.left = calls
            try:
                seal(session)
            except KilledError:
                killed_at = len(session.log.events)
                session.start(RecordingFiles(session.recording))
                seal(session)
                states += check(session.log, keeps(session.waiting), limit=16, since=killed_at).states
            else:
                break
    print(calls, "kills,", states, "states")
    assert calls > 25


# --- the same by programs that are wrong ---


def is_link(event: Event) -> bool:
    return isinstance(event, Names) and event.call == "link"


def is_naming(event: Event) -> bool:
    return isinstance(event, Born) or (isinstance(event, Names) and event.call in {"mkdir", "link"})


def is_unlink(event: Event) -> bool:
    return isinstance(event, Names) and event.call == "unlink"


def is_commit(event: Event) -> bool:
    return isinstance(event, Committing | Committed)


def is_file_sync(log: Log) -> Callable[[Event], bool]:
    directories = log.directories
    return lambda event: isinstance(event, Synced) and event.inode not in directories


def is_sync_of_names(log: Log, *calls: str) -> Callable[[Event], bool]:
    """Tell the fsyncs of directories in which such calls have made names."""
    made = {event.directory for event in log.events if isinstance(event, Names) and event.call in calls}
    return lambda event: isinstance(event, Synced) and event.inode in made


def unlink_before_mark(log: Log) -> Log:
    """Move the unlinks of what is removed to before the transaction that marks it."""
    last = max(at for at, event in enumerate(log.events) if is_unlink(event))
    mark = [event for event in log.events[:last] if isinstance(event, Committing)][-1]
    return log.earlier(is_unlink, lambda event: event is mark)


Mutant = tuple[str, Callable[[Session], None], Callable[[Log], Log], str]

MUTANTS: tuple[Mutant, ...] = (
    ("no fsync of the file", seal, lambda log: log.without(is_file_sync(log)), "torn"),
    ("no fsync of the directory", seal, lambda log: log.without(is_sync_of_names(log, "link")), "row"),
    ("no fsync of the shards' parents", seal, lambda log: log.without(is_sync_of_names(log, "mkdir")), "row"),
    ("no mode", seal, lambda log: log.without(lambda event: isinstance(event, Mode)), "mode"),
    ("mode after fsync", seal_alone, lambda log: log.earlier(is_file_sync(log), lambda e: isinstance(e, Mode)), "mode"),
    ("link before fsync", seal_alone, lambda log: log.earlier(is_naming, is_file_sync(log)), "torn"),
    ("row before link", seal, lambda log: log.earlier(is_commit, is_link), "row"),
    ("row before fsync", seal, lambda log: log.earlier(is_commit, is_sync_of_names(log, "link")), "row"),
    ("unlink before fsync", seal_alone, lambda log: log.earlier(is_unlink, is_sync_of_names(log, "link")), "chunk"),
    ("told before fsync", put, lambda log: log.without(is_sync_of_names(log, "link")), "promise"),
    ("document's row first", enter, lambda log: log.earlier(is_commit, is_link), "row"),
    ("unlink before the mark", collect_garbage, unlink_before_mark, "row"),
    ("manifest's row first", stop, lambda log: log.earlier(is_commit, is_link), "row"),
)


@pytest.mark.parametrize(
    ("scenario", "mutated", "kind"), [mutant[1:] for mutant in MUTANTS], ids=[m[0] for m in MUTANTS]
)
def test_a_wrong_order_is_found(
    tape: Tape, scenario: Callable[[Session], None], mutated: Callable[[Log], Log], kind: str
) -> None:
    session = Session(tape)
    scenario(session)
    log = mutated(session.log)
    assert log != session.log
    with pytest.raises(PowerCutError) as found:
        check(log, keeps(session.waiting))
    assert found.value.kind == kind


# --- making a store ---


def make(base: Path, kill_after: int = 1 << 30) -> tuple[Log, bool]:
    """Record the making of a store, killed after some calls and then done again; tell also whether it was killed."""
    base.mkdir()
    recording = Recording(base)
    files = RecordingFiles(recording)
    files.left = kill_after
    was_killed = False
    try:
        store = Store.create_or_open(f"{base}/{STORE}", files=files)
    except KilledError:
        was_killed = True
        store = Store.create_or_open(f"{base}/{STORE}", files=RecordingFiles(recording))
    recording.promise(store.uuid)
    return recording.log, was_killed


def test_a_store_is_nothing_unfinished_or_whole(tmp_path: Path) -> None:
    log, _ = make(tmp_path / "disk")
    checked = check(log, looks_made, recover=create_again, recoveries=1000)
    assert checked.states > 30


def test_a_kill_and_then_a_power_cut_while_a_store_is_made(tmp_path: Path) -> None:
    for calls in range(100):
        log, was_killed = make(tmp_path / f"{calls}", calls)
        if not was_killed:
            break
        check(log, looks_made, recover=create_again, recoveries=20)
    assert calls > 10


def is_rename(event: Event) -> bool:
    return isinstance(event, Names) and event.call == "rename"


# Inodes: 0 the directory above, 1 the store, 3 content.
MAKING_MUTANTS: tuple[tuple[str, Callable[[Log], Log], str], ...] = (
    ("no fsync of store.json", lambda log: log.without(is_file_sync(log)), "creation"),
    ("no fsync of the store's directory", lambda log: log.without(lambda event: event == Synced(1)), "creation"),
    ("no fsync of the directory above", lambda log: log.without(lambda event: event == Synced(0)), "creation"),
    ("store.json before content", lambda log: log.earlier(is_rename, lambda event: event == Synced(3)), "creation"),
    # Then another try finds a directory that is not known to be ours.
    ("content before store.json.new", lambda log: log.earlier(is_naming, lambda event: event == Synced(1)), "recovery"),
)


@pytest.mark.parametrize(("mutated", "kind"), [m[1:] for m in MAKING_MUTANTS], ids=[m[0] for m in MAKING_MUTANTS])
def test_a_wrong_order_of_making_a_store_is_found(tmp_path: Path, mutated: Callable[[Log], Log], kind: str) -> None:
    log, _ = make(tmp_path / "disk")
    with pytest.raises(PowerCutError) as found:
        check(mutated(log), looks_made, recover=create_again, recoveries=1000)
    assert found.value.kind == kind


# --- the start after a power cut ---


@pytest.mark.parametrize("left", ["whole", "torn", "gone"])
def test_a_take_without_its_ring_ends_with_its_last_sealed_chunk(tmp_path: Path, left: str) -> None:
    """Also if one before it, which was sealed at the same time, has no row: it keeps its place, and no other has it."""
    with new_tape(tmp_path / STORE) as tape:
        tape.has_overviews = True
        tape.begin()
        fulls = [tape.full(noise()) for _ in range(4)]
        tape.seal(fulls[0])
        tape.seal(fulls[2])
        if left == "torn":
            os.truncate(fulls[1].path, 1000)
            Path(fulls[3].path).write_bytes(bytes(fulls[3].bytes_written))
        elif left == "gone":
            for full in (fulls[1], fulls[3]):
                tape.store.discard(staging_of(full.path))
        for _ in range(2):
            asyncio.run(start_without_engine(tape.store, tape.catalog, str(tmp_path / "run")))
        record = tape.catalog.last_take(tape.stream.uri)
        assert record is not None
        assert (record.take.samples, record.end_sample, record.sealed_chunks) == (3 * FRAMES, 3 * FRAMES, 2)
        assert "ends with its last sealed chunk" in record.error
        assert list(tape.store.iterate_staging()) == []
        assert len(tape.catalog.artifacts(kind="manifest")) == 1
        stream = ManagedStream(tape.stream.record)
        assert extent(tape.catalog, stream, None).head_sample == 3 * FRAMES
        for index in (0, 2):
            (piece,) = collect(tape.catalog, stream, None, index * FRAMES, (index + 1) * FRAMES).pieces
            data = Path(tape.store.path(piece.address)).read_bytes()
            assert data == tape.truth[fulls[index].first_sample * 4 :][: len(data)]
        with pytest.raises(NotFoundError, match=rf"{FRAMES} to {2 * FRAMES} \(lost\)"):
            collect(tape.catalog, stream, None, 0, 3 * FRAMES)


# --- the model itself ---


def found(base: Path, work: Callable[[RecordingFiles], None]) -> list[dict[str, bytes]]:
    """Give all that a power cut after this work may leave: bytes by path."""
    recording = Recording(base)
    work(RecordingFiles(recording))
    done = len(recording.log.events)
    return [
        {path: image.data for path, image in cut.state.files.items()}
        for cut in power_cuts(recording.log, limit=1000, seed=1, since=done)
    ]


def test_what_is_not_synced_may_be_torn_empty_zeros_garbage_or_not_there(tmp_path: Path) -> None:
    def work(files: RecordingFiles) -> None:
        fd = files.open(f"{tmp_path}/new", os.O_WRONLY | os.O_CREAT)
        files.write(fd, b"x" * 2 * SECTOR, 0)
        files.close(fd)

    x, zero, garbage = b"x" * SECTOR, bytes(SECTOR), b"\xa5" * SECTOR
    sectors = [first + second for first in (x, zero, garbage) for second in (x, zero, garbage)]
    states = found(tmp_path, work)
    assert {} in states
    assert {state["new"] for state in states if state} == {b"", *sectors}


@pytest.mark.parametrize("target", ["b", "other/a"])
def test_a_rename_is_one_change_in_one_directory_and_two_in_two(tmp_path: Path, target: str) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "other").mkdir()
    states = found(tmp_path, lambda files: files.rename(f"{tmp_path}/a", f"{tmp_path}/{target}"))
    names = {tuple(sorted(state)) for state in states}
    assert names == {("a",), (target,)} | ({(), ("a", target)} if "/" in target else set())


def test_fsync_makes_no_name_durable_and_a_directory_none_above_it(tmp_path: Path) -> None:
    def work(files: RecordingFiles) -> None:
        files.mkdir(f"{tmp_path}/folder")
        fd = files.open(f"{tmp_path}/folder/new", os.O_WRONLY | os.O_CREAT)
        files.write(fd, b"x", 0)
        files.fsync(fd)
        files.close(fd)
        files.fsync_directory(f"{tmp_path}/folder")

    assert found(tmp_path, work) == [{}, {"folder/new": b"x"}]
