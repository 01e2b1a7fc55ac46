"""Chunks from their making to their row: with their overview, whatever ends control in the middle."""

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jackcapture.catalog import Catalog, SealedChunk
from jackcapture.control.chunk_supply import ChunkSupply
from jackcapture.control.contents import Contents
from jackcapture.control.garbage import collect
from jackcapture.errors import StorageFullError
from jackcapture.formats.overview import blocks_of
from jackcapture.formats.samples import decode_samples
from jackcapture.model.addresses import Content, Staging, StagingOverview, staging_of
from jackcapture.model.overviews import overview_path
from jackcapture.model.retention import Retention
from jackcapture.model.streams import MidiFormat, StreamDefinition
from jackcapture.model.uris import parse_stream_uri
from jackcapture.protocol.messages import StreamChunkFull
from jackcapture.settings import Settings
from jackcapture.store import Files, Store
from parts.tape import RATE, Tape, new_tape

FRAMES = 700
LOOKING = {"access", "close", "free_bytes", "fstat", "read", "realpath", "scandir", "stat"}


class PowerCutError(BaseException):
    """Ends everything that is under way."""


class Mortal(Files):
    """File calls of which the first `left` change something; nothing works from then on."""

    def __init__(self) -> None:
        self.left = 1 << 30
        for kind in sorted(name for name in vars(Files) if not name.startswith("_")):
            if kind not in LOOKING:
                setattr(self, kind, self._counted(getattr(Files, kind)))

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            if self.left == 0:
                raise PowerCutError
            self.left -= 1
            return call(self, *arguments)

        return counted


@pytest.fixture
def tape(tmp_path: Path) -> Iterator[Tape]:
    with new_tape(tmp_path / "store") as made:
        made.has_overviews = True
        made.begin()
        yield made


def noise() -> bytes:
    return os.urandom(FRAMES * 4)


def supply_of(store: Store, catalog: Catalog, tmp_path: Path) -> ChunkSupply:
    return ChunkSupply(Settings(root=store.root, runtime=str(tmp_path)), store, catalog, Contents(store, catalog))


def seal(tape: Tape, full: StreamChunkFull, tmp_path: Path, store: Store | None = None) -> SealedChunk:
    """Have control seal a chunk, after a restart if another store is given."""
    supply = supply_of(store or tape.store, tape.catalog, tmp_path)
    try:
        sealed = asyncio.run(supply.seal(full))
        assert sealed is not None
        return sealed
    finally:
        supply.close()


def true_overview(tape: Tape) -> bytes:
    """The overview of the first chunk."""
    samples = decode_samples(bytes(tape.truth[: FRAMES * 4]), tape.stream.definition.audio)
    return blocks_of(samples).astype("<f4").tobytes()


def check(tape: Tape, sealed: SealedChunk) -> None:
    """The chunk and its overview are in the catalog and in the store."""
    row = tape.catalog.chunk(tape.stream.uri, 1, 0)
    assert (row.content, row.overview, row.chunk.samples) == (sealed.content, sealed.overview, FRAMES)
    assert Path(tape.store.path(sealed.content)).read_bytes() == tape.truth
    assert sealed.overview is not None
    assert Path(tape.store.path(sealed.overview)).read_bytes() == true_overview(tape)
    assert list(tape.store.iterate_foreign()) == []


def test_a_chunk_is_made_with_room_for_its_overview_and_discarded_with_it(tape: Tape, tmp_path: Path) -> None:
    supply = supply_of(tape.store, tape.catalog, tmp_path)
    path = asyncio.run(supply.make(tape.stream.definition))
    assert os.path.getsize(path) == 4096
    assert os.path.getsize(overview_path(path)) == 4 * 2 * 12  # 1024 frames of two channels
    asyncio.run(supply.discard(path))
    midi = StreamDefinition(parse_stream_uri("stream://desk/midi"), "desk", MidiFormat(RATE), 1 << 16)
    path = asyncio.run(supply.make(midi))
    assert not os.path.exists(overview_path(path))
    asyncio.run(supply.discard(path))
    assert os.listdir(tape.store.staging_directory) == []
    supply.close()


