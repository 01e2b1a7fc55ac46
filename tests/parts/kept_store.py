"""A small store in which all is right: audio and MIDI, several takes, gaps, slices, a pin, and chunks that are gone."""

import os
import sqlite3
import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jackcapture.catalog import Catalog, SealedChunk
from jackcapture.control.contents import Contents
from jackcapture.control.documents import enter_definition, enter_manifest
from jackcapture.control.garbage import collect
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.slices.requests import SliceOptions, SliceRequest
from jackcapture.control.slices.slicer import Slicer
from jackcapture.model.retention import KEEP_ALL, Hold, HolderKind, Retention
from jackcapture.model.streams import AudioFormat, MidiFormat, SampleFormat, StreamDefinition
from jackcapture.model.takes import Chunk, Gap, GapCause, Latency, Take
from jackcapture.model.uris import StreamUri, parse_stream_uri
from jackcapture.settings import Settings
from jackcapture.store import Store
from parts.tape import BEGIN_NS, RATE, Tape, definition, moment

MAIN = parse_stream_uri("stream://desk/main")
SHORT = parse_stream_uri("stream://desk/short")
KEYS = parse_stream_uri("stream://desk/keys")
IDLE = parse_stream_uri("stream://desk/idle")
"""Its streams: two takes with slices; one that keeps three chunks only; MIDI; and one that never recorded."""

STEREO = AudioFormat(RATE, 2, SampleFormat.I16)


def make_store(root: Path) -> None:
    """Make the store at `root`."""
    store = Store.create_or_open(str(root))
    catalog = Catalog(str(root / "catalog.db"), store.uuid)
    contents = Contents(store, catalog)
    try:
        main = _tape(store, catalog, contents, definition(STEREO, MAIN))
        for _ in range(2):
            main.begin()
            _record(main, 100, 300, 50)
            main.catalog.note_latencies(MAIN, main.number, [Latency(3, 5), Latency()])
            main.end()
            enter_manifest(store, contents, catalog, main.stream.record)
        for options in (SliceOptions("wav"), SliceOptions("raw"), SliceOptions("wav", is_virtual=True)):
            request = SliceRequest(main.stream, None, 120, 600, options, "here to there")
            Slicer(store, catalog, contents).cut(request, lambda *_: None)
        catalog.keeping.add_pin(Hold(MAIN, HolderKind.PIN, "intro", 10, 200, BEGIN_NS))

        short = _tape(store, catalog, contents, definition(STEREO, SHORT))
        short.begin()
        _record(short, 64, 64, 64, 64, 64, 64)
        catalog.keeping.set_retention(SHORT, Retention(keep_chunks=3))
        short.stream.record = replace(short.stream.record, retention=Retention(keep_chunks=3))
        collect(catalog, contents, [short.stream.record])
        short.end()
        enter_manifest(store, contents, catalog, short.stream.record)

        _make_midi(store, catalog, contents)
        enter_definition(contents, catalog, definition(STEREO, IDLE), KEEP_ALL)
    finally:
        catalog.close()


def _tape(store: Store, catalog: Catalog, contents: Contents, described: StreamDefinition) -> Tape:
    record = enter_definition(contents, catalog, described, KEEP_ALL)
    return Tape(store, catalog, ManagedStream(record), has_overviews=True)


