"""What it costs to watch a triggered session of 64 channels, looked at as often as control looks."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.measuring import Row, figure
from benchmarks.workspace import Workspace
from jackcapture.catalog import Catalog
from jackcapture.control.contents import Contents
from jackcapture.control.documents import enter_definition
from jackcapture.control.managed_stream import LiveTake, ManagedStream
from jackcapture.control.sessions.segment_watch import SegmentWatch, watch_of
from jackcapture.control.sessions.settings import SessionSettings, settings_as_json
from jackcapture.control.sessions.watched_streams import live_view
from jackcapture.control.sessions.watching import LOOK_SECONDS
from jackcapture.model.addresses import StagingOverview
from jackcapture.model.overviews import overview_blocks, overview_bytes
from jackcapture.model.retention import KEEP_ALL
from jackcapture.model.sessions import Segment, SegmentClock, SegmentRange, Session, SessionMode, SessionStatus
from jackcapture.model.streams import AudioFormat, StreamDefinition
from jackcapture.model.takes import Take
from jackcapture.model.uris import StreamUri, parse_stream_uri
from jackcapture.store import Store

RATE = 48_000
CHANNELS = 64
_SECONDS = 20
_STEP = int(RATE * LOOK_SECONDS)
_ID = "session-0123456789ab"
_QUIET, _LOUD = 0.001, 0.5


@dataclass
class _Recorded:
    """Streams whose chunk in progress has the overview of `_SECONDS` already; the engine tells of it bit by bit."""

    store: Store
    catalog: Catalog
    streams: dict[StreamUri, ManagedStream]

    def look(self, watch: SegmentWatch | None, head: int) -> SegmentWatch:
        """Look once, as control does, when so many frames are there."""
        for stream in self.streams.values():
            assert stream.take is not None
            stream.take.head_sample = head
        [watched] = self.catalog.suggestions.under_way()
        watch = watch_of(watched, watch, self.store, self.catalog, self.streams, lenient=False)
        watch.look({uri: view for uri, it in self.streams.items() if (view := live_view(it)) is not None})
        return watch


def watching(workspace: Workspace) -> Iterator[Row]:
    """Look at what is new, ten times for each second that is recorded, and count the processor's time."""
    for streams in (1, CHANNELS):
        for is_loud in (False, True):
            folder = workspace.folder / f"watching-{streams}-{is_loud}"
            shares = _shares(folder, streams, is_loud=is_loud)
            what = f"{streams} streams of {CHANNELS // streams} channels, {'all loud' if is_loud else 'all quiet'}"
            yield figure("watching", f"{what}, of a processor", "%", [100 * it for it in shares], aim="≤ 2 %")


def _shares(folder: Path, streams: int, *, is_loud: bool) -> list[float]:
    """Give the processor's time by the time that was recorded, of each second."""
    recorded = _recorded(folder, streams, is_loud=is_loud)
    watch = recorded.look(None, _STEP)
    shares = []
    looks = round(1 / LOOK_SECONDS)
    for second in range(_SECONDS - 1):
        began = time.process_time()
        for number in range(looks):
            watch = recorded.look(watch, (second * looks + number + 2) * _STEP)
        shares.append(time.process_time() - began)
    recorded.catalog.close()
    return shares


def _recorded(folder: Path, count: int, *, is_loud: bool) -> _Recorded:
    store = Store.create_or_open(str(folder))
    catalog = Catalog(str(folder / "catalog.db"), store.uuid)
    contents = Contents(store, catalog)
    audio = AudioFormat(RATE, CHANNELS // count)
    frames = _SECONDS * RATE
    made: dict[StreamUri, ManagedStream] = {}
    for number in range(count):
        uri = parse_stream_uri(f"stream://bench/{number}")
        definition = StreamDefinition(uri, "bench", audio, frames * audio.frame_bytes)
        stream = ManagedStream(enter_definition(contents, catalog, definition, KEEP_ALL))
        catalog.begin_take(Take(uri, 1, 1000, 0, None, 1, None))
        staging = store.create_staging(frames * audio.frame_bytes, overview_bytes(frames, audio.channels))
        level = _LOUD if is_loud else _QUIET
        blocks = np.full((overview_blocks(frames), audio.channels, 3), level, "<f4")
        for address, data in (
            (StagingOverview(staging.id), blocks),
            (staging, np.full(frames * audio.channels, level)),
        ):
            with Path(store.path(address)).open("r+b") as file:
                file.write(data.astype("<f4").tobytes())
        stream.take = LiveTake(1, 1000, 0, "engine", given=[store.path(staging)])
        made[uri] = stream
    settings = settings_as_json(SessionSettings(), SessionMode.TRIGGERED, {})
    session = Session(_ID, _ID, SessionMode.TRIGGERED, SessionStatus.CREATED, 1, None, tuple(made))
    catalog.sessions.add(replace(session, settings=settings))
    ranges = tuple(SegmentRange(uri, 1, 0, None, True, 1000, 0) for uri in made)
    catalog.sessions.begin_segment(_ID, Segment(1, SegmentClock(1000, 1), None, ranges), 1)
    return _Recorded(store, catalog, made)
