"""How far before its `play` a segment begins: as its session says, and as far as all of its streams reach."""

import asyncio
from collections.abc import Iterable, Mapping

from jackcapture.catalog import Catalog
from jackcapture.control.managed_stream import LiveTake
from jackcapture.control.sessions.settings import session_settings
from jackcapture.model.durations import SECOND_NS, duration_frames
from jackcapture.model.sessions import Session
from jackcapture.model.starts import AsFarAs, BeforeNow
from jackcapture.model.uris import StreamUri

START_SECONDS = 0.5
"""What a start in the past leaves alone of a ring: takes begin within that time, while the ring goes on."""


def max_pre_roll(ring_seconds: float) -> float:
    """Give how many seconds a pre-roll may have with rings of so many."""
    return ring_seconds - START_SECONDS


def pre_roll_ns(session: Session, ring_seconds: float) -> int:
    """Give how long before now a session's next segment is to begin, in nanoseconds.

    The rings may have become shorter since the session was created.
    """
    settings = session_settings(session.settings)
    if settings.transport.follow:
        return 0
    return int(min(settings.pre_roll_seconds, max_pre_roll(ring_seconds)) * SECOND_NS)


async def start_before(
    catalog: Catalog, before_ns: int, recording: Mapping[StreamUri, LiveTake]
) -> BeforeNow | AsFarAs:
    """Give the moment at which streams start that do not record, beside takes that run."""
    if not before_ns:
        return BeforeNow(0)
    return AsFarAs(before_ns, await oldest_common_frame(catalog, recording))


async def frame_before(
    catalog: Catalog, frame: int, before_ns: int, sample_rate: int, recording: Mapping[StreamUri, LiveTake]
) -> int:
    """Give the frame so long before another one, as far as all takes that run reach; the rate is in Hz."""
    if not before_ns:
        return frame
    oldest = await oldest_common_frame(catalog, recording)
    return min(frame, max(oldest, frame - duration_frames(before_ns, sample_rate)))


async def oldest_common_frame(catalog: Catalog, recording: Mapping[StreamUri, LiveTake]) -> int:
    """Give the 64-bit JACK frame from which on all of some takes that run are there; 0 if none runs."""
    return await asyncio.to_thread(lambda: max(_oldest_frames(catalog, recording), default=0))


def _oldest_frames(catalog: Catalog, recording: Mapping[StreamUri, LiveTake]) -> Iterable[int]:
    for uri, take in recording.items():
        removed = catalog.keeping.removals(uri, take.first_sample, max(take.head_sample, take.first_sample + 1))
        oldest = max([take.first_sample, *(it.end_sample for it in removed)])
        yield take.start_frame + oldest - take.first_sample
