"""All clocks at one frame of a segment, from the snapshots of a take around it. Everything here blocks."""

from collections.abc import Iterable
from dataclasses import replace

from jackcapture.catalog import Catalog
from jackcapture.clock.transport import TransportHistory, TransportMoment
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.slices.excerpts import unsealed_observations
from jackcapture.control.slices.take_clocks import clock_near
from jackcapture.errors import NotFoundError
from jackcapture.model.durations import SECOND_NS
from jackcapture.model.sessions import SegmentClock, SegmentRange
from jackcapture.model.takes import ClockSnapshot, Gap
from jackcapture.protocol.messages import StreamState

Recorded = tuple[ManagedStream, StreamState | None, SegmentRange]
"""A stream, the engine's state of it, just drained (None: it does not record), and what a segment has of it."""


def observed_clock(catalog: Catalog, recorded: Iterable[Recorded], frame: int) -> SegmentClock | None:
    """Give all clocks at a 64-bit JACK frame, by the first of some streams of which there is a snapshot."""
    for stream, state, found in recorded:
        clock = _observed_by(catalog, stream, state, found, frame)
        if clock is not None:
            return clock
    return None


def nominal_clock(catalog: Catalog, recorded: Iterable[Recorded], frame: int) -> SegmentClock:
    """Give the clock at a frame as far as the start of the newest take tells it, where nothing was observed."""
    stream, _, found = max(recorded, key=lambda it: it[2].start_frame)
    take = catalog.take(found.uri, found.take_number).take
    elapsed_ns = (frame - take.start_frame) * SECOND_NS // stream.definition.sample_rate
    return SegmentClock(frame, take.started_at_ns + elapsed_ns)


def _observed_by(
    catalog: Catalog, stream: ManagedStream, state: StreamState | None, found: SegmentRange, frame: int
) -> SegmentClock | None:
    position = found.position_of(frame)
    gaps, unsealed = unsealed_observations(stream, state)
    take = replace(catalog.take(found.uri, found.take_number).take, samples=None)
    try:
        clock = clock_near(catalog, stream.definition, take, position, unsealed, tuple(gaps.values()))
        wall, card = clock.wall_clock_at(position), clock.monotonic_at(position)
    except NotFoundError:
        return None
    snapshots = [
        *catalog.clocks(found.uri, found.take_number, position, position + 1),
        *unsealed.get(found.take_number, ()),
    ]
    transport = _transport(stream, found, position, snapshots, [*gaps.values()])
    bars = None if transport is None else transport.bars
    return SegmentClock(
        frame,
        wall.ns,
        card.ns // 1000,
        None if transport is None else transport.state,
        None if transport is None else transport.frame,
        None if bars is None else bars.bar,
        None if bars is None else bars.beat,
        None if bars is None else int(bars.tick),
        None if bars is None else bars.beats_per_minute,
    )


def _transport(
    stream: ManagedStream, found: SegmentRange, position: int, snapshots: list[ClockSnapshot], gaps: list[Gap]
) -> TransportMoment | None:
    try:
        history = TransportHistory(snapshots, stream.definition.sample_rate, found.first_sample, position + 1, gaps)
        return history.at(position)
    except NotFoundError:
        return None
