"""Tells what every clock showed at a sample position. Blocks."""

from dataclasses import replace

from jackcapture.catalog import Catalog
from jackcapture.clock.answers import Moment
from jackcapture.clock.midi_clock import MidiClockHistory
from jackcapture.clock.take_clock import snapshot_margin
from jackcapture.clock.transport import TransportHistory
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.slices.excerpts import unsealed_observations
from jackcapture.control.slices.take_clocks import clock_near
from jackcapture.errors import NotFoundError
from jackcapture.model.clock_results import ClocksResult, MidiClockResult, MomentResult, TransportResult
from jackcapture.model.takes import ClockSnapshot, Gap, Take
from jackcapture.model.times import iso
from jackcapture.protocol.messages import StreamState


def clocks_at(catalog: Catalog, stream: ManagedStream, state: StreamState | None, position: int) -> ClocksResult:
    """Give all clocks at a position that the stream has, or the one after its newest frame."""
    definition = stream.definition
    record = next(it for it in reversed(catalog.takes(stream.uri)) if it.take.first_sample <= position)
    # What there is of a take is there, also if its end is not told yet.
    take = replace(record.take, samples=None)
    unsealed_gaps, unsealed = unsealed_observations(stream, state)
    margin = snapshot_margin(definition.sample_rate)
    near = position - margin, position + margin
    snapshots = [*catalog.clocks(stream.uri, take.number, *near), *unsealed.get(take.number, ())]
    gaps = [*catalog.gaps(stream.uri, *near), *unsealed_gaps.values()]
    monotonic = wall_clock = None
    try:
        clock = clock_near(catalog, definition, take, position, unsealed, gaps)
        passed, shown = clock.monotonic_at(position), clock.wall_clock_at(position)
        monotonic, wall_clock = _moment(passed, passed.ns // 1000), _moment(shown, iso(shown.ns))
    except NotFoundError:  # a take without a snapshot
        pass
    return ClocksResult(
        stream_uri=stream.uri,
        take=take.number,
        sample_position=position,
        sample_rate=definition.sample_rate,
        jack_frame=position - take.first_sample + take.start_frame,
        monotonic=monotonic,
        wall_clock=wall_clock,
        transport=_transport(take, snapshots, gaps, position, definition.sample_rate),
        midi_clock=None if definition.is_audio else _midi_clock(take, snapshots, position, definition.sample_rate),
        in_gap=any(gap.position <= position < gap.position + gap.frames for gap in gaps),
    )


def _moment(moment: Moment, at: str | int) -> MomentResult:
    drift = moment.drift
    return MomentResult(
        at,
        round(moment.error_ns / 1_000_000, 3),
        None if drift is None else round(drift.ppm, 1),
        None if drift is None else round(drift.error_ppm, 1),
    )


def _transport(
    take: Take, snapshots: list[ClockSnapshot], gaps: list[Gap], position: int, sample_rate: int
) -> TransportResult | None:
    try:
        moment = TransportHistory(snapshots, sample_rate, take.first_sample, position + 1, gaps).at(position)
    except NotFoundError:
        return None
    bars = moment.bars
    if bars is None:
        return TransportResult(moment.state.value, moment.frame, None, None, None, None, None)
    return TransportResult(
        moment.state.value,
        moment.frame,
        bars.bar,
        bars.beat,
        round(bars.tick, 3),
        round(bars.error_ticks, 3),
        bars.beats_per_minute,
    )


def _midi_clock(take: Take, snapshots: list[ClockSnapshot], position: int, sample_rate: int) -> MidiClockResult | None:
    try:
        moment = MidiClockHistory(snapshots, sample_rate, take.first_sample, position + 1).at(position)
    except NotFoundError:
        return None
    return MidiClockResult(
        round(moment.ticks, 3),
        round(moment.error_ticks, 3),
        None if moment.song_ticks is None else round(moment.song_ticks, 3),
        moment.is_running,
        None if moment.beats_per_minute is None else round(moment.beats_per_minute, 3),
    )
