"""What streams have of a segment: which takes run, where they end, and all clocks at a frame of them."""

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence

from jackcapture.catalog import Catalog
from jackcapture.control.sessions.clocks import Recorded, nominal_clock, observed_clock
from jackcapture.control.streams import Streams
from jackcapture.errors import ConflictError, JackCaptureError
from jackcapture.model.sessions import Segment, SegmentClock, SegmentRange
from jackcapture.protocol.messages import StreamState

log = logging.getLogger(__name__)

_CLOCK_PATIENCE = 0.5
_CLOCK_INTERVAL = 0.02
"""Seconds for which the first snapshot of a take is waited for, which comes within 0.1 s, and between two looks."""


class RecordedRanges:
    """Looks at the ranges of segments; methods on the asyncio loop."""

    def __init__(self, catalog: Catalog, streams: Streams) -> None:
        self._catalog = catalog
        self._streams = streams

    def is_live(self, found: SegmentRange) -> bool:
        """Tell whether the take of a range runs."""
        stream = self._streams.get(found.uri)
        return stream.is_recording and stream.take is not None and stream.take.number == found.take_number

    async def end_of(self, found: SegmentRange) -> int | None:
        """Give the position after the last of a range's take; None while it runs."""
        take = self._streams.get(found.uri).take
        if take is not None and take.number == found.take_number:
            return None if take.ended_samples is None else take.first_sample + take.ended_samples
        record = await asyncio.to_thread(self._catalog.take, found.uri, found.take_number)
        if record.take.samples is None:
            raise ConflictError(
                f"whether take {found.take_number} of {found.uri} still runs is not known yet: the engine has not told "
                "it; try again in a moment",
                uri=found.uri,
            )
        return record.end_sample

    async def states(self, ranges: Iterable[SegmentRange]) -> list[Recorded]:
        """Give the streams of some ranges, with the engine's state, just drained, of those whose take runs."""
        ranges = list(ranges)
        states = await self._streams.drained(found.uri for found in ranges if self.is_live(found))
        return [(self._streams.get(it.uri), _state_of(states, it), it) for it in ranges]

    async def clock_at(self, recorded: Sequence[Recorded], frame: int) -> SegmentClock:
        """Give all clocks at a frame, as far as they are known."""
        clock = await asyncio.to_thread(observed_clock, self._catalog, recorded, frame)
        if clock is None:
            clock = await asyncio.to_thread(nominal_clock, self._catalog, recorded, frame)
        return clock

    async def first_clock(self, segment: Segment) -> SegmentClock | None:
        """Wait for what is observed of a segment's start; None if nothing is, in time."""
        deadline = time.monotonic() + _CLOCK_PATIENCE
        while time.monotonic() < deadline:
            try:
                recorded = await self.states(segment.ranges)
            except JackCaptureError as error:
                log.warning("of the clocks at the start of a segment only the wall clock is known: %s", error)
                return None
            frame = segment.started.jack_frame
            clock = await asyncio.to_thread(observed_clock, self._catalog, recorded, frame)
            if clock is not None:
                return clock
            await asyncio.sleep(_CLOCK_INTERVAL)
        return None


def _state_of(states: dict[str, StreamState], found: SegmentRange) -> StreamState | None:
    state = states.get(found.uri)
    return None if state is None or state.take_number != found.take_number else state
