"""Files outside the store come all or not at all, and what is copied is what was there."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackcapture.control import copying
from jackcapture.control.copying import STEP_BYTES, copy_range, new_file
from jackcapture.errors import ConflictError, InvalidValueError, StorageError, StorageFullError


class CancelledError(Exception):
    """Raised by the one who is told of the progress."""


def copied(folder: Path, data: bytes, offset: int, length: int, before: bytes) -> tuple[bytes, list[int]]:
    """Copy a range of `data` to the end of `before`."""
    steps: list[int] = []
    source_path, target_path = folder / "source", folder / "target"
    source_path.write_bytes(data)
    target_path.write_bytes(before)
    source, target = os.open(source_path, os.O_RDONLY), os.open(target_path, os.O_RDWR)
    try:
        copy_range(source, offset, target, len(before), length, steps.append)
    finally:
        os.close(source)
        os.close(target)
    return target_path.read_bytes(), steps


# --- copy_range


def refuse(*_: object) -> int:
    raise OSError(errno.EXDEV, "not across file systems")


@pytest.mark.parametrize("across", [False, True])
def test_any_range_arrives_at_its_offset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, across: bool) -> None:
    monkeypatch.setattr(copying, "STEP_BYTES", 100)
    if across:
        monkeypatch.setattr(os, "copy_file_range", refuse)
    data = os.urandom(1000)

    @settings(deadline=None, max_examples=60)
    @given(st.integers(0, 1000), st.integers(0, 1000), st.binary(max_size=50))
    def check(first: int, last: int, before: bytes) -> None:
        first, last = sorted((first, last))
        result, steps = copied(tmp_path, data, first, last - first, before)
        assert result == before + data[first:last]
        assert sum(steps) == last - first
        assert all(step <= 100 for step in steps)

    check()


def test_more_than_one_step_arrives_whole(tmp_path: Path) -> None:
    data = os.urandom(4096) * (2 * STEP_BYTES // 4096) + b"the end"
    result, steps = copied(tmp_path, data, 5, len(data) - 5, b"before")
    assert result == b"before" + data[5:]
    assert len(steps) >= 3


def test_a_source_that_is_too_short_is_an_error_and_no_endless_loop(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="ends 5 bytes too early"):
        copied(tmp_path, b"0123456789", 5, 10, b"")


def test_an_error_that_is_not_about_the_way_of_copying_is_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "copy_file_range", full)
    with pytest.raises(OSError, match="full"):
        copied(tmp_path, b"data", 0, 4, b"")


def test_who_is_told_may_cancel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "STEP_BYTES", 10)
    (tmp_path / "source").write_bytes(bytes(100))
    steps: list[int] = []

    def moved(step: int) -> None:
        steps.append(step)
        if len(steps) == 3:
            raise CancelledError

    source = os.open(tmp_path / "source", os.O_RDONLY)
    try:
        with pytest.raises(CancelledError), new_file(str(tmp_path / "new")) as target:
            copy_range(source, 0, target, 0, 100, moved)
    finally:
        os.close(source)
    assert steps == [10, 10, 10]
    assert os.listdir(tmp_path) == ["source"]


# --- new_file


def write_half(path: Path, failure: Exception) -> None:
    with new_file(str(path)) as target:
        os.write(target, b"half")
        raise failure


def test_the_file_is_there_after_the_block_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "new.wav"
    with new_file(str(path)) as target:
        os.write(target, b"bytes")
        assert not path.exists()
    assert path.read_bytes() == b"bytes"
    assert os.listdir(tmp_path) == ["new.wav"]


def test_the_file_has_the_rights_that_the_user_gives_to_new_files(tmp_path: Path) -> None:
    with new_file(str(tmp_path / "new")):
        pass
    (tmp_path / "other").touch()
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, StorageFullError), (errno.EDQUOT, StorageFullError), (errno.EIO, StorageError)]
)
def test_a_failing_disk_is_told_and_leaves_nothing(tmp_path: Path, number: int, error: type[Exception]) -> None:
    with pytest.raises(error, match="new cannot be written"):
        write_half(tmp_path / "new", OSError(number, os.strerror(number)))
    assert os.listdir(tmp_path) == []


def test_any_other_failure_goes_through_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(CancelledError):
        write_half(tmp_path / "new", CancelledError())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "directory", "dangling link"])
def test_what_is_there_is_never_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "there"
    if kind == "file":
        path.write_bytes(b"precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConflictError, match="exists already"), new_file(str(path)):
        pytest.fail("the block must not run")
    assert os.listdir(tmp_path) == ["there"]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_came_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "new"
    with pytest.raises(ConflictError, match="exists already"), new_file(str(path)):
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["new"]


def test_without_hard_links_the_file_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links")

    monkeypatch.setattr(os, "link", no_links)
    with new_file(str(tmp_path / "new")) as target:
        os.write(target, b"bytes")
    assert (tmp_path / "new").read_bytes() == b"bytes"
    assert os.listdir(tmp_path) == ["new"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("new.wav", "not an absolute path"),
        ("", "not an absolute path"),
        ("/with\0zero", "not an absolute path"),
        ("{}/missing/new.wav", "missing is not a directory"),
        ("{}/file/new.wav", "file is not a directory"),
    ],
)
def test_a_path_that_cannot_be_a_new_file_is_refused_with_the_reason(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidValueError, match=reason), new_file(path.format(tmp_path)):
        pytest.fail("the block must not run")
