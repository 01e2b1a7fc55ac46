"""Operations that show what was recorded without cutting it."""

import asyncio

from jackcapture.control.excerpts import collect
from jackcapture.control.operations.ranges import find_range
from jackcapture.control.operations.registry import Context, operation
from jackcapture.control.overviews import check_points, overview_of
from jackcapture.model.results import OverviewResult


@operation
async def stream_overview(
    context: Context, uri: str, from_place: str, to_place: str, points: int = 1000
) -> OverviewResult:
    """Give what the range from one place to another looks like, recorded or live: min, max and RMS of each channel.

    Places: start, head, -30s (before the head), sample:N. There are at most `points` points, and fewer in a short
    range or where a stream has very many channels. An end inside a block of 256 frames moves outwards to its end.
    """
    services = context.services
    check_points(services.streams.get(uri).definition, points)
    found = await find_range(context, uri, from_place, to_place)

    def work() -> OverviewResult:
        excerpt = collect(services.catalog, found.stream, found.state, found.from_sample, found.to_sample)
        return overview_of(services.store, services.catalog, excerpt, points, context.progress)

    return await asyncio.get_running_loop().run_in_executor(services.cutting, work)
