"""The content-addressed store: what it keeps, in which order, and what is left when a call fails."""

import errno
import itertools
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from jackcapture.errors import (
    ConflictError,
    InvalidValueError,
    NotFoundError,
    StorageDamagedError,
    StorageError,
    StorageFullError,
)
from jackcapture.model.addresses import CasAddress, Content, Staging, StagingOverview
from jackcapture.store import Files, Sealed, Store
from jackcapture.store.layout import place, shards

KINDS = sorted(name for name in vars(Files) if not name.startswith("_"))
# Calls that only look: the ones that can meet a full disk are all others.
LOOKING = {"access", "free_bytes", "fstat", "read", "realpath", "scandir", "stat"}
CHANGING = [kind for kind in KINDS if kind not in LOOKING]
DATA = bytes(range(256)) * 20


class Recorder(Files):
    """Notes each call as (kind, path), and lets the `fail_at`-th call of `fail_kind` fail."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.fail_kind = ""
        self.fail_at = 0
        self.fail_number = errno.ENOSPC
        self._seen = 0
        self._paths: dict[int, str] = {}
        for kind in KINDS:
            setattr(self, kind, self._noted(kind, getattr(Files, kind)))

    def fail(self, kind: str, at: int = 0, number: int = errno.ENOSPC) -> None:
        self.fail_kind, self.fail_at, self.fail_number, self._seen = kind, at, number, 0

    @property
    def failed(self) -> bool:
        return self._seen > self.fail_at

    def _noted(self, kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any) -> Any:
            path = args[0] if isinstance(args[0], str) else self._paths.get(args[0], "?")
            self.calls.append((kind, path))
            if kind == self.fail_kind:
                self._seen += 1
                if self._seen == self.fail_at + 1:
                    if kind == "close":
                        os.close(args[0])
                    raise OSError(self.fail_number, os.strerror(self.fail_number))
            result = call(self, *args)
            if kind == "open":
                self._paths[result] = path
            return result

        return noted


@pytest.fixture
def files() -> Recorder:
    return Recorder()


@pytest.fixture
def store(tmp_path: Path, files: Recorder) -> Store:
    return Store.create_or_open(str(tmp_path / "store"), files=files)


def stage(store: Store, data: bytes, room: int | None = None) -> Staging:
    staging = store.create_staging(len(data) if room is None else room)
    with Path(store.path(staging)).open("r+b") as file:
        file.write(data)
    return staging


def read(store: Store, address: CasAddress) -> bytes:
    fd = store.open(address)
    try:
        return os.read(fd, 1 << 24)
    finally:
        os.close(fd)


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def assert_whole(store: Store) -> None:
    """Nothing half-made: all content is what its name says and read-only, and nothing foreign lies about."""
    for content in store.iterate_content():
        assert blake3(read(store, content)).hexdigest() == content.hash
        assert mode(store.path(content)) == 0o444
    assert list(store.iterate_foreign()) == []


# Making and opening


def test_a_new_store_has_its_directories_and_its_description(tmp_path: Path) -> None:
    root = tmp_path / "above" / "store"
    store = Store.create_or_open(str(root))
    assert json.loads((root / "store.json").read_text()) == {
        "format": "jackcapture-store",
        "version": 1,
        "uuid": store.uuid,
    }
    assert sorted(os.listdir(root)) == ["content", "staging", "store.json"]
    for directory in (root, root / "content", root / "content/blake3", root / "staging/blake3", root.parent):
        assert mode(directory) == 0o700
    assert store.root == str(root)
    assert store.staging_directory == str(root / "staging" / "blake3")


def test_opening_again_keeps_uuid_and_content(tmp_path: Path) -> None:
    first = Store.create_or_open(str(tmp_path))
    sealed = first.put(DATA)
    second = Store.create_or_open(str(tmp_path))
    assert second.uuid == first.uuid
    assert read(second, sealed.content) == DATA


def test_paths_are_real_paths(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    store = Store.create_or_open(str(tmp_path / "link"))
    assert store.root == str(tmp_path / "disk")
    assert store.path(store.create_staging(1)).startswith(str(tmp_path / "disk" / "staging"))


def test_a_relative_root_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Store.create_or_open("store").root == str(tmp_path / "store")


@pytest.mark.parametrize("root", ["", "a\0b"])
def test_a_root_that_is_no_path(root: str) -> None:
    with pytest.raises(InvalidValueError):
        Store.create_or_open(root)


def test_a_foreign_directory_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConflictError, match=r"thesis\.txt"):
        Store.create_or_open(str(tmp_path))
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_a_foreign_directory_with_our_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "content").mkdir()
    with pytest.raises(ConflictError):
        Store.create_or_open(str(tmp_path))


def test_a_fresh_file_system_is_taken(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    Store.create_or_open(str(tmp_path))


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(StorageError):
        Store.create_or_open(str(tmp_path / "store"))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 5000,
        b"[1]",
        b"{}",
        b'{"format": "other", "version": 1, "uuid": "8b1e0f0c-6b7c-4c0e-9f3b-0d9b6a1d2c3e"}',
        b'{"format": "jackcapture-store", "uuid": "8b1e0f0c-6b7c-4c0e-9f3b-0d9b6a1d2c3e"}',
        b'{"format": "jackcapture-store", "version": 1}',
        b'{"format": "jackcapture-store", "version": 1, "uuid": 7}',
        b'{"format": "jackcapture-store", "version": 1, "uuid": "x"}',
    ],
)
def test_a_malformed_description_is_damage_and_says_what_is_right(tmp_path: Path, text: bytes) -> None:
    Store.create_or_open(str(tmp_path))
    (tmp_path / "store.json").write_bytes(text)
    with pytest.raises(StorageDamagedError, match=r"must be|knows version 1"):
        Store.create_or_open(str(tmp_path))


@pytest.mark.parametrize("version", [0, 2, "1", True, None])
def test_an_unknown_version_is_refused(tmp_path: Path, version: object) -> None:
    uuid = Store.create_or_open(str(tmp_path)).uuid
    described = {"format": "jackcapture-store", "version": version, "uuid": uuid}
    (tmp_path / "store.json").write_text(json.dumps(described))
    with pytest.raises(StorageDamagedError, match="knows version 1"):
        Store.create_or_open(str(tmp_path))


def test_missing_content_is_damage_and_missing_staging_is_not(tmp_path: Path) -> None:
    Store.create_or_open(str(tmp_path))
    (tmp_path / "staging/blake3").rmdir()
    (tmp_path / "staging").rmdir()
    Store.create_or_open(str(tmp_path)).create_staging(1)
    (tmp_path / "content/blake3").rmdir()
    with pytest.raises(StorageDamagedError, match="missing"):
        Store.create_or_open(str(tmp_path))


class ReadOnly(Files):
    def access(self, path: str) -> bool:
        return False


def test_a_read_only_root_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="not writable"):
        Store.create_or_open(str(tmp_path), files=ReadOnly())
    assert os.listdir(tmp_path) == []
    Store.create_or_open(str(tmp_path))
    with pytest.raises(StorageError, match="not writable") as caught:
        Store.create_or_open(str(tmp_path), files=ReadOnly())
    assert not isinstance(caught.value, StorageFullError | StorageDamagedError)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_write_permission(tmp_path: Path) -> None:
    Store.create_or_open(str(tmp_path))
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="not writable"):
            Store.create_or_open(str(tmp_path))
    finally:
        tmp_path.chmod(0o700)


def failures(kinds: list[str], attempt: Callable[[Recorder], object]) -> Iterator[str]:
    """Run `attempt` with the first, second ... call of each kind failing, as long as there is one to fail."""
    for kind in kinds:
        for at in range(1000):
            files = Recorder()
            files.fail(kind, at)
            before = descriptors()
            try:
                attempt(files)
            except StorageFullError:
                assert files.failed
            assert descriptors() == before
            if not files.failed:
                break
            yield f"{kind} {at}"


def test_making_a_store_may_fail_at_every_call_and_be_tried_again(tmp_path: Path) -> None:
    roots: list[str] = []

    def attempt(files: Recorder) -> None:
        roots.append(str(tmp_path / f"{len(roots)}" / "store"))
        Store.create_or_open(roots[-1], files=files)

    seen = set()
    for failure in failures(CHANGING, attempt):
        again = Store.create_or_open(roots[-1])
        assert sorted(os.listdir(again.root)) == ["content", "staging", "store.json"], failure
        assert again.put(DATA).is_new
        seen.add(failure.split()[0])
    assert seen == {"close", "fsync", "fsync_directory", "mkdir", "open", "rename", "write"}


def test_store_json_is_durable_before_it_has_its_name(store: Store, files: Recorder) -> None:
    new = f"{store.root}/store.json.new"
    renamed = files.calls.index(("rename", new))
    assert files.calls.index(("fsync", new)) < renamed
    assert ("mkdir", f"{store.root}/content/blake3") in files.calls[:renamed]
    assert ("fsync_directory", store.root) in files.calls[renamed:]


# Staging


def test_a_staging_file_is_preallocated_and_private(store: Store) -> None:
    staging = store.create_staging(100_000)
    status = os.stat(store.path(staging))
    assert status.st_size == 100_000
    assert status.st_blocks * 512 >= 100_000
    assert mode(store.path(staging)) == 0o600
    relative = os.path.relpath(store.path(staging), store.staging_directory)
    assert relative == f"{staging.id[:2]}/{staging.id[2:4]}/{staging.id}"
    assert mode(os.path.dirname(store.path(staging))) == 0o700


def test_a_staging_file_of_no_size_is_not_preallocated(store: Store, files: Recorder) -> None:
    assert store.stat(store.create_staging(0)).bytes == 0
    assert "fallocate" not in dict(files.calls)


@pytest.mark.parametrize("size", [-1, 1 << 63])
def test_a_size_that_no_file_has(store: Store, size: int) -> None:
    with pytest.raises(InvalidValueError):
        store.create_staging(size)
    with pytest.raises(InvalidValueError):
        store.seal(Staging("0" * 64), size)


def test_more_than_the_disk_has_leaves_nothing(store: Store) -> None:
    free = store.free_bytes()
    assert free > 0
    # Past the largest file of some file systems, which is not "full" then.
    with pytest.raises(StorageError):
        store.create_staging(1 << 60)
    assert os.listdir(store.staging_directory) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_with_the_bytes(store: Store, files: Recorder, number: int) -> None:
    files.fail("fallocate", number=number)
    with pytest.raises(StorageFullError, match=r"12345 bytes needed, [0-9]+ free") as caught:
        store.create_staging(12345)
    assert caught.value.details["bytes_needed"] == 12345
    assert caught.value.details["bytes_free"] > 0
    assert caught.value.details["path"].startswith(store.staging_directory)


def test_making_a_staging_file_may_fail_at_every_call(tmp_path: Path) -> None:
    Store.create_or_open(str(tmp_path))
    seen = set()

    def attempt(files: Recorder) -> None:
        kind, files.fail_kind = files.fail_kind, ""
        store = Store.create_or_open(str(tmp_path), files=files)
        files.fail_kind = kind
        store.discard(store.create_staging(4096))

    for failure in failures(["close", "fallocate", "mkdir", "open"], attempt):
        assert os.listdir(tmp_path / "staging/blake3") == [], failure
        seen.add(failure.split()[0])
    assert seen == {"close", "fallocate", "mkdir", "open"}


def test_a_shard_that_goes_away_under_a_new_file_is_made_again(tmp_path: Path) -> None:
    class Racing(Files):
        races = 3

        def open(self, path: str, flags: int, mode: int = 0o600) -> int:
            if flags & os.O_EXCL and self.races:
                self.races -= 1
                os.rmdir(os.path.dirname(path))
                if self.races % 2:
                    os.rmdir(os.path.dirname(os.path.dirname(path)))
            return super().open(path, flags, mode)

    files = Racing()
    store = Store.create_or_open(str(tmp_path), files=files)
    assert store.exists(store.create_staging(1))
    assert files.races == 0


def test_a_staging_directory_that_is_gone_is_an_error(store: Store) -> None:
    os.rmdir(store.staging_directory)
    with pytest.raises(StorageError, match="missing"):
        store.create_staging(1)


def test_discard_removes_file_and_shards_and_may_be_repeated(store: Store) -> None:
    staging = store.create_staging(10)
    store.discard(staging)
    store.discard(staging)
    assert not store.exists(staging)
    assert os.listdir(store.staging_directory) == []


def test_a_shard_with_another_file_stays(store: Store) -> None:
    staging = stage(store, DATA)
    neighbour = Staging(staging.id[:4] + "0" * 60)
    Path(store.path(neighbour)).write_bytes(b"x")
    store.seal(staging, len(DATA))
    assert list(store.iterate_staging()) == [neighbour]
    store.discard(neighbour)
    assert os.listdir(store.staging_directory) == []


# Overviews of staging chunks


def test_a_chunk_and_its_overview_are_made_and_removed_together(store: Store, files: Recorder) -> None:
    staging = store.create_staging(100_000, 5000)
    overview = StagingOverview(staging.id)
    assert store.path(overview) == store.path(staging) + ".overview"
    status = os.stat(store.path(overview))
    assert (status.st_size, mode(store.path(overview))) == (5000, 0o600)
    assert status.st_blocks * 512 >= 5000
    assert store.read(overview, 0, 5000) == bytes(5000)
    files.calls.clear()
    store.discard(staging)
    store.discard(staging)
    assert os.listdir(store.staging_directory) == []
    # A crash between the two leaves the chunk, which is found again, and never an overview by itself.
    gone = [path for kind, path in files.calls if kind == "unlink"][:2]
    assert gone == [store.path(overview), store.path(staging)]


def test_making_a_chunk_with_an_overview_may_fail_at_every_call(tmp_path: Path) -> None:
    Store.create_or_open(str(tmp_path))
    seen = []

    def attempt(files: Recorder) -> None:
        kind, files.fail_kind = files.fail_kind, ""
        store = Store.create_or_open(str(tmp_path), files=files)
        files.fail_kind = kind
        store.discard(store.create_staging(4096, 4096))

    for failure in failures(["close", "fallocate", "mkdir", "open"], attempt):
        assert os.listdir(tmp_path / "staging/blake3") == [], failure
        seen.append(failure)
    assert {"fallocate 0", "fallocate 1", "open 0", "open 1"} <= set(seen)


def test_a_full_disk_is_named_with_the_bytes_of_both(store: Store, files: Recorder) -> None:
    files.fail("fallocate", 1)
    with pytest.raises(StorageFullError, match=r"13000 bytes needed"):
        store.create_staging(12345, 655)


def test_sealing_takes_the_overview_away_with_the_name(store: Store) -> None:
    staging = store.create_staging(len(DATA), 100)
    store.seal(staging, len(DATA), keep_name=True)
    assert store.exists(StagingOverview(staging.id))
    store.seal(staging, len(DATA))
    assert os.listdir(store.staging_directory) == []
    assert_whole(store)


def test_an_overview_is_foreign_only_without_its_chunk(store: Store) -> None:
    sealed = store.put(DATA)
    stagings = [store.create_staging(1, 1) for _ in range(3)]
    alone = store.path(StagingOverview(stagings[1].id))
    os.unlink(store.path(stagings[1]))
    foreign = [
        alone,
        store.path(stagings[0]) + ".overview.overview",
        store.path(stagings[0]) + "!",
        f"{store.staging_directory}/.overview",
        f"{os.path.dirname(store.path(stagings[2]))}/.overview",
        store.path(sealed.content) + ".overview",
    ]
    for path in foreign[1:]:
        Path(path).touch()
    directory = store.path(StagingOverview(stagings[2].id))
    os.unlink(directory)
    os.mkdir(directory)
    assert list(store.iterate_staging()) == sorted([stagings[0], stagings[2]])
    assert list(store.iterate_content()) == [sealed.content]
    assert sorted(store.iterate_foreign()) == sorted([*foreign, directory])


# Sealing


def test_seal(store: Store) -> None:
    staging = stage(store, DATA)
    sealed = store.seal(staging, len(DATA))
    assert sealed == Sealed(Content(blake3(DATA).hexdigest()), len(DATA), True)
    assert read(store, sealed.content) == DATA
    assert mode(store.path(sealed.content)) == 0o444
    assert os.stat(store.path(sealed.content)).st_nlink == 1
    assert not store.exists(staging)
    assert os.listdir(store.staging_directory) == []
    assert_whole(store)


def test_seal_cuts_off_what_was_not_written(store: Store) -> None:
    sealed = store.seal(stage(store, DATA, room=1 << 20), len(DATA))
    assert read(store, sealed.content) == DATA
    assert sealed.content.hash == blake3(DATA).hexdigest()


def test_seal_of_nothing(store: Store) -> None:
    nothing = Content(blake3(b"").hexdigest())
    assert store.seal(store.create_staging(4096), 0) == Sealed(nothing, 0, True)
    assert store.seal(store.create_staging(0), 0) == Sealed(nothing, 0, False)


def test_seal_of_many_pieces(store: Store) -> None:
    data = os.urandom((3 << 20) + 17)
    assert store.seal(stage(store, data), len(data)).content.hash == blake3(data).hexdigest()


def test_short_reads_are_read_on(tmp_path: Path) -> None:
    class Short(Files):
        def read(self, fd: int, buffer: bytearray | memoryview, position: int) -> int:
            return super().read(fd, memoryview(buffer)[:1000], position)

    store = Store.create_or_open(str(tmp_path), files=Short())
    assert store.put(DATA).content.hash == blake3(DATA).hexdigest()


def test_short_writes_are_written_on(tmp_path: Path) -> None:
    class Short(Files):
        def write(self, fd: int, data: bytes | bytearray | memoryview, position: int) -> int:
            return super().write(fd, memoryview(data)[:100], position)

    store = Store.create_or_open(str(tmp_path), files=Short())
    assert read(store, store.put(DATA).content) == DATA


def test_a_file_that_is_too_short_is_damage_and_stays(store: Store) -> None:
    staging = stage(store, DATA)
    with pytest.raises(StorageDamagedError, match=rf"{len(DATA)} bytes; to seal {len(DATA) + 1}"):
        store.seal(staging, len(DATA) + 1)
    assert read(store, staging) == DATA


def test_equal_bytes_are_stored_once(store: Store) -> None:
    first = store.seal(stage(store, DATA), len(DATA))
    inode = os.stat(store.path(first.content)).st_ino
    second = store.seal(stage(store, DATA, room=10_000), len(DATA))
    assert second == Sealed(first.content, len(DATA), False)
    assert os.stat(store.path(first.content)).st_ino == inode
    assert list(store.iterate_content()) == [first.content]
    assert list(store.iterate_staging()) == []


def test_content_of_another_length_is_damage(store: Store) -> None:
    sealed = store.put(DATA)
    Path(store.path(sealed.content)).chmod(0o600)
    os.truncate(store.path(sealed.content), 7)
    staging = stage(store, DATA)
    with pytest.raises(StorageDamagedError, match=rf"7 bytes.* {len(DATA)}"):
        store.seal(staging, len(DATA))
    assert read(store, staging) == DATA


def test_threads_may_seal_equal_bytes_at_once(store: Store) -> None:
    for turn in range(20):
        data = DATA + bytes([turn])
        stagings = [stage(store, data) for _ in range(4)]
        barrier = threading.Barrier(len(stagings))
        results: list[Sealed | BaseException] = []

        def work(
            staging: Staging,
            size: int = len(data),
            barrier: threading.Barrier = barrier,
            results: list[Sealed | BaseException] = results,
        ) -> None:
            try:
                barrier.wait(10)
                results.append(store.seal(staging, size))
            except BaseException as error:
                results.append(error)

        threads = [threading.Thread(target=work, args=(staging,)) for staging in stagings]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        content = Content(blake3(data).hexdigest())
        expected = [Sealed(content, len(data), False)] * 3 + [Sealed(content, len(data), True)]
        assert sorted(results, key=lambda result: getattr(result, "is_new", -1)) == expected
    assert len(list(store.iterate_content())) == 20
    assert os.listdir(store.staging_directory) == []
    assert_whole(store)


def test_the_order_of_durability(store: Store, files: Recorder) -> None:
    staging = stage(store, DATA)
    path = store.path(staging)
    files.calls.clear()
    sealed = store.seal(staging, len(DATA))
    outer, inner = shards(f"{store.root}/content/blake3", sealed.content.hash)
    changes = [call for call in files.calls if call[0] not in LOOKING | {"open", "close"}]
    assert changes == [
        ("fchmod", path),
        ("fsync", path),
        ("mkdir", outer),
        ("mkdir", inner),
        ("link", path),
        ("fsync_directory", f"{store.root}/content/blake3"),
        ("fsync_directory", outer),
        ("fsync_directory", inner),
        ("unlink", f"{path}.overview"),
        ("unlink", path),
        ("rmdir", os.path.dirname(path)),
        ("rmdir", os.path.dirname(os.path.dirname(path))),
    ]


def test_equal_content_is_made_durable_before_the_staging_file_goes(tmp_path: Path, files: Recorder) -> None:
    # The thread, or the process that a crash ended, that linked it may not have come to its fsync.
    content = Store.create_or_open(str(tmp_path)).put(DATA).content
    store = Store.create_or_open(str(tmp_path), files=files)
    for directories in (3, 1):  # those above are asked once per process
        staging = stage(store, DATA)
        files.calls.clear()
        assert not store.seal(staging, len(DATA)).is_new
        outer, inner = shards(f"{store.root}/content/blake3", content.hash)
        gone = files.calls.index(("unlink", store.path(staging)))
        synced = [path for kind, path in files.calls[:gone] if kind == "fsync_directory"]
        assert synced == [f"{store.root}/content/blake3", outer, inner][-directories:]


@pytest.mark.parametrize("room", [len(DATA), 8192])
@pytest.mark.parametrize("known", [False, True])
def test_sealing_may_fail_at_every_call_and_be_tried_again(tmp_path: Path, room: int, known: bool) -> None:
    numbers = itertools.count()
    seen = set()

    def attempt(files: Recorder) -> None:
        kind, files.fail_kind = files.fail_kind, ""
        store = Store.create_or_open(str(tmp_path / f"{next(numbers)}"), files=files)
        if known:
            store.put(DATA)
        staging = stage(store, DATA, room)
        files.calls.clear()
        files.fail_kind = kind
        try:
            store.seal(staging, len(DATA))
        except StorageFullError:
            files.fail_kind = ""
            assert_whole(store)
            assert list(store.iterate_staging()) == [staging]
            assert read(store, staging)[: len(DATA)] == DATA
            assert store.seal(staging, len(DATA)).content.hash == blake3(DATA).hexdigest()
        assert_whole(store)
        assert list(store.iterate_staging()) == []
        assert read(store, Content(blake3(DATA).hexdigest())) == DATA
        files.fail_kind = kind

    for failure in failures(CHANGING, attempt):
        seen.add(failure.split()[0])
    expected = {"close", "fchmod", "fsync", "fsync_directory", "link", "mkdir", "open", "rmdir", "unlink"}
    assert seen == (expected | {"ftruncate"} if room > len(DATA) else expected)


def test_another_try_after_the_mode_was_set_and_the_size_was_not(store: Store) -> None:
    staging = stage(store, DATA, room=8192)
    Path(store.path(staging)).chmod(0o444)
    sealed = store.seal(staging, len(DATA))
    assert read(store, sealed.content) == DATA
    assert mode(store.path(sealed.content)) == 0o444


def test_a_crash_between_link_and_unlink_is_repaired(store: Store, files: Recorder) -> None:
    staging = stage(store, DATA)
    files.fail("unlink", number=errno.EIO)
    with pytest.raises(StorageError):
        store.seal(staging, len(DATA))
    content = Content(blake3(DATA).hexdigest())
    assert os.stat(store.path(staging)).st_nlink == 2
    assert os.path.samefile(store.path(staging), store.path(content))
    again = Store.create_or_open(store.root)
    assert again.seal(staging, len(DATA)) == Sealed(content, len(DATA), False)
    assert list(again.iterate_staging()) == []
    assert os.stat(again.path(content)).st_nlink == 1
    assert_whole(again)


def test_what_is_content_already_is_not_cut(store: Store, files: Recorder) -> None:
    staging = stage(store, DATA)
    files.fail("unlink", number=errno.EIO)
    with pytest.raises(StorageError):
        store.seal(staging, len(DATA))
    with pytest.raises(ConflictError, match=rf"sealed already, with {len(DATA)} bytes"):
        store.seal(staging, 100)
    assert_whole(store)


def test_a_second_name_elsewhere_does_not_hinder(store: Store, tmp_path: Path) -> None:
    staging = stage(store, DATA, room=8192)
    os.link(store.path(staging), tmp_path / "snapshot")
    assert read(store, store.seal(staging, len(DATA)).content) == DATA


def test_sealing_twice_does_not_find_the_file(store: Store) -> None:
    staging = stage(store, DATA)
    store.seal(staging, len(DATA))
    with pytest.raises(NotFoundError, match=staging.id):
        store.seal(staging, len(DATA))


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
def test_without_hard_links_the_file_is_renamed(store: Store, files: Recorder, number: int) -> None:
    files.fail("link", number=number)
    assert store.seal(stage(store, DATA), len(DATA)).is_new
    files.fail("link", number=number)
    assert not store.seal(stage(store, DATA), len(DATA)).is_new
    assert files.failed
    assert_whole(store)
    assert list(store.iterate_staging()) == []


def test_across_file_systems_the_bytes_are_copied(store: Store, files: Recorder) -> None:
    data = os.urandom((1 << 20) + 5)
    staging = stage(store, data)
    files.fail("link", number=errno.EXDEV)
    files.calls.clear()
    sealed = store.seal(staging, len(data))
    assert sealed.is_new
    assert read(store, sealed.content) == data
    assert_whole(store)
    assert list(store.iterate_staging()) == []
    inner = os.path.dirname(store.path(sealed.content))
    copy = f"{inner}/.copy-{staging.id}"
    order = [("fsync", copy), ("link", copy), ("fsync_directory", inner), ("unlink", store.path(staging))]
    assert [call for call in files.calls if call in order] == order
    files.fail("link", number=errno.EXDEV)
    assert not store.seal(stage(store, data), len(data)).is_new


def test_a_copy_that_fails_leaves_nothing_and_may_be_tried_again(tmp_path: Path) -> None:
    numbers = itertools.count()
    seen = set()

    class Across(Recorder):
        def __init__(self) -> None:
            super().__init__()
            inner = self.link

            def link(source: str, target: str) -> None:
                if "/staging/" in source:
                    raise OSError(errno.EXDEV, "elsewhere")
                inner(source, target)

            self.link = link  # type: ignore[method-assign]

    for kind in ["close", "fallocate", "fchmod", "fsync", "link", "open", "write"]:
        for at in range(10):
            files = Across()
            store = Store.create_or_open(str(tmp_path / f"{next(numbers)}"), files=files)
            staging = stage(store, DATA)
            before = descriptors()
            files.fail(kind, at)
            try:
                store.seal(staging, len(DATA))
            except StorageFullError:
                seen.add(kind)
                assert read(store, staging) == DATA
                assert list(store.iterate_content()) == []
            if not files.failed:
                break
            assert_whole(store)
            if store.exists(staging):
                assert store.seal(staging, len(DATA)).is_new
            assert descriptors() == before
            assert list(store.iterate_staging()) == []
    assert seen == {"close", "fallocate", "fchmod", "fsync", "link", "open", "write"}


def test_what_an_interrupted_copy_left_is_taken_away(store: Store, files: Recorder) -> None:
    for known in (False, True):
        staging = stage(store, DATA)
        inner = os.path.dirname(store.path(Content(blake3(DATA).hexdigest())))
        os.makedirs(inner, exist_ok=True)
        left = Path(inner) / f".copy-{staging.id}"
        left.write_bytes(b"half")
        assert list(store.iterate_foreign()) == [str(left)]
        files.fail("link", number=errno.EXDEV)
        assert store.seal(staging, len(DATA)).is_new != known
        assert_whole(store)


def test_staging_on_another_disk(tmp_path: Path) -> None:
    shared = "/dev/shm"
    if not os.access(shared, os.W_OK) or os.stat(shared).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("there is no second file system")
    elsewhere = Path(shared) / f"jackcapture-test-{os.getpid()}"
    Store.create_or_open(str(tmp_path))
    (tmp_path / "staging/blake3").rmdir()
    elsewhere.mkdir()
    try:
        (tmp_path / "staging/blake3").symlink_to(elsewhere)
        store = Store.create_or_open(str(tmp_path))
        assert store.staging_directory == str(elsewhere)
        assert store.seal(stage(store, DATA, room=8192), len(DATA)).is_new
        assert not store.seal(stage(store, DATA), len(DATA)).is_new
        assert_whole(store)
        assert os.listdir(elsewhere) == []
    finally:
        elsewhere.rmdir()


def test_a_symbolic_link_is_not_sealed(store: Store, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(DATA)
    victim.chmod(0o600)
    staging = store.create_staging(0)
    os.unlink(store.path(staging))
    os.symlink(victim, store.path(staging))
    with pytest.raises(StorageError):
        store.seal(staging, len(DATA))
    assert mode(victim) == 0o600


# Documents


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.create_or_open(str(tmp_path_factory.mktemp("store")))


@given(st.binary(max_size=5000))
def test_put_gives_back_what_was_put(shared_store: Store, data: bytes) -> None:
    sealed = shared_store.put(data)
    assert sealed.content.hash == blake3(data).hexdigest()
    assert sealed.bytes == len(data) == shared_store.stat(sealed.content).bytes
    assert read(shared_store, sealed.content) == data
    assert not shared_store.put(bytearray(data)).is_new


def test_put_takes_other_buffers(store: Store) -> None:
    view = memoryview(DATA)[::2]
    assert read(store, store.put(view).content) == DATA[::2]


def test_put_may_fail_at_every_call_and_leaves_no_staging_file(tmp_path: Path) -> None:
    numbers = itertools.count()
    seen = set()

    def attempt(files: Recorder) -> None:
        kind, files.fail_kind = files.fail_kind, ""
        store = Store.create_or_open(str(tmp_path / f"{next(numbers)}"), files=files)
        files.fail_kind = kind
        try:
            store.put(DATA)
        finally:
            assert os.listdir(store.staging_directory) == []
            assert_whole(store)

    for failure in failures([kind for kind in CHANGING if kind != "rmdir"], attempt):
        seen.add(failure.split()[0])
    assert {"write", "fallocate", "link", "fsync", "fsync_directory", "unlink"} <= seen


# Looking


@pytest.mark.parametrize("at_once", [1 << 20, 7])
def test_read_gives_a_part_of_a_file(tmp_path: Path, at_once: int) -> None:
    class Short(Files):
        def read(self, fd: int, buffer: bytearray | memoryview, position: int) -> int:
            return super().read(fd, memoryview(buffer)[:at_once], position)

    store = Store.create_or_open(str(tmp_path), files=Short())
    content = store.put(DATA).content
    assert store.read(content, 0, len(DATA)) == DATA
    assert store.read(content, 100, 50) == DATA[100:150]
    assert store.read(content, 5, 0) == b""
    with pytest.raises(StorageDamagedError, match=f"has {len(DATA)} bytes; {len(DATA) + 1} were expected"):
        store.read(content, 10, len(DATA) - 9)


def test_stat_open_exists(store: Store) -> None:
    sealed = store.put(DATA)
    staging = store.create_staging(9)
    assert store.stat(sealed.content).bytes == len(DATA)
    assert store.stat(sealed.content).mtime_ns == os.stat(store.path(sealed.content)).st_mtime_ns
    assert store.stat(staging).bytes == 9
    assert store.exists(staging)
    assert store.exists(sealed.content)
    fd = store.open(sealed.content)
    try:
        assert not os.get_inheritable(fd)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(fd, b"x")
    finally:
        os.close(fd)


@pytest.mark.parametrize("address", [Content("a" * 64), Staging("b" * 64), StagingOverview("b" * 64)])
def test_what_is_not_there(store: Store, address: CasAddress) -> None:
    assert not store.exists(address)
    with pytest.raises(NotFoundError, match=r"[ab]{64}"):
        store.stat(address)
    with pytest.raises(NotFoundError, match=r"[ab]{64}"):
        store.open(address)
    with pytest.raises(NotFoundError, match=r"[ab]{64}"):
        store.read(address, 0, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EROFS, errno.ENOENT, errno.ENOSPC])
def test_no_error_of_a_lower_layer_escapes(tmp_path: Path, kind: str, number: int) -> None:
    def use(store: Store) -> None:
        sealed = store.put(DATA)
        os.close(store.open(sealed.content))
        store.stat(sealed.content)
        store.exists(sealed.content)
        staging = store.create_staging(10, 10)
        store.read(sealed.content, 0, 10)
        list(store.iterate_content())
        list(store.iterate_staging())
        list(store.iterate_foreign())
        store.seal(staging, 5)
        store.discard(staging)
        store.free_bytes()

    for at in range(60):
        files = Recorder()
        files.fail(kind, at, number)
        try:
            use(Store.create_or_open(str(tmp_path / f"{at}"), files=files))
        except (StorageError, NotFoundError):
            assert files.failed
        if not files.failed:
            break


def test_iteration_is_sorted_and_keeps_foreign_things_apart(store: Store) -> None:
    contents = sorted(store.put(bytes([number])).content for number in range(50))
    stagings = sorted(store.create_staging(0) for _ in range(50))
    base = f"{store.root}/content/blake3"
    shard = os.path.dirname(store.path(contents[0]))
    foreign = [f"{base}/notes.txt", f"{base}/zz", f"{shard}/{'f' * 64}", f"{store.staging_directory}/.x"]
    os.mkdir(foreign[1])
    Path(foreign[1], "inside").touch()
    for path in (foreign[0], foreign[2], foreign[3]):
        Path(path).touch()
    Path(shard, f"{contents[0].hash[:4]}{'0' * 60}").mkdir()
    foreign.append(f"{shard}/{contents[0].hash[:4]}{'0' * 60}")
    assert list(store.iterate_content()) == contents
    assert list(store.iterate_staging()) == stagings
    assert sorted(store.iterate_foreign()) == sorted(foreign)


def test_iteration_goes_on_when_a_shard_goes_away(store: Store) -> None:
    stagings = sorted((store.create_staging(0) for _ in range(20)), reverse=True)
    found = []
    for staging in store.iterate_staging():
        found.append(staging)
        while stagings:
            store.discard(stagings.pop())
    assert len(found) <= 20


def test_free_bytes_is_the_smaller_of_both(tmp_path: Path) -> None:
    class Sized(Files):
        def free_bytes(self, path: str) -> int:
            return 5 if "/content/" in path else 7

    assert Store.create_or_open(str(tmp_path), files=Sized()).free_bytes() == 5


# Addresses

HEX = st.text(alphabet="0123456789abcdef", min_size=64, max_size=64)


@given(HEX)
def test_the_place_of_an_address(name: str) -> None:
    path = place("/base", name)
    assert path == f"/base/{name[0:2]}/{name[2:4]}/{name}"
    assert os.path.dirname(path) == shards("/base", name)[1]


@given(st.one_of(st.text(max_size=70), HEX.map(str.upper).filter(lambda text: not text.isdecimal())))
def test_what_is_no_address_cannot_be_named(text: str) -> None:
    with pytest.raises(InvalidValueError, match="must be 64 of the digits"):
        Content(text)
    with pytest.raises(InvalidValueError, match="must be 64 of the digits"):
        Staging(text)
    with pytest.raises(InvalidValueError, match="must be 64 of the digits"):
        StagingOverview(text)


@pytest.mark.parametrize("text", ["../" * 21 + "x", "a" * 63 + "\n", "a" * 64 + "\n", "٣" * 64, "A" * 64])
def test_no_address_leads_out_of_the_store(text: str) -> None:
    with pytest.raises(InvalidValueError):
        Content(text)
