"""Making and opening a store."""

import json
import os
from pathlib import Path

import pytest

from jackcapture.errors import (
    ConflictError,
    InvalidValueError,
    StorageDamagedError,
    StorageError,
    StorageFullError,
)
from jackcapture.store import Files, Store
from parts.store_files import CHANGING, DATA, Recorder, failures, mode, read


@pytest.fixture
def files() -> Recorder:
    return Recorder()


@pytest.fixture
def store(tmp_path: Path, files: Recorder) -> Store:
    return Store.create_or_open(str(tmp_path / "store"), files=files)


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