def _record(tape: Tape, *lengths: int) -> None:
    for number, length in enumerate(lengths):
        first = tape.frames
        gaps = [Gap(first + 10, 5, GapCause.XRUN), Gap(first + 20, 4, GapCause.RING_OVERFLOW)] if number == 1 else []
        clocks = [moment(first, tape.number), moment(first + length // 2, tape.number)]
        clocks = [replace(at, jack_frame=at.sample_position + 1000) for at in clocks]
        tape.seal(tape.full(os.urandom(length * tape.frame_bytes), gaps=gaps, clocks=clocks))


def _make_midi(store: Store, catalog: Catalog, contents: Contents) -> None:
    record = enter_definition(contents, catalog, StreamDefinition(KEYS, "desk", MidiFormat(RATE), 1 << 16), KEEP_ALL)
    catalog.begin_take(Take(KEYS, 1, 5000, 0, None, BEGIN_NS, None))
    for index in range(2):
        first = index * 1000
        data = b"".join(
            struct.pack("<QI", position, 3) + bytes([0x90, 60, 1 + position % 100])
            for position in range(first + 5, first + 1000, 100)
        )
        content = store.put(data).content
        chunk = Chunk(index, first, 1000, len(data), BEGIN_NS)
        catalog.add_chunk(KEYS, SealedChunk(1, chunk, content))
    catalog.end_take(KEYS, 1, 2000, BEGIN_NS, "")
    enter_manifest(store, contents, catalog, record)


@dataclass(frozen=True)
class KeptStore:
    """A copy of that store, to be damaged. Its catalog is read and changed as SQLite has it."""

    root: Path

    @property
    def catalog(self) -> Path:
        return self.root / "catalog.db"

    @property
    def settings(self) -> Settings:
        return Settings(root=str(self.root), runtime=str(self.root.parent / "run"))

    def query(self, statement: str, *values: Any) -> list[Any]:
        """Run one statement; give its rows, or their only column."""
        connection = sqlite3.connect(self.catalog)
        try:
            connection.execute("PRAGMA synchronous = OFF")
            with connection:
                rows = connection.execute(statement, values).fetchall()
        finally:
            connection.close()
        return [row[0] if len(row) == 1 else row for row in rows]

    def chunk(self, uri: StreamUri = MAIN, take: int = 1, index: int = 1, column: str = "content_hash") -> str:
        """The content hash of a chunk, or of its overview."""
        found: str = self.query(
            f"SELECT chunks.{column} FROM chunks JOIN takes ON takes.id = take_id"
            " JOIN streams ON streams.id = stream_id WHERE uri = ? AND number = ? AND chunk_index = ?",
            uri, take, index,
        )[0]  # fmt: skip
        return found

    def artifact(self, kind: str, uri: StreamUri = MAIN, column: str = "content_hash") -> str:
        """A column of the newest artifact of a kind."""
        found: str = self.query(
            f"SELECT {column} FROM artifacts WHERE kind = ? AND stream_uri = ? ORDER BY created_at_ns DESC LIMIT 1",
            kind, uri,
        )[0]  # fmt: skip
        return found

    @staticmethod
    def address(name: str) -> str:
        """Where content lies in the store."""
        return f"content/blake3/{name[:2]}/{name[2:4]}/{name}"

    def path(self, name: str) -> Path:
        """Where content lies."""
        return self.root / self.address(name)

    def rewrite(self, name: str, data: bytes) -> None:
        """Change the bytes of content, as a disk would."""
        path = self.path(name)
        path.chmod(0o600)
        path.write_bytes(data)
        path.chmod(0o444)

    def add(self, name: str, data: bytes) -> Path:
        """Add a file under the name of content."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o444)
        return path

    def files(self) -> dict[str, bytes]:
        """All content, by its names."""
        return {path.name: path.read_bytes() for path in (self.root / "content").rglob("*") if path.is_file()}

    def forget(self, *names: str) -> None:
        """Remove content."""
        for name in names:
            self.path(name).unlink()

    def staging(self, name: str, data: bytes = b"x" * 100) -> str:
        """Add a file to staging; give its address."""
        address = f"staging/blake3/{name[:2]}/{name[2:4]}/{name}"
        (self.root / address).parent.mkdir(parents=True, exist_ok=True)
        (self.root / address).write_bytes(data)
        return address


def kinds_of(problems: Iterable[Any]) -> list[tuple[str, str]]:
    """The kinds and addresses of problems."""
    return [(problem.kind, problem.address) for problem in problems]
