"""The operation that tells the time of a place."""

import asyncio

from jackcapture.control.operations.ranges import find_position
from jackcapture.control.operations.registry import Context, operation
from jackcapture.control.slices.clocks_at import clocks_at
from jackcapture.model.clock_results import ClocksResult


@operation
async def stream_clock(context: Context, uri: str, place: str = "head") -> ClocksResult:
    """Give what every clock showed at a place of a stream: JACK frame and microseconds, wall clock, transport, MIDI.

    Each time is given with how far it may be off, and with the drift of the sound card. Places are those of
    `stream_slice`.
    """
    stream, state, position = await find_position(context, uri, place)
    return await asyncio.to_thread(clocks_at, context.services.catalog, stream, state, position)