def test_a_full_disk_is_told_with_the_bytes_of_both(
    tape: Tape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supply = supply_of(tape.store, tape.catalog, tmp_path)
    status = os.statvfs_result((4096, 4096, 1000, 1, 1, 0, 0, 0, 0, 255))  # one block is free
    monkeypatch.setattr(os, "statvfs", lambda _: status)
    with pytest.raises(StorageFullError, match="it needs 4192 bytes, 4096 are free") as caught:
        asyncio.run(supply.make(tape.stream.definition))
    assert caught.value.details["bytes_needed"] == 4192
    supply.close()


def test_a_chunk_is_sealed_with_what_is_valid_of_its_overview(tape: Tape, tmp_path: Path) -> None:
    sealed = seal(tape, tape.full(noise()), tmp_path)
    check(tape, sealed)
    assert os.listdir(tape.store.staging_directory) == []


def test_a_power_cut_at_any_moment_loses_neither_chunk_nor_overview(tmp_path: Path) -> None:
    for calls in range(1000):
        with new_tape(tmp_path / f"{calls}") as tape:
            tape.has_overviews = True
            tape.begin()
            full = tape.full(noise())
            files = Mortal()
            store = Store.create_or_open(tape.store.root, files=files)
            files.left = calls
            try:
                sealed = seal(tape, full, tmp_path, store)
                files.left = 1 << 30
            except PowerCutError:
                # Either the row is there, or the chunk is found with all that belongs to it, and is sealed again.
                rows = tape.catalog.chunks(tape.stream.uri, 0, FRAMES)
                assert rows or os.path.exists(full.path)
                assert rows or os.path.exists(overview_path(full.path))
                # Content without a row has a name in staging, by which it is found.
                staged = {os.stat(tape.store.path(it)).st_ino for it in tape.store.iterate_staging()}
                for content in tape.store.iterate_content():
                    is_found = os.stat(tape.store.path(content)).st_ino in staged
                    assert is_found or tape.catalog.keeping.is_needed(content)
                sealed = seal(tape, full, tmp_path)
            check(tape, sealed)
            # What was being put is an orphan in staging, and nothing else is.
            orphans = list(tape.store.iterate_staging())
            assert staging_of(full.path) not in orphans
            assert len(orphans) <= 1
            assert not any(tape.store.exists(StagingOverview(orphan.id)) for orphan in orphans)
            if files.left:
                break
    assert calls > 20


def test_a_row_that_is_there_is_left_as_it_is(tape: Tape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = tape.full(noise())

    discard = tape.store.discard

    def fail(staging: Staging) -> None:
        if staging == staging_of(full.path):
            raise PowerCutError
        discard(staging)

    with monkeypatch.context() as patch:
        patch.setattr(tape.store, "discard", fail)
        with pytest.raises(PowerCutError):
            seal(tape, full, tmp_path)
    assert os.path.exists(overview_path(full.path))
    check(tape, seal(tape, full, tmp_path))
    assert os.listdir(tape.store.staging_directory) == []


@pytest.mark.parametrize("damage", ["missing", "short", "full disk"])
def test_a_chunk_is_sealed_without_an_overview_and_control_says_so(
    tape: Tape, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: bytes) -> None:
        raise StorageFullError("no room", path=full.path)

    full = tape.full(noise())
    if damage == "missing":
        os.unlink(overview_path(full.path))
    elif damage == "short":
        os.truncate(overview_path(full.path), 71)  # of three blocks of 24 bytes
    else:
        monkeypatch.setattr(tape.store, "stage", fail)
    with caplog.at_level(logging.WARNING):
        sealed = seal(tape, full, tmp_path)
    assert sealed.overview is None
    assert tape.catalog.chunk(tape.stream.uri, 1, 0).overview is None
    assert "chunk 0 of take 1 is sealed without an overview" in caplog.text
    assert os.listdir(tape.store.staging_directory) == []


def test_equal_overviews_are_stored_once(tape: Tape, tmp_path: Path) -> None:
    """As those of silence are, which differ by nothing but their length."""
    overviews = set()
    for turn in range(3):
        tape.truth.clear()
        full = tape.full(bytes(FRAMES * 4))
        sealed = seal(tape, StreamChunkFull(**{**_fields(full), "chunk_index": turn}), tmp_path)
        overviews.add(sealed.overview)
    assert overviews == {Content(tape.store.put(np.zeros((3, 2, 3), "<f4").tobytes()).content.hash)}


def _fields(full: StreamChunkFull) -> dict[str, Any]:
    return {name: getattr(full, name) for name in full.__dataclass_fields__}


def test_a_chunk_that_retention_has_removed_is_not_sealed_again(tape: Tape, tmp_path: Path) -> None:
    """Control was killed before it could let the engine forget it; the next one hears of it again."""
    fulls = [tape.full(noise()) for _ in range(2)]
    for full in fulls:
        seal(tape, full, tmp_path)
    retention = Retention(keep_chunks=1)
    tape.catalog.keeping.set_retention(tape.stream.uri, retention)
    collect(tape.catalog, Contents(tape.store, tape.catalog), [tape.catalog.stream(tape.stream.uri)])
    before = set(tape.store.iterate_content())
    supply = supply_of(tape.store, tape.catalog, tmp_path)
    try:
        assert asyncio.run(supply.seal(fulls[0])) is None
    finally:
        supply.close()
    assert set(tape.store.iterate_content()) == before
