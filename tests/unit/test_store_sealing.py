"""Sealing: from a staging file to content, in which order, and what is left when a call fails."""

import errno
import itertools
import os
import threading
from pathlib import Path

import pytest
from blake3 import blake3

from jackcapture.errors import (
    ConflictError,
    NotFoundError,
    StorageDamagedError,
    StorageError,
    StorageFullError,
)
from jackcapture.model.addresses import Content, Staging
from jackcapture.store import Files, Sealed, Store
from jackcapture.store.layout import shards
from parts.store_files import (
    CHANGING,
    DATA,
    LOOKING,
    Recorder,
    assert_whole,
    descriptors,
    failures,
    mode,
    read,
    stage,
)


@pytest.fixture
def files() -> Recorder:
    return Recorder()


@pytest.fixture
def store(tmp_path: Path, files: Recorder) -> Store:
    return Store.create_or_open(str(tmp_path / "store"), files=files)


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
