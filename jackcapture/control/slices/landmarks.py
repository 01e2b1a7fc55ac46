"""Where the anchors of places lie in a stream. Everything here blocks."""

from collections.abc import Iterator
from dataclasses import dataclass

from jackcapture.catalog import Catalog, TakeRecord
from jackcapture.clock.take_clock import TakeClock, find_wall_clock
from jackcapture.clock.transport import TransportHistory, find_bar, find_transport_frame
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.slices.excerpts import Extent, unsealed_observations
from jackcapture.control.slices.take_clocks import UnsealedClocks, clock_near
from jackcapture.errors import NotFoundError
from jackcapture.model.places import (
    Anchor,
    BarPlace,
    End,
    HeadPlace,
    MarkPlace,
    SamplePlace,
    SegmentPlace,
    SessionPlace,
    StartPlace,
    TakePlace,
    TransportPlace,
    WallClockPlace,
)
from jackcapture.model.sessions import SegmentRange
from jackcapture.model.takes import NO_TRANSPORT
from jackcapture.protocol.messages import StreamState


@dataclass(frozen=True, slots=True)
class Landmarks:
    """The anchors of one stream; `state` is the engine's, just drained, and `existing` what there is of the stream."""

    catalog: Catalog
    stream: ManagedStream
    state: StreamState | None
    existing: Extent

    def position_of(self, anchor: Anchor) -> int:  # noqa: PLR0911 - one for each
        """Give the sample position of an anchor; raises `NotFoundError` for what there is not."""
        match anchor:
            case StartPlace():
                return self.existing.first_sample
            case HeadPlace():
                return self.existing.head_sample
            case SamplePlace(position):
                return position
            case TakePlace():
                return self._take(anchor)
            case WallClockPlace(ns):
                return self._wall_clock(ns)
            case TransportPlace(frame):
                return self._transport(frame)
            case BarPlace():
                return self._bar(anchor)
            case SessionPlace():
                return self._session(anchor)
            case SegmentPlace(number, end):
                found = self.catalog.sessions.newest_range(self.stream.uri, number)
                return self._end_of_range(found, end)
            case MarkPlace(name):
                return self.catalog.sessions.newest_mark(self.stream.uri, name)

    def _take(self, place: TakePlace) -> int:
        takes = self.catalog.takes(self.stream.uri)
        for record in takes:
            if record.take.number == place.number:
                return record.take.first_sample if place.end is End.START else self._end_of(record)
        raise NotFoundError(
            f"{self.stream.uri} has no take {place.number}: it has the takes 1 to {takes[-1].take.number}",
            take=place.number,
        )

    def _session(self, place: SessionPlace) -> int:
        ranges = self.catalog.sessions.ranges_of(place.session_id, self.stream.uri)
        if not ranges:
            raise NotFoundError(
                f"session {place.session_id!r} has recorded nothing of {self.stream.uri}", session_id=place.session_id
            )
        return self._end_of_range(ranges[0] if place.end is End.START else ranges[-1], place.end)

    def _end_of_range(self, found: SegmentRange, end: End) -> int:
        if end is End.START:
            return found.from_sample
        return self.existing.head_sample if found.to_sample is None else found.to_sample

    def _end_of(self, record: TakeRecord) -> int:
        return self.existing.head_sample if record.take.samples is None else record.end_sample

    def _wall_clock(self, ns: int) -> int:
        gaps, clocks = unsealed_observations(self.stream, self.state)
        definition = self.stream.definition
        takes = self.catalog.takes(self.stream.uri)
        for record in reversed(takes):
            # Near the newest snapshot that is not after that time: a month has millions.
            seen = self.catalog.last_clock_position(self.stream.uri, record.take.number, ns)
            unsealed = [at.sample_position for at in clocks.get(record.take.number, ()) if at.wall_clock_ns <= ns]
            around = max([record.take.first_sample if seen is None else seen, *unsealed])
            try:
                clock = clock_near(self.catalog, definition, record.take, around, clocks, tuple(gaps.values()))
            except NotFoundError:  # a take without a snapshot tells no time
                continue
            places = clock.places_at_wall_clock(ns)
            if places:
                return places[0].position
        return find_wall_clock(list(self._ends_of(takes, clocks)), ns).position

    def _ends_of(self, takes: list[TakeRecord], clocks: UnsealedClocks) -> Iterator[TakeClock]:
        """Give clocks that tell when each take began and ended, for an error to name."""
        for record in takes:
            take = record.take
            ends = [*self.catalog.end_clocks(self.stream.uri, take.number), *clocks.get(take.number, ())]
            if ends:
                yield TakeClock(take, self.stream.definition.sample_rate, ends, end_sample=self._end_of(record))

    def _histories(self) -> list[TransportHistory]:
        """Give what the transport did in each take of what is kept; nothing of takes in which it did nothing."""
        gaps, clocks = unsealed_observations(self.stream, self.state)
        found = []
        for record in self.catalog.takes(self.stream.uri):
            take, end = record.take, self._end_of(record)
            live = clocks.get(take.number, ())
            if not self.catalog.has_transport(self.stream.uri, take.number) and all(
                at.transport == NO_TRANSPORT for at in live
            ):
                continue
            first = max(take.first_sample, self.existing.first_sample)
            if first < end:
                snapshots = [*self.catalog.clocks(self.stream.uri, take.number, first, end), *live]
                lost = [*self.catalog.gaps(self.stream.uri, first, end), *gaps.values()]
                found.append(TransportHistory(snapshots, self.stream.definition.sample_rate, first, end, lost))
        if not found:
            raise NotFoundError(
                f"JACK's transport did not move while {self.stream.uri} was recorded: no frame or bar can be found"
            )
        return found

    def _transport(self, frame: int) -> int:
        return find_transport_frame(self._histories(), frame).position

    def _bar(self, place: BarPlace) -> int:
        return find_bar(self._histories(), place.bar, place.beat, place.tick).position
