"""A store whose file calls are noted and may fail, and ways to look at its files."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from blake3 import blake3

from jackcapture.errors import (
    StorageFullError,
)
from jackcapture.model.addresses import CasAddress, Staging
from jackcapture.store import Files, Store

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
