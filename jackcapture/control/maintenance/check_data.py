"""Reads all content and compares it with its names, as fast as the disk gives it. Blocks.

What was read is dropped from the page cache again: a check of a terabyte must not push out what the machine works with.
"""

import contextlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from blake3 import blake3

from jackcapture.catalog.audit import Audit
from jackcapture.control.maintenance.check_content import content_path
from jackcapture.control.maintenance.check_place import CheckPlace
from jackcapture.errors import StorageDamagedError
from jackcapture.formats.midi_records import iterate_records
from jackcapture.model.checks import ProblemKind
from jackcapture.store.survey import SHARDS, Found, Survey

_THREADS = 4
"""Files that are read side by side: so the disk has always something to do. Hashing runs outside the interpreter."""

_PIECE = 1 << 20
_AHEAD = 64  # files that are handed out before their results are looked at


def check_data(place: CheckPlace, audit: Audit | None, survey: Survey, total: int) -> None:
    """Hash every file of content, and read every chunk of MIDI; `total` bytes are told as what there is to do."""
    done = 0
    waiting: deque[tuple[Found, Future[str | None]]] = deque()

    def take() -> None:
        nonlocal done
        found, future = waiting.popleft()
        wrong = future.result()
        if wrong is not None and survey.look(found) is not None:
            kind, _, message = wrong.partition(" ")
            place.problems.add(ProblemKind(kind), found.path, message)
        done += found.status.st_size
        place.progress(done, max(done, total), "bytes")
        place.go_on()

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="check") as threads:
        try:
            for shard in SHARDS:
                for found in survey.content(shard):
                    if found.is_file and found.is_in_place and found.name is not None:
                        waiting.append((found, threads.submit(_compare, survey.path(found.path), found.name)))
                    if len(waiting) > _AHEAD:
                        take()
                if audit is not None:
                    _check_midi(place, audit, survey, shard)
            while waiting:
                take()
        finally:
            for _, future in waiting:
                future.cancel()


def _compare(path: str, name: str) -> str | None:
    """Give what is wrong with a file, its kind first; None if its bytes are those that its name says."""
    try:
        found = hash_file(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{ProblemKind.CONTENT_UNREADABLE} it cannot be read: {error.strerror}"
    if found == name:
        return None
    return f"{ProblemKind.CONTENT_DAMAGED} its bytes are not those that were stored: they have the hash {found}"


def hash_file(path: str) -> str:
    """Give the BLAKE3 hash of a file, and leave nothing of it in the page cache. Raises OSError."""
    hasher = blake3()
    buffer = memoryview(bytearray(_PIECE))
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while length := os.readv(descriptor, [buffer]):
            hasher.update(buffer[:length])
        with contextlib.suppress(OSError):  # some file systems keep nothing
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
    return hasher.hexdigest()


def _check_midi(place: CheckPlace, audit: Audit, survey: Survey, shard: str) -> None:
    following = f"{int(shard, 16) + 1:02x}" if shard != SHARDS[-1] else "g"
    for need in audit.needs(shard, following):
        if need.midi_range is None:
            continue
        path = content_path(need.content_hash)
        with contextlib.suppress(OSError):  # told already
            for wrong in _wrong_in_records(_read(survey.path(path)), *need.midi_range):
                place.problems.add(ProblemKind.MIDI_MALFORMED, path, f"{need.owner}: {wrong}")


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _wrong_in_records(data: bytes, first_sample: int, end_sample: int) -> Iterator[str]:
    before = first_sample
    try:
        for position, _ in iterate_records(data):
            if not before <= position < end_sample:
                yield f"an event at {position}: it must lie in {before} to {end_sample - 1}"
                return
            before = position
    except StorageDamagedError as error:
        yield error.message
