"""Listening to the streams of a session while an answer lasts, as far as it is recorded."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from jackcapture.catalog import Catalog
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.sessions.answers import Spans, end_of_answer
from jackcapture.control.sessions.recorded import RecordedRanges
from jackcapture.control.sessions.settings import RequestSettings
from jackcapture.control.streams import Streams
from jackcapture.model.levels import amplitude_of
from jackcapture.model.requests import EndedBy
from jackcapture.model.sessions import SegmentRange
from jackcapture.model.uris import StreamUri
from jackcapture.protocol.messages import StreamState

Scan = Callable[[ManagedStream, StreamState | None, int, int, float], Iterable[Any]]
"""Gives the sample positions at which a range of a stream sounds, in order, in parts; blocks."""

Cut = Callable[[Callable[[], Any]], Awaitable[Any]]


@dataclass(slots=True)
class _Ear:
    """How far a stream was listened to: all before the frame `heard`; `has_ended` there, or goes on."""

    spans: Spans
    heard: int
    has_ended: bool = False


@dataclass(slots=True)
class Listening:
    """Where the streams sound, from the request's first frame on; methods on the asyncio loop."""

    catalog: Catalog
    streams: Streams
    scan: Scan
    settings: RequestSettings
    sample_rate: int
    _ears: dict[StreamUri, _Ear] = field(default_factory=dict)

    def begin(self, ranges: Iterable[SegmentRange], frame: int) -> None:
        """Listen to the ranges of a segment from a frame on."""
        hold = self._frames(self.settings.hold_seconds)
        self._ears = {it.uri: _Ear(Spans(hold), max(frame, it.frame_of(it.from_sample))) for it in ranges}

    @property
    def heard(self) -> int:
        """The frame up to which all streams that go on have been listened to."""
        going_on = [ear.heard for ear in self._ears.values() if not ear.has_ended]
        return min(going_on) if going_on else max(ear.heard for ear in self._ears.values())

    async def listen(self, ranges: Iterable[SegmentRange], cut: Cut) -> None:
        """Listen to what has been recorded since; the ranges are those of the segment at present."""
        recorded = await RecordedRanges(self.catalog, self.streams).states(ranges)
        for stream, state, found in recorded:
            ear = self._ears[found.uri]
            end = found.to_sample if found.to_sample is not None else None if state is None else state.head_sample
            if end is None:
                continue  # its take has just ended: the catalog will tell where
            begin = found.position_of(ear.heard)
            if begin < end:
                await cut(partial(self._add, ear, found, stream, state, begin, end))
                ear.heard = found.frame_of(end)
            ear.has_ended = found.to_sample is not None

    def ended(self, last_event: int | None, *, is_stopped: bool) -> tuple[int, EndedBy] | None:
        """Give the frame at which the answer has ended, and why; None if it has not, as far as was listened.

        `last_event` is the frame of the last message, if that was sent; `is_stopped`: the segment has ended.
        """
        if last_event is not None:
            spans = [span for ear in self._ears.values() for span in ear.spans.found]
            hold, longest = self._frames(self.settings.hold_seconds), self._frames(self.settings.max_seconds)
            found = end_of_answer(spans, last_event, hold, longest, self.heard)
            if found is not None:
                return found
        if is_stopped or all(ear.has_ended for ear in self._ears.values()):
            return max(ear.heard for ear in self._ears.values()), EndedBy.STOPPED
        return None

    def _add(
        self, ear: _Ear, found: SegmentRange, stream: ManagedStream, state: StreamState | None, begin: int, end: int
    ) -> None:
        amplitude = amplitude_of(self.settings.threshold_db)
        for positions in self.scan(stream, state, begin, end, amplitude):
            ear.spans.add(positions + (found.start_frame - found.first_sample))

    def _frames(self, seconds: float) -> int:
        return max(1, round(seconds * self.sample_rate))
