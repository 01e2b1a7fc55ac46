"""Where the anchors of places lie in a stream. Everything here blocks."""

from dataclasses import dataclass

from jackcapture.catalog import Catalog, TakeRecord
from jackcapture.control.excerpts import Extent
from jackcapture.control.managed_stream import ManagedStream
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
            case SessionPlace(session_id):
                raise NotFoundError(f"no session {session_id!r} has recorded {self.stream.uri}", session_id=session_id)
            case SegmentPlace(number):
                raise NotFoundError(f"no segment {number} of a session has {self.stream.uri}", segment=number)
            case MarkPlace(name):
                raise NotFoundError(f"{self.stream.uri} has no mark {name!r}", mark=name)

    def _take(self, place: TakePlace) -> int:
        takes = self.catalog.takes(self.stream.uri)
        for record in takes:
            if record.take.number == place.number:
                return record.take.first_sample if place.end is End.START else self._end_of(record)
        raise NotFoundError(
            f"{self.stream.uri} has no take {place.number}: it has the takes 1 to {takes[-1].take.number}",
            take=place.number,
        )

    def _end_of(self, record: TakeRecord) -> int:
        return self.existing.head_sample if record.take.samples is None else record.end_sample

    def _wall_clock(self, ns: int) -> int:
        raise NotImplementedError

    def _transport(self, frame: int) -> int:
        raise NotImplementedError

    def _bar(self, place: BarPlace) -> int:
        raise NotImplementedError
