"""Documents, reading, looking, and addresses."""

import errno
import itertools
import os
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from jackcapture.errors import (
    InvalidValueError,
    NotFoundError,
    StorageDamagedError,
    StorageError,
)
from jackcapture.model.addresses import CasAddress, Content, Staging, StagingOverview
from jackcapture.store import Files, Store
from jackcapture.store.layout import place, shards
from parts.store_files import (
    CHANGING,
    DATA,
    KINDS,
    Recorder,
    assert_whole,
    failures,
    read,
)


@pytest.fixture
def files() -> Recorder:
    return Recorder()


@pytest.fixture
def store(tmp_path: Path, files: Recorder) -> Store:
    return Store.create_or_open(str(tmp_path / "store"), files=files)


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
