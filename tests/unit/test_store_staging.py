"""Staging files and their overviews: what is made, removed, and left when a call fails."""

import errno
import os
from pathlib import Path

import pytest

from jackcapture.errors import (
    InvalidValueError,
    StorageError,
    StorageFullError,
)
from jackcapture.model.addresses import Staging, StagingOverview
from jackcapture.store import Files, Store
from parts.store_files import (
    DATA,
    Recorder,
    assert_whole,
    failures,
    mode,
    stage,
)


@pytest.fixture
def files() -> Recorder:
    return Recorder()


@pytest.fixture
def store(tmp_path: Path, files: Recorder) -> Store:
    return Store.create_or_open(str(tmp_path / "store"), files=files)


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
