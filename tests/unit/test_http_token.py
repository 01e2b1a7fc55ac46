"""The token of the HTTP door: made once, for its owner alone."""

import os
import threading
from pathlib import Path

import pytest

from jackcapture.errors import InvalidValueError, StorageError
from jackcapture.processes.http_token import ensure_token


def test_it_is_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "config" / "mcp-token"
    token = ensure_token(str(path))
    assert len(token) >= 43
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert ensure_token(str(path)) == token
    assert os.listdir(path.parent) == ["mcp-token"]


def test_whoever_makes_it_at_the_same_time_has_the_same(tmp_path: Path) -> None:
    path, found = str(tmp_path / "mcp-token"), set()
    threads = [threading.Thread(target=lambda: found.add(ensure_token(path))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o700 | 0o070])
def test_one_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "mcp-token"
    token = ensure_token(str(path))
    path.chmod(mode)
    with pytest.raises(InvalidValueError, match="with mode 0600") as caught:
        ensure_token(str(path))
    assert token not in str(caught.value)


@pytest.mark.parametrize("text", ["", "short", "x" * 300, "ü" * 40, "a b" * 20, "x" * 40 + "\n" + "y" * 40])
def test_a_file_that_holds_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mcp-token"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(InvalidValueError, match="holds no token: it must be 32 to 256 characters"):
        ensure_token(str(path))


def test_where_none_can_be_made_the_reason_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"File exists|Not a directory"):
        ensure_token(str(tmp_path / "file" / "mcp-token"))
    with pytest.raises((StorageError, InvalidValueError)):
        ensure_token(str(tmp_path))
