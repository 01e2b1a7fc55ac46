"""The range of a stream that a user names by two places, and the position that one place is."""

import asyncio
from dataclasses import dataclass

from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.operations.registry import Context
from jackcapture.control.slices.excerpts import check_range, extent
from jackcapture.control.slices.landmarks import Landmarks
from jackcapture.errors import NotFoundError
from jackcapture.model.places import parse_place, resolve_place
from jackcapture.protocol.messages import StreamState


@dataclass(frozen=True, slots=True)
class Range:
    """Sample positions `[from_sample, to_sample)`, all of which exist; `state` is the engine's, just drained."""

    stream: ManagedStream
    state: StreamState | None
    from_sample: int
    to_sample: int


async def find_place(context: Context, uri: str, place: str) -> int:
    """Find the sample position that a place means now; both ends of what the stream has are places of it.

    Raises `InvalidValueError` for what is no place, `NotFoundError` for one that is not there.
    """
    services = context.services
    parsed = parse_place(place)
    stream = services.streams.get(uri)
    state = (await services.streams.drained([stream.uri])).get(stream.uri)

    def find() -> int:
        existing = extent(services.catalog, stream, state)
        landmarks = Landmarks(services.catalog, stream, state, existing)
        position = resolve_place(parsed, landmarks.position_of, stream.definition.sample_rate)
        if not existing.first_sample <= position <= existing.head_sample:
            raise NotFoundError(
                f"{place} is position {position}: {stream.uri} has the positions {existing.first_sample} to "
                f"{existing.head_sample}",
                position=position,
            )
        return position

    return await asyncio.to_thread(find)


async def find_range(context: Context, uri: str, from_place: str, to_place: str) -> Range:
    """Find what two places mean now.

    Raises `InvalidValueError` or `NotFoundError` for what is no range of the stream, and says what there is.
    """
    services = context.services
    first, last = parse_place(from_place), parse_place(to_place)
    stream = services.streams.get(uri)
    state = (await services.streams.drained([stream.uri])).get(stream.uri)

    def find() -> Range:
        existing = extent(services.catalog, stream, state)
        landmarks = Landmarks(services.catalog, stream, state, existing)
        from_sample, to_sample = (
            resolve_place(place, landmarks.position_of, stream.definition.sample_rate) for place in (first, last)
        )
        check_range(stream.uri, from_sample, to_sample, existing)
        return Range(stream, state, from_sample, to_sample)

    return await asyncio.to_thread(find)
