"""A tape without an engine: a store and a catalog with takes whose chunks are sealed, pending or in progress."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jackcapture.catalog import Catalog, SealedChunk
from jackcapture.control.contents import Contents
from jackcapture.control.documents import enter_definition
from jackcapture.control.managed_stream import LiveTake, ManagedStream
from jackcapture.formats.overview import blocks_of
from jackcapture.formats.samples import decode_samples
from jackcapture.model.addresses import Staging, StagingOverview
from jackcapture.model.overviews import overview_bytes
from jackcapture.model.retention import KEEP_ALL
from jackcapture.model.streams import AudioFormat, SampleFormat, StreamDefinition
from jackcapture.model.takes import Chunk, ClockSnapshot, Gap, StreamStatus, Take
from jackcapture.model.uris import parse_stream_uri
from jackcapture.protocol.messages import ChunkInProgress, StreamChunkFull, StreamState
from jackcapture.store import Store

RATE = 48_000
BEGIN_NS = 1_700_000_000_000_000_000
SPARE_BYTES = 4096


def moment(position: int, take: int = 1) -> ClockSnapshot:
    """An exact observation: every take begins a day after the one before."""
    ns = (take - 1) * 86_400 * 10**9 + position * 10**9 // RATE
    return ClockSnapshot(position, position + 1000, ns // 1000, BEGIN_NS + ns)


def definition(audio: AudioFormat, uri: str = "stream://desk/main", chunk_size: int = 4096) -> StreamDefinition:
    """A stream of this format."""
    return StreamDefinition(parse_stream_uri(uri), "desk", audio, chunk_size)


@dataclass
class Tape:
    """One stream in `store` and `catalog`; `truth` are the bytes of all positions from 0.

    While `has_overviews`, new chunks have an overview.
    """

    store: Store
    catalog: Catalog
    stream: ManagedStream
    truth: bytearray = field(default_factory=bytearray)
    state: StreamState | None = None
    take: Take | None = None
    fulls: dict[int, StreamChunkFull] = field(default_factory=dict)
    has_overviews: bool = False

    @property
    def frame_bytes(self) -> int:
        return self.stream.definition.audio.frame_bytes

    @property
    def frames(self) -> int:
        return len(self.truth) // self.frame_bytes

    @property
    def number(self) -> int:
        assert self.take is not None
        return self.take.number

    def begin(self) -> None:
        """Begin the next take."""
        number = 1 if self.take is None else self.take.number + 1
        self.take = Take(self.stream.uri, number, self.frames + 1000, self.frames, None, BEGIN_NS, None)
        self.catalog.begin_take(self.take)
        self.fulls = {}
        live = LiveTake(number, self.take.start_frame, self.take.first_sample, "engine", next_sample=self.frames)
        self.stream.take = live

    def write(self, data: bytes, room: int = SPARE_BYTES) -> Staging:
        """Append a chunk of `data` in staging that has more room than it needs."""
        overview = self._overview(data) if self.has_overviews else b""
        staging = self.store.create_staging(len(data) + room, len(overview) and len(overview) + room)
        for address, written in ((staging, data), (StagingOverview(staging.id), overview)):
            if written:
                with Path(self.store.path(address)).open("r+b") as file:
                    file.write(written)
        self.truth += data
        return staging

    def _overview(self, data: bytes) -> bytes:
        return blocks_of(decode_samples(data, self.stream.definition.audio)).astype("<f4").tobytes()

    def full(self, data: bytes, gaps: Sequence[Gap] = (), clocks: Sequence[ClockSnapshot] = ()) -> StreamChunkFull:
        """Append a full chunk that is pending."""
        first = self.frames
        live = self.stream.take
        assert live is not None
        path = self.store.path(self.write(data))
        samples = len(data) // self.frame_bytes
        full = StreamChunkFull(
            self.stream.uri, path, len(data), samples, BEGIN_NS, self.number, live.next_index, first,
            tuple(gaps), tuple(clocks),
        )  # fmt: skip
        self.fulls[full.chunk_index] = live.pending[full.chunk_index] = full
        live.next_index += 1
        live.next_sample += samples
        return full

    def seal(self, full: StreamChunkFull) -> SealedChunk:
        """Seal a pending chunk, in the order in which control does it."""
        staging = Staging(os.path.basename(full.path))
        overview, size = None, 0
        if self.store.exists(StagingOverview(staging.id)):
            size = overview_bytes(full.samples_written, self.stream.definition.audio.channels)
            overview = self.store.put(self.store.read(StagingOverview(staging.id), 0, size)).content
        content = self.store.seal(staging, full.bytes_written, keep_name=True).content
        chunk = Chunk(
            full.chunk_index, full.first_sample, full.samples_written, full.bytes_written, full.wall_clock_ns,
            full.gaps, full.clocks,
        )  # fmt: skip
        sealed = SealedChunk(full.take_number, chunk, content, overview)
        self.catalog.add_chunk(self.stream.uri, sealed, overview_bytes=size)
        self.store.discard(staging)
        if self.stream.take is not None:
            self.stream.take.pending.pop(full.chunk_index, None)
        return sealed

    def progress(self, data: bytes, done: Sequence[StreamChunkFull] = (), clocks: Sequence[ClockSnapshot] = ()) -> None:
        """Append a chunk in progress, as the engine tells of it in its state, with the chunks it holds still."""
        live, first = self.stream.take, self.frames
        assert live is not None
        path = self.store.path(self.write(data))
        chunk = ChunkInProgress(path, live.next_index, first, self.frames - first, len(data))
        self.state = StreamState(
            self.stream.uri, StreamStatus.RECORDING, self.stream.definition, live.number, live.start_frame,
            live.first_sample, self.frames, chunk=chunk, chunks_done=tuple(done), clocks=tuple(clocks),
        )  # fmt: skip

    def end(self) -> None:
        """Seal what is pending or in progress and end the take."""
        assert self.take is not None
        if self.state is not None and self.state.take_number == self.take.number:
            at = self.state.chunk
            self.seal(
                StreamChunkFull(
                    self.stream.uri, at.path, at.bytes, at.samples, BEGIN_NS, self.number, at.index, at.first_sample,
                    self.state.gaps, self.state.clocks,
                )
            )  # fmt: skip
        for full in list(self.stream.take.pending.values()) if self.stream.take else ():
            self.seal(full)
        self.catalog.end_take(self.stream.uri, self.number, self.frames - self.take.first_sample, BEGIN_NS, "")
        self.stream.take = None


@contextlib.contextmanager
def new_tape(root: Path, audio: AudioFormat | None = None) -> Iterator[Tape]:
    """A tape with a stream that has recorded nothing."""
    store = Store.create_or_open(str(root))
    catalog = Catalog(str(root / "catalog.db"), store.uuid)
    try:
        described = definition(audio or AudioFormat(RATE, 2, SampleFormat.I16))
        yield Tape(
            store, catalog, ManagedStream(enter_definition(Contents(store, catalog), catalog, described, KEEP_ALL))
        )
    finally:
        catalog.close()
